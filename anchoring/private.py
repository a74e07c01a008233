"""What this package uses of PyTorch although it is not public. A test of each fails if it changes."""

from __future__ import annotations

from typing import Any

from torch._decomp import decomposition_table
from torch.utils import _pytree as pytree

__all__ = ["decomposition_table", "pytree", "schema_of"]


def schema_of(operator: Any) -> Any:
    """What PyTorch knows of one of its operators, among that its name. None for other functions."""
    return getattr(operator, "_schema", None)
