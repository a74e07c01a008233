"""Controls for isolation: answers that need no model, and subspaces that nobody chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import pandas as pd
import torch
from torch import Tensor, nn

from anchoring import Replicas
from anchoring.ablation import Ablate, Ablation, Leace, Suppress
from anchoring.alignment import suppress
from anchoring.layers import Edits
from excolor import colors
from excolor.concepts import Concept, oracle
from excolor.experiment import experiment
from excolor.metrics import evaluate
from excolor.setting import ColorSetting

_LUMA = (0.2126, 0.7152, 0.0722)


def answers(concept: Concept = "hue") -> pd.DataFrame:
    """The metrics of a perfect intact model whose ablated version gives one of these answers: a row for each answer."""
    given: dict[str, Callable[[Tensor], Tensor]] = {
        f"the {concept}-blind oracle": lambda x: oracle(x, concept),
        "mean of the channels": lambda x: x.mean(-1, keepdim=True).expand_as(x),
        "luma, Rec. 709": lambda x: (x @ x.new_tensor(_LUMA)).unsqueeze(-1).expand_as(x),
        "one gray for all": lambda x: torch.full_like(x, 0.5),
        "V as gray": lambda x: colors.value(x).unsqueeze(-1).expand_as(x),
        f"{concept} untouched": lambda x: x,
        "hues rotated by 180 degrees": lambda x: 2 * colors.hue_blind(x) - x,
    }
    found = {name: evaluate(lambda x: x, answer, concept) for name, answer in given.items()}
    return pd.DataFrame({name: {metric: value.item() for metric, value in of.items()} for name, of in found.items()}).T


def compared(
    models: Mapping[str, tuple[Replicas, ColorSetting]], hue_deletion: tuple[Replicas, ColorSetting] | None = None
) -> pd.DataFrame:
    """Every control of every model: a row per replica, with `model`, `control` and the metrics.

    Args:
        models: models and their settings by name. Their ablations name dims of the encoder.
        hue_deletion: the paper's setting, if it is to be ablated, suppressed and erased, too.
    """
    parts = []
    for name, (model, setting) in models.items():
        dims = setting.ablation.removed
        others = by_dims(model, setting, len(dims)).drop(columns=_name(sorted(dims)))
        random = random_subspaces(model, setting, len(dims))
        parts += [
            measured(model, setting).assign(model=name, control="its dims"),
            pd.DataFrame({"isolation": others.max(axis=1), "model": name, "control": "best other dims"}),
            pd.DataFrame({"isolation": random.mean(axis=1), "model": name, "control": "random subspaces"}),
        ]
        if setting.concept == "hue":
            erased = _by(setting, Leace(layer=setting.ablation.layer))
            parts.append(measured(model, setting, erased).assign(model=name, control="LEACE"))
    if hue_deletion:
        model, setting = hue_deletion
        ways = {
            "its dims": setting.ablation,
            "suppressed": Suppress(layer="bottleneck", dims=setting.ablation.removed),
            "LEACE": Leace(layer="bottleneck"),
        }
        for control, way in ways.items():
            parts.append(measured(model, setting, _by(setting, way)).assign(model="hue deletion", control=control))
    return pd.concat(parts, ignore_index=True)


def measured(model: Replicas, setting: ColorSetting, edits: Callable[[nn.Module], Edits] | None = None) -> pd.DataFrame:
    """Every metric of every replica, after the setting's ablation or other edits: a row per replica."""
    found = experiment.measured(model, setting, edits)
    return pd.DataFrame({name: metric.numpy() for name, metric in found.items()})


def by_dims(model: Replicas, setting: ColorSetting, size: int) -> pd.DataFrame:
    """Isolation after ablating each choice of `size` dims of the bottleneck: a row per replica, a column per choice."""
    layer = setting.ablation.layer
    ways = {dims: Ablate(layer=layer, dims=dims) for dims in combinations(range(setting.model.bottleneck), size)}
    return pd.DataFrame({_name(dims): measured(model, setting, way.edits).isolation for dims, way in ways.items()})


def random_subspaces(model: Replicas, setting: ColorSetting, size: int, draws: int = 8) -> pd.DataFrame:
    """Isolation after suppressing random subspaces of `size` dimensions: a row per replica, a column per subspace.

    A subspace is spanned by the first rows of a random rotation, so all subspaces are equally likely.
    """
    generator = torch.Generator().manual_seed(0)
    table = {}
    for draw in range(draws):
        basis = torch.linalg.qr(torch.randn(setting.model.bottleneck, size, generator=generator)).Q.T
        edit = partial(suppress, basis=basis, gate=torch.ones_like)
        table[f"subspace {draw + 1}"] = measured(
            model, setting, partial(_same, {setting.ablation.layer: edit})
        ).isolation
    return pd.DataFrame(table)


def _same(edits: Edits, one: nn.Module) -> Edits:
    return edits


def _by(setting: ColorSetting, way: Ablation) -> Callable[[nn.Module], Edits]:
    return partial(way.edits, target=experiment.target(setting))


def _name(dims: Sequence[int]) -> str:
    return ", ".join(f"z{dim}" for dim in dims)
