"""What isolation must be compared with: answers that need no model, and subspaces that were not chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import pandas as pd
import torch
from torch import Tensor

from anchoring import Setting
from anchoring.ablation import Ablation, compare
from anchoring.alignment import suppress
from excolor import colors
from excolor.concepts import Concept, oracle
from excolor.metrics import evaluate
from excolor.models import ColorMLP

_LUMA = (0.2126, 0.7152, 0.0722)


def answers(concept: Concept = "hue") -> pd.DataFrame:
    """A row for each answer that an ablated model might give of a perfect intact one, a column for each metric."""
    given: dict[str, Callable[[Tensor], Tensor]] = {
        f"the {concept}-blind oracle": lambda x: oracle(x, concept),
        "mean of the channels": lambda x: x.mean(-1, keepdim=True).expand_as(x),
        "luma, Rec. 709": lambda x: (x @ x.new_tensor(_LUMA)).unsqueeze(-1).expand_as(x),
        "one gray for all": lambda x: torch.full_like(x, 0.5),
        "V as gray": lambda x: colors.value(x).unsqueeze(-1).expand_as(x),
        f"{concept} untouched": lambda x: x,
        "hues rotated by 180 degrees": lambda x: 2 * colors.hue_blind(x) - x,
    }

    def beside(answer: Callable[[Tensor], Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        return lambda x: (x[None], answer(x)[None])

    found = {name: measured(beside(answer), concept).iloc[0] for name, answer in given.items()}
    return pd.DataFrame(found).T


def compared(
    models: Mapping[str, tuple[ColorMLP, Setting]], published: tuple[ColorMLP, Setting] | None = None
) -> pd.DataFrame:
    """Every control of every model: a row per replica, with `model`, `control` and the metrics.

    Of models with the ablation's dims at the encoder; `published`, if given, is ablated, suppressed and erased.
    """
    parts = []
    for name, (model, setting) in models.items():
        layer, dims, concept = setting.ablation.layer, setting.ablation.dims, setting.concept
        others = by_dims(model, len(dims), concept, layer).drop(columns=_name(sorted(dims)))
        random = random_subspaces(model, len(dims), concept, layer)
        parts += [
            measured(setting.ablation.compare(model), concept).assign(model=name, control="its dims"),
            pd.DataFrame({"isolation": others.max(axis=1), "model": name, "control": "best other dims"}),
            pd.DataFrame({"isolation": random.mean(axis=1), "model": name, "control": "random subspaces"}),
        ]
        if concept == "hue":
            erased = Ablation(kind="leace", layer=layer).compare(model)
            parts.append(measured(erased, concept).assign(model=name, control="LEACE"))
    if published:
        model, setting = published
        ways = {
            "its dims": setting.ablation,
            "suppressed": setting.ablation.model_copy(update={"kind": "suppress", "layer": "bottleneck"}),
            "LEACE": Ablation(kind="leace", layer="bottleneck"),
        }
        for control, way in ways.items():
            parts.append(measured(way.compare(model), "hue").assign(model="published", control=control))
    return pd.concat(parts, ignore_index=True)


def measured(outputs: Callable[[Tensor], tuple[Tensor, Tensor]], concept: Concept) -> pd.DataFrame:
    """Every metric of every replica: a row per replica."""
    return pd.DataFrame({name: metric.numpy() for name, metric in evaluate(outputs, concept=concept).items()})


def by_dims(model: ColorMLP, size: int, concept: Concept = "hue", layer: str = "encoder") -> pd.DataFrame:
    """Isolation after ablating each choice of so many of the bottleneck's dims: a row per replica, a column each."""
    choices = combinations(range(model.config.bottleneck), size)
    ways = {_name(dims): Ablation(layer=layer, dims=dims).compare(model) for dims in choices}
    return pd.DataFrame({name: measured(way, concept).isolation for name, way in ways.items()})


def random_subspaces(
    model: ColorMLP, size: int, concept: Concept = "hue", layer: str = "encoder", draws: int = 8
) -> pd.DataFrame:
    """Isolation after suppressing random subspaces of so many dimensions: a row per replica, a column per subspace.

    One is spanned by the first rows of a random rotation, so that each is as likely as any other.
    """
    generator = torch.Generator().manual_seed(0)
    table = {}
    for draw in range(draws):
        basis = torch.linalg.qr(torch.randn(model.config.bottleneck, size, generator=generator)).Q.T
        edits = {layer: partial(suppress, basis=basis, gate=torch.ones_like)}
        table[f"subspace {draw + 1}"] = measured(compare(model, edits), concept).isolation
    return pd.DataFrame(table)


def _name(dims: Sequence[int]) -> str:
    return ", ".join(f"z{dim}" for dim in dims)
