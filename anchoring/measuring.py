"""Measures replicas at a rung: by native code where it computes what PyTorch does, else by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from anchoring.authored import Authored
from anchoring.layers import UNEDITED, Edited
from anchoring.native import Unsupported
from anchoring.replicas import Replicas
from anchoring.setting import Setting

UNSEEN = frozenset({"title", "schedule", "labels", "regularizers"})
"""What native measures may not depend on, since it differs from trial to trial."""

_NATIVE: dict[tuple[Authored, str], Any] = {}
MOST = 50  # compiled measures that a process keeps


def measured(experiment: Authored, model: Replicas, setting: Setting, compiled: bool) -> Mapping[str, Tensor]:
    """An experiment's metrics of every replica, [R] each.

    If `compiled`, the first measurement of a kind in a process is made by PyTorch and by native code. Native code makes
    the others if the two agree.

    Raises:
        InputError: a metric is measured but not declared, declared but not measured, or not a number.
    """
    if not compiled or type(experiment).measured is not Authored.measured:
        return experiment.measured(model, setting)
    key = experiment, setting.model_dump_json(exclude=set(UNSEEN))
    if key not in _NATIVE:
        found = experiment.measured(model, setting)
        while len(_NATIVE) >= MOST:
            _NATIVE.pop(next(iter(_NATIVE)))
        _NATIVE[key] = _native(experiment, model, setting, found)
        return found
    native = _NATIVE[key]
    return native(model) if native else experiment.measured(model, setting)


def _native(experiment: Authored, model: Replicas, setting: Setting, expected: Mapping[str, Tensor]) -> Any:
    """The metrics as native code; None if they cannot be, or differ from what is expected."""
    seen = _narrowed(setting)
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
