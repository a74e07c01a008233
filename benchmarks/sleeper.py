"""An experiment whose trials only sleep, so that a study of it costs what its driver and Ray cost."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from anchoring.dopesheet import Dopesheet
from study.experiment import Metric, OnRung


@dataclass(frozen=True)
class Sleep:
    """How long a trial sleeps, in seconds, and where it lies on a bowl, whose bottom is best."""

    title: str
    schedule: Dopesheet
    seconds: float
    place: tuple[float, ...]


class Sleeper:
    name = "sleeper"

    def setting(self, document: dict[str, Any], file: str | Path) -> Sleep:
        schedule = Dopesheet.parse(document["schedule"]["rows"], document["schedule"]["file"])
        place = tuple(float(at) for at in document["place"])
        return Sleep(document["title"], schedule, float(document["seconds"]), place)

    def metrics(self, setting: Sleep) -> Mapping[str, Metric]:
        return {
            "depth": Metric("how deep in the bowl a replica has come: 1 at the bottom", diverged=0.0),
            "process": Metric("the worker that it slept in", ideal=None, not_an_objective="it is only a number"),
        }

    def train(self, setting: Sleep, seeds: Sequence[int], *, rungs: int, compiled: bool, on_rung: OnRung) -> nn.Module:
        model, away = self.model(setting, seeds), sum((at - 0.3) ** 2 for at in setting.place)
        noise = torch.stack([torch.randn((), generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        for rung in range(1, rungs + 1):
            time.sleep(setting.seconds / rungs)
            depth = (rung / rungs) * torch.exp(-away - 0.05 * noise.abs())
            metrics = {"depth": depth, "process": torch.full_like(depth, os.getpid(), dtype=torch.float64)}
            reached = SimpleNamespace(step=rung, steps=rungs, metrics=metrics, diverged=depth.isnan())
            on_rung(reached, model)
        return model

    def model(self, setting: Sleep, seeds: Sequence[int]) -> nn.Module:
        return nn.Linear(1, len(seeds))

    def references(self, setting: Sleep) -> Sequence[Path]:
        return []


experiment = Sleeper()
__version__ = "1"
