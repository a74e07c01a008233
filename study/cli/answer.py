"""A command's answer as JSON, for `--json`."""

from __future__ import annotations

import json
import re
from typing import Any


def as_json(answer: Any) -> str:
    """An answer as indented JSON: a data frame as a list of its rows, and null for NaN, infinities and pandas' NA."""
    from pydantic_core import to_json

    text = to_json(answer, indent=2, inf_nan_mode="null", fallback=_plain).decode()
    return re.sub(r"[^\0-\x7f]+", lambda found: json.dumps(found[0])[1:-1], text)  # whatever the terminal's encoding


def _plain(value: Any) -> Any:
    """What pydantic cannot write, as something that it can."""
    import numpy as np
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return value.to_dict("records")
    if isinstance(value, np.generic):
        return value.item()
    if value is pd.NA:
        return None
    raise TypeError(f"found a {type(value).__name__}, expected what JSON can say")
