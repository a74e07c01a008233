"""Kinds of training step, and what a process keeps for each. Two steps are of one kind if they compute the same
function, of whichever arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anchoring.setting import Setting


def step_kind(setting: Setting, acting: Sequence[bool]) -> str:
    """A text that two settings share if their steps compute the same function. `acting` says which terms act."""
    terms = [repr(term) for term, acts in zip(setting.trained.values(), acting, strict=True) if acts]
    own = setting.model_dump_json(exclude={"title", "schedule", "labels", "regularizers", "ablation"})
    return "\n".join([own, *setting.labels, *terms])


def step_kinds(setting: Setting) -> set[str]:
    """The kinds of step in a setting's training. Each is compiled separately."""
    weights = setting.weights_in_training(setting.schedule.table())
    return {step_kind(setting, acting) for acting in np.unique(weights != 0, axis=0)}


MADE: dict[tuple[Any, ...], Any] = {}
MOST = 200  # compiled or traced functions that a process keeps


def made(key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """The value that this process has made for a key before, or else makes now."""
    if key not in MADE:
        while len(MADE) >= MOST:
            MADE.pop(next(iter(MADE)))
        MADE[key] = make()
    return MADE[key]
