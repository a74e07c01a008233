"""A closer look at a few trained models: what takes too long to be measured at every rung."""

from __future__ import annotations

from collections.abc import Sequence

from anchoring.probes import probe_gap, wheel
from anchoring.relearning import relearning
from anchoring.setting import Setting
from excolor.metrics import Metrics
from excolor.models import ColorMLP


def examine(model: ColorMLP, setting: Setting, seeds: Sequence[int]) -> Metrics:
    """relearning and, of hue, probe_gap and, of two dims, wheel and winding, of every replica: [R] each.

    They are about dims, so there are none if a direction, or whatever LEACE finds, is taken away instead.
    """
    layer, dims = setting.ablation.layer, setting.ablation.dims
    if setting.ablation.direction is not None or setting.ablation.kind == "leace":
        return {}
    measured = {"relearning": relearning(model, setting, seeds)}
    if setting.concept == "hue":
        measured["probe_gap"] = probe_gap(model, layer, dims)
    if setting.concept == "hue" and len(dims) == 2:
        measured["wheel"], measured["winding"] = wheel(model, layer, (dims[0], dims[1]))
    return measured
