"""The report's sections on a model of colours: its answers before and after ablation, and where the concept is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import nn

from anchoring import Edited, Replicas
from anchoring.layers import Edits
from excolor import colors, pictures
from excolor.concepts import Concept, oracle
from excolor.pictures import Outputs
from excolor.setting import ColorSetting
from study.experiment import Section


@dataclass(frozen=True)
class Swatch:
    """A colour in [0, 1], shown in a table as a patch and its hexadecimal code."""

    rgb: Sequence[float]

    def __str__(self) -> str:
        return "#" + "".join(f"{round(255 * channel):02x}" for channel in self.rgb)

    def _repr_html_(self) -> str:
        patch = "display: inline-block; width: 3rem; height: 1.3rem; margin-right: 0.4rem; vertical-align: middle"
        return f'<span style="{patch}; border: 1px solid #8888; background: {self}"></span><code>{self}</code>'


def sections(
    model: Replicas, edits: Callable[[nn.Module], Edits], setting: ColorSetting, replica: int
) -> list[Section]:
    """The report's sections on one replica of a trained model. `edits` ablate it."""
    ablated = model.edited(edits)
    shown = [
        _removal(model, ablated, replica, setting.concept),
        Section(
            "Named colours",
            "Each colour as it is, as the model answers it intact and ablated, and as the oracle answers it.",
            table=named_colors(model, ablated, replica, setting.concept),
        ),
    ]
    if setting.ablation.kind == "ablate":
        one = model[replica]
        shown += _latents(Edited(one), Edited(one, edits(one)), setting)
    return shown


def _removal(model: Replicas, ablated: Outputs, replica: int, concept: Concept) -> Section:
    words = (
        f"The {concept}-blind oracle knows everything about a colour except its {concept}. If {concept} is well "
        "isolated, the intact model reproduces the colours, and the ablated model answers as the oracle does."
    )
    if concept == "hue":
        dark, light = lightness_over_hues(ablated, replica)
        words += (
            f" The oracle answers every pure hue with the same gray, 0.500. The ablated model's answers have a mean "
            f"channel of {dark:.3f} to {light:.3f}."
        )
        if light - dark > 0.02:
            words += (
                " So hue is not gone altogether: some of it is left as lightness, the stripes in the second picture. "
                "(The mean of the channels as gray differs by 0.333 between pure hues, and has an isolation of 0.951.)"
            )
        words += " A tint that all answers share says nothing about hue, but it lowers blindness, too."
    return Section(
        "What ablation does",
        words,
        figure=pictures.removals(model, {"after ablation": ablated}, replica, concept),
        name="removals",
        description="Colours by hue and lightness, as answered before and after ablation and by the oracle",
    )


def _latents(intact: Edited, ablated: Edited, setting: ColorSetting) -> list[Section]:
    layer, dims, concept = setting.ablation.layer, setting.ablation.removed, setting.concept
    named = " and ".join(f"z{dim}" for dim in dims)
    words = (
        f"The activations of 1,728 colours at the {layer}, each drawn in its colour. Ablation sets {named} to 0: the "
        "second figure shows what is left."
    )
    return [
        Section(
            f"Where {concept} is",
            words,
            figure=pictures.latents(intact, layer, dims, "intact"),
            name="latents",
            description="Latents of the intact model, each point in the colour that it encodes",
        ),
        Section(
            "",
            figure=pictures.latents(ablated, layer, dims, "ablated"),
            name="latents-ablated",
            description="Latents of the ablated model, each in its colour: the ablated dims are 0",
        ),
    ]


@torch.no_grad()
def lightness_over_hues(ablated: Outputs, replica: int) -> tuple[float, float]:
    """The mean channel of one replica's darkest and lightest answers to 36 pure hues. The oracle's are all 0.5."""
    means = ablated(colors.pure_hues(36))[replica].mean(-1)
    return means.min().item(), means.max().item()


@torch.no_grad()
def named_colors(model: Replicas, ablated: Outputs, replica: int, concept: Concept = "hue") -> pd.DataFrame:
    """A table of swatches: the answers of one replica, intact and ablated, and of the oracle to the named colours."""
    named = colors.named()
    x = torch.stack(list(named.values()))
    answers = {"true": x, "intact": model(x)[replica], "ablated": ablated(x)[replica], "oracle": oracle(x, concept)}
    table = {name: [Swatch(rgb) for rgb in answer.tolist()] for name, answer in answers.items()}
    return pd.DataFrame(table, index=list(named))
