"""What isolation must be compared with: answers that need no model, and planes that were not chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from excolor import colors
from excolor.ablation import Ablation, compare
from excolor.alignment import suppress
from excolor.metrics import evaluate
from excolor.models import ColorMLP

_LUMA = (0.2126, 0.7152, 0.0722)

ANSWERS: dict[str, Callable[[Tensor], Tensor]] = {
    "the hue-blind oracle, V (1 - S/2)": colors.hue_blind,
    "mean of the channels": lambda x: x.mean(-1, keepdim=True).expand_as(x),
    "luma, Rec. 709": lambda x: (x @ x.new_tensor(_LUMA)).unsqueeze(-1).expand_as(x),
    "one gray for all": lambda x: torch.full_like(x, 0.5),
    "V as gray": lambda x: colors.value(x).unsqueeze(-1).expand_as(x),
    "hue untouched": lambda x: x,
    "hue rotated by 180 degrees": lambda x: colors.hue_blind(x) * 2 - x,
}


def answers() -> pd.DataFrame:
    """A row for each answer that an ablated model might give of a perfect intact one, a column for each metric."""
    measured = {name: evaluate(lambda x, f=f: (x[None], f(x)[None])) for name, f in ANSWERS.items()}
    return pd.DataFrame({name: {m: v.item() for m, v in metrics.items()} for name, metrics in measured.items()}).T


def by_pair(model: ColorMLP, layer: str = "encoder") -> pd.DataFrame:
    """Isolation after ablating each pair of the bottleneck's dims: a row per replica, a column per pair."""
    pairs = list(combinations(range(model.config.bottleneck), 2))
    found = {f"z{a}, z{b}": evaluate(Ablation(layer=layer, dims=(a, b)).compare(model)) for a, b in pairs}
    return pd.DataFrame({name: metrics["isolation"].numpy() for name, metrics in found.items()})


def random_planes(model: ColorMLP, layer: str = "encoder", planes: int = 8) -> pd.DataFrame:
    """Isolation after suppressing random planes of a layer: a row per replica, a column per plane.

    A plane is spanned by the first columns of a random rotation, so that each is as likely as any other.
    """
    generator = torch.Generator().manual_seed(0)
    table = {}
    for plane in range(planes):
        basis = torch.linalg.qr(torch.randn(model.config.bottleneck, 2, generator=generator)).Q.T
        edits = {layer: lambda z, basis=basis: suppress(z, basis, torch.ones_like)}
        table[f"plane {plane + 1}"] = evaluate(compare(model, edits))["isolation"].numpy()
    return pd.DataFrame(table)


def removed(model: ColorMLP, ways: Iterable[Ablation]) -> pd.DataFrame:
    """Every metric of every replica after each removal: columns `removal` (its kind), `replica` and the metrics."""
    rows = []
    for way in ways:
        metrics = {name: metric.numpy() for name, metric in evaluate(way.compare(model)).items()}
        rows.append(pd.DataFrame({"removal": way.kind, "replica": np.arange(model.replicas), **metrics}))
    return pd.concat(rows, ignore_index=True)
