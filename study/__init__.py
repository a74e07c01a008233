"""The study framework: Ray Tune launches trials of a search space, Optuna proposes them, results reach a folder.

Its public names are imported when they are asked for: an experiment needs `study.experiment` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.record.folder import StudyFolder
    from study.record.loading import load
    from study.space.space import Space, read

__version__ = "0.2.0.dev0"

__all__ = ["Space", "StudyFolder", "__version__", "load", "read"]

_HOMES = {
    "Space": "study.space.space",
    "StudyFolder": "study.record.folder",
    "load": "study.record.loading",
    "read": "study.space.space",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'study' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
