"""A rehearsal: training for a few steps before a study begins. An error in every trial is found before the first."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import safetensors.torch
from torch import nn

from anchoring.dopesheet import Dopesheet
from anchoring.errors import InputError
from study.experiment import Rung
from study.record.trial_state import TrialState
from study.search.trial import Reached
from study.space.space import Space
from study.surroundings import alone

SEEDS = [0, 1]
LENGTHS = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)  # steps; the schedule is shrunk to the first that it can have


def rehearse(space: Space) -> None:
    """Train two replicas of the space's first corner for a few steps, and check everything that a trial needs.

    Raises InputError if the experiment raises an exception (the message has its file and line), or if it does not do
    what `study.experiment` asks for.
    """
    experiment = space.experiment
    where = f"experiment {experiment.name}"
    setting = _short(space)
    reached: list[Reached] = []

    def on_rung(rung: Rung, model: nn.Module) -> None:
        reached.append(Reached.of(rung, model, SEEDS, experiment, setting))

    with alone(), space.source.located(f"{where}: training for a few steps failed"):
        model = experiment.train(setting, SEEDS, rungs=1, compiled=False, on_rung=on_rung)
        if not isinstance(model, nn.Module):
            raise InputError(f"{where}: train: returned {model!r}, expected a torch.nn.Module of the replicas")
        if len(reached) != 1:
            raise InputError(f"{where}: train: called on_rung {len(reached)} times with rungs=1, expected once")
        if reached[0].state is TrialState.STOPPED:
            raise InputError(f"{where}: train: found rung.step < rung.steps at the last rung, expected the same")
        _expect_same(where, _shapes(model), _shapes(experiment.model(setting, SEEDS)))
        safetensors.torch.save(model.state_dict())
        experiment.references(setting)


def _short(space: Space) -> Any:
    """The setting of the space's first corner, its schedule shrunk as far as it can be."""
    corner = next(space.corners())
    own = len(Dopesheet.parse(space.document(corner)["schedule"]["rows"]))
    for steps in (steps for steps in LENGTHS if steps < own):
        with suppress(InputError):
            return replace(space, steps=steps).setting(corner)
    return space.setting(corner)


def _expect_same(where: str, trained: dict[str, list[int]], untrained: dict[str, list[int]]) -> None:
    if trained != untrained:
        expected = f"those that train returns, {trained}, so that stored weights can be loaded"
        raise InputError(f"{where}: model: found the tensors {untrained}, expected {expected}")


def _shapes(model: nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
