"""The study framework: Ray Tune launches trials of a search space, Optuna proposes them, results reach a folder.

Its public names are imported when they are asked for: an experiment needs `study.experiment` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.api import compare, confirm, report, resume, run, survey, survey_points
    from study.fixed import arms, path, train, vary
    from study.record.folder import StudyFolder
    from study.record.loading import load
    from study.search.plan import Plan
    from study.space.space import Space, read

__version__ = "0.3.0.dev0"

__all__ = [
    "Plan",
    "Space",
    "StudyFolder",
    "__version__",
    "arms",
    "compare",
    "confirm",
    "load",
    "path",
    "read",
    "report",
    "resume",
    "run",
    "survey",
    "survey_points",
    "train",
    "vary",
]

_HOMES = {
    "api": ("compare", "confirm", "report", "resume", "run", "survey", "survey_points"),
    "fixed": ("arms", "path", "train", "vary"),
    "record.folder": ("StudyFolder",),
    "record.loading": ("load",),
    "search.plan": ("Plan",),
    "space.space": ("Space", "read"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"study.{module}"), name)
    raise AttributeError(f"module 'study' has no attribute {name!r}")
