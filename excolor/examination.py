"""A closer look at a few trained models: what takes too long to be measured at every rung."""

from __future__ import annotations

from collections.abc import Sequence

from excolor.metrics import Metrics
from excolor.models import ColorMLP
from excolor.probes import probe_gap, wheel
from excolor.relearning import relearning
from excolor.setting import Setting


def examine(model: ColorMLP, setting: Setting, seeds: Sequence[int]) -> Metrics:
    """probe_gap, relearning and, of two ablated dims, wheel and winding, of every replica: [R] each."""
    layer, dims = setting.ablation.layer, setting.ablation.dims
    measured = {"probe_gap": probe_gap(model, layer, dims), "relearning": relearning(model, setting, seeds)}
    if len(dims) == 2:
        measured["wheel"], measured["winding"] = wheel(model, layer, (dims[0], dims[1]))
    return measured
