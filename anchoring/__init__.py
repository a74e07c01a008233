"""The method: regularizers, under a schedule, that press a concept into chosen latent dimensions; and its ablation.

Its public names are imported when they are asked for: errors and dopesheets need no PyTorch, which takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anchoring.data import Data
    from anchoring.erasure import Target
    from anchoring.errors import FailedError, InputError
    from anchoring.experiment import AnchoredExperiment
    from anchoring.fields import Config
    from anchoring.labels import Label
    from anchoring.layers import Edited, activations
    from anchoring.replicas import Replicas
    from anchoring.setting import Sampling, Setting
    from anchoring.terms import TERMS, Seen, Term

__all__ = [
    "TERMS",
    "AnchoredExperiment",
    "Config",
    "Data",
    "Edited",
    "FailedError",
    "InputError",
    "Label",
    "Replicas",
    "Sampling",
    "Seen",
    "Setting",
    "Target",
    "Term",
    "activations",
]

_HOMES = {
    "data": ("Data",),
    "erasure": ("Target",),
    "errors": ("FailedError", "InputError"),
    "experiment": ("AnchoredExperiment",),
    "fields": ("Config",),
    "labels": ("Label",),
    "layers": ("Edited", "activations"),
    "replicas": ("Replicas",),
    "setting": ("Sampling", "Setting"),
    "terms": ("TERMS", "Seen", "Term"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"anchoring.{module}"), name)
    raise AttributeError(f"module 'anchoring' has no attribute {name!r}")
