"""Kinds of training step: what a step computes when some of the terms act in it, whatever its arguments are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anchoring.setting import Setting


def step_kind(setting: Setting, acting: Sequence[bool]) -> str:
    """What a step computes when those of the terms act in it."""
    terms = [repr(term) for term, acts in zip(setting.trained.values(), acting, strict=True) if acts]
    own = setting.model_dump_json(exclude={"title", "schedule", "labels", "regularizers", "ablation"})
    return "\n".join([own, *setting.labels, *terms])


def step_kinds(setting: Setting) -> set[str]:
    """The kinds of step that a setting's training takes, each of which would be compiled by itself."""
    weights = setting.weights_in_training(setting.schedule.table())
    return {step_kind(setting, acting) for acting in np.unique(weights != 0, axis=0)}
