"""A tiny experiment that shares nothing with colours: a point rolls down a bowl, by PyTorch alone, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anchoring.dopesheet import Dopesheet
from anchoring.errors import InputError
from study.experiment import Metric, OnRung


@dataclass(frozen=True)
class Bowl:
    """How steep the bowl is along each axis, and how it is rolled down."""

    title: str
    schedule: Dopesheet
    steepness: tuple[float, ...]


@dataclass(frozen=True)
class Rung:
    step: int
    steps: int
    metrics: Mapping[str, Tensor]
    diverged: Tensor


class Points(nn.Module):
    """A point for each seed: [R, axes]."""

    def __init__(self, seeds: Sequence[int], axes: int) -> None:
        super().__init__()
        starts = [torch.randn(axes, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        self.at = nn.Parameter(torch.stack(starts))


class RollDown:
    name = "bowl"

    def setting(self, document: dict[str, Any], file: str | Path) -> Bowl:
        known = {"title", "schedule", "steepness"}
        if unknown := document.keys() - known:
            raise InputError(f"{file}: {min(unknown)}: unknown key, expected one of {', '.join(sorted(known))}")
        schedule = Dopesheet.parse(document["schedule"]["rows"], document["schedule"]["file"])
        return Bowl(document["title"], schedule, tuple(float(value) for value in document["steepness"]))

    def metrics(self, setting: Bowl) -> Mapping[str, Metric]:
        return {
            "depth": Metric("how deep the point has come: 1 at the bottom", diverged=0.0, failure=0.5),
            "distance": Metric("how far it is from the bottom", ideal=0.0, higher_is_better=False, diverged=10.0),
            "speed": Metric("how fast it is, measured on request", ideal=None, examined=True),
        }

    def train(self, setting: Bowl, seeds: Sequence[int], *, rungs: int, compiled: bool, on_rung: OnRung) -> nn.Module:
        model, steep = self.model(setting, seeds), torch.tensor(setting.steepness)
        steps = len(setting.schedule) - 1
        ends = sorted({max(1, round(steps * (i + 1) / rungs)) for i in range(rungs)})
        rates = setting.schedule.table()["lr"]
        for step in range(1, steps + 1):
            with torch.no_grad():
                model.at -= float(rates[step - 1]) * steep * model.at  # type: ignore[misc]
            if step in ends:
                away = model.at.detach().norm(dim=1)
                gone = ~(away < 1e6)
                depth = (1 / (1 + away)).masked_fill(gone, torch.nan)
                on_rung(Rung(step, steps, {"depth": depth, "distance": away}, gone), model)
        return model

    def model(self, setting: Bowl, seeds: Sequence[int]) -> Points:
        return Points(seeds, len(setting.steepness))

    def references(self, setting: Bowl) -> Sequence[Path]:
        return [Path(__file__).with_name("bowl-slow.toml")]

    def examine(self, model: Points, setting: Bowl, seeds: Sequence[int]) -> Mapping[str, Tensor]:
        return {"speed": (model.at.detach() * torch.tensor(setting.steepness)).norm(dim=1)}


experiment = RollDown()
__version__ = "7"
