"""The study framework: Ray Tune launches trials of a search space, Optuna proposes them, results reach a folder."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {"StudyFolder": "study.record.folder", "load": "study.record.folder"}

__all__ = ["StudyFolder", "load"]  # noqa: F822  # imported when they are asked for


def __getattr__(name: str) -> Any:
    """Public names are imported when they are asked for: an experiment needs `study.experiment` alone."""
    if name not in _HOMES:
        raise AttributeError(f"module 'study' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
