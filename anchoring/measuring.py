"""Measures replicas at a rung: by native code where it computes what PyTorch does, else by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from anchoring.authored import Authored
from anchoring.kinds import made
from anchoring.layers import UNEDITED, Edited
from anchoring.native import Unsupported
from anchoring.replicas import Replicas
from anchoring.setting import Setting

UNSEEN = frozenset({"title", "schedule", "labels", "regularizers"})
"""What native measures may not depend on, since it differs from trial to trial."""


def measured(experiment: Authored, model: Replicas, setting: Setting, compiled: bool) -> Mapping[str, Tensor]:
    """An experiment's metrics of every replica, [R] each.

    If `compiled`, native code makes them if it agrees with PyTorch, which a process tries once a kind of setting.

    Raises:
        InputError: a metric is measured but not declared, declared but not measured, or not a number.
    """
    if not compiled or type(experiment).measured is not Authored.measured:
        return experiment.measured(model, setting)
    key = experiment, "measures", setting.model_dump_json(exclude=set(UNSEEN))
    native = made(key, lambda: _native(experiment, model, setting))
    return native(model) if native else experiment.measured(model, setting)


def _native(experiment: Authored, model: Replicas, setting: Setting) -> Any:
    """The metrics as native code; None if they cannot be, or differ from PyTorch's."""
    expected, seen = experiment.measured(model, setting), _narrowed(setting)
    edits = experiment.edits(seen)
    try:
        run = model.native_map(
            lambda one: experiment.measure(Edited(one, UNEDITED), Edited(one, edits(one)), seen), experiment.name
        )
    except (Unsupported, OSError):
        return None
    found = run(model)
    agrees = found.keys() == expected.keys() and all(
        torch.allclose(found[name], metric, rtol=1e-3, atol=1e-5, equal_nan=True) for name, metric in expected.items()
    )
    return run if agrees else None


def _narrowed(setting: Setting) -> Any:
    """A copy of a setting that raises Unsupported if one of `UNSEEN` is read."""

    def read(self: Any, name: str) -> Any:
        if name in UNSEEN:
            raise Unsupported(f"metrics read the setting's {name}")
        return object.__getattribute__(self, name)

    copy = setting.model_copy()
    copy.__class__ = type(type(setting).__name__, (type(setting),), {"__getattribute__": read})
    return copy
