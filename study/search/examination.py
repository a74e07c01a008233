"""An experiment's dearer metrics, which it measures of trained replicas where a person asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from anchoring.errors import InputError
from study.experiment import Experiment
from study.metrics import measured, metrics_of


def expect_examination(experiment: Experiment) -> None:
    """Raise InputError if an experiment has no dearer metrics."""
    if getattr(experiment, "examine", None) is None:
        raise InputError(f"--examine: experiment {experiment.name} has no `examine`, expected none of it without one")


def examined(
    experiment: Experiment, model: nn.Module, setting: Any, seeds: list[int], diverged: np.ndarray
) -> dict[str, np.ndarray]:
    """What `experiment.examine` measures, [replicas] each. A setting may be one that some metrics do not apply to.

    Raises InputError if it is not as declared, or the experiment has no `examine`.
    """
    expect_examination(experiment)
    found = experiment.examine(model, setting, seeds)  # type: ignore[attr-defined]
    declared = {name: m for name, m in metrics_of(experiment, setting).items() if m.examined and name in found}
    arrays = measured(experiment.name, found, declared, diverged, len(seeds))
    del arrays["diverged"]
    return arrays
