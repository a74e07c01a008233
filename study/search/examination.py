"""Metrics that are too slow for every rung: an experiment measures them when a user passes `--examine`."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from anchoring.errors import InputError
from study.experiment import Experiment
from study.metrics import measured, metrics_of


def expect_examination(experiment: Experiment) -> None:
    """Raise InputError if an experiment has no `examine`."""
    if getattr(experiment, "examine", None) is None:
        raise InputError(f"--examine: experiment {experiment.name} has no method `examine`, expected no --examine")


def examined(
    experiment: Experiment, model: nn.Module, setting: Any, seeds: list[int], diverged: np.ndarray
) -> dict[str, np.ndarray]:
    """What `experiment.examine` measures, [replicas] each. Metrics that do not apply to the setting may be missing.

    Raises InputError if the measurements do not match the declared metrics, or the experiment has no `examine`.
    """
    expect_examination(experiment)
    found = experiment.examine(model, setting, seeds)  # type: ignore[attr-defined]
    declared = {name: m for name, m in metrics_of(experiment, setting).items() if m.examined and name in found}
    arrays = measured(experiment.name, found, declared, diverged, len(seeds))
    del arrays["diverged"]
    return arrays
