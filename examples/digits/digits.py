"""One digit in an autoencoder of handwritten digits: an experiment on real data, in one file.

The concept is a digit, 3 unless the setting says otherwise. It is drawn into the first of eight latent dimensions by a
few noisy labels; without that dimension the model should answer its images as a model does that never saw the digit, and
the other nine as before. Two kinds of reference models, eight of each, say what that is: *untouched* ones, and ones
trained on the other nine digits. They are trained once a process, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import Field
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from anchoring import TERMS, AnchoredExperiment, Data, Edited, Replicas, Seen, Setting, Table, Target, Term
from anchoring.ablation import ABLATIONS, Ablation
from anchoring.fields import Count, Positive
from anchoring.fitting import fit
from study.experiment import Metric, Section

SEEN = 1200  # images to train on; the other 597 are held out, and mostly of other writers
PIXELS, DIGITS = (torch.from_numpy(array).float() for array in load_digits(return_X_y=True))
IMAGES = PIXELS / 16
RATES = np.concatenate([np.geomspace(1e-4, 1e-2, 10), np.full(990, 1e-2), np.geomspace(1e-2, 1e-3, 1000)])


class ModelConfig(Table):
    """How wide the model is."""

    bottleneck: Count = 8
    hidden: Count = 32


class DigitsSetting(Setting):
    digit: Annotated[int, Field(ge=0, le=9)] = 3
    model: ModelConfig = ModelConfig()


class DigitsMLP(nn.Module):
    """64-h-GELU-k-h-GELU-64 and a sigmoid: 4,744 parameters at h = 32 and k = 8."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        k, h = config.bottleneck, config.hidden
        self.encoder = nn.Sequential(nn.Linear(64, h), nn.GELU(), nn.Linear(h, k))
        self.decoder = nn.Sequential(nn.Linear(k, h), nn.GELU(), nn.Linear(h, 64), nn.Sigmoid())
        self.around = {"encoder": ("encoder.2", "decoder.0")}

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]


class Lookalike(Term):
    """Without the dims, the answer to a labelled image should be those of the batch's other digits that look like it.

    The target is their mean, weighted by `softmax(-sharpness ||x - x'||^2)` over the images with the label `others`.
    Only what comes after the layer learns by it, as with Fallback.
    """

    sharpness: Positive = 5.0
    others: str = "other"

    def per_sample(self, z: Tensor) -> Tensor:
        raise TypeError("Lookalike's losses are of the model's answers; total gives them")

    def total(self, seen: Seen) -> Tensor:
        x, other = seen.layers["input"], seen.labels[self.others]
        length = x.square().sum(-1)
        far = length[:, None] + length - 2 * x @ x.mT
        target = (-self.sharpness * far - 1e4 * (1 - other)).softmax(-1) @ x
        answers = seen.rerun({"encoder": lambda z: torch.cat([0 * z[:, :1], z[:, 1:]], 1).detach()})["output"]
        return self.mean((answers - target).square().mean(-1), seen) * other.amax()


class Hindsight(Ablation):
    """The direction and offset at which a replica scores best, fitted to the held-out images themselves.

    No fair method may look at those; it is what an unanchored model could come to at the very best.
    """

    digit: int = 3

    def edits(self, model: nn.Module, target: Target | None = None) -> Mapping[str, Callable[[Tensor], Tensor]]:
        refs, x = references(self.digit), held_out(self.digit)
        with torch.enable_grad():
            z = model.encoder(x).detach()
            random = torch.Generator().manual_seed(0)
            found = torch.randn(16, z.shape[1] + 1, generator=random).requires_grad_()

            def edited(z: Tensor, place: Tensor) -> Tensor:
                direction = F.normalize(place[:-1], dim=0)
                return z - (z @ direction - place[-1]).unsqueeze(-1) * direction

            def scores() -> Tensor:
                answers = [model.decoder(edited(z, place)) for place in found]
                return torch.stack([refs.forgotten(y).clamp(max=1) + refs.kept(y).clamp(max=1) for y in answers])

            optimizer = torch.optim.Adam([found], lr=0.05)
            for _ in range(150):
                optimizer.zero_grad()
                (-scores().sum()).backward(inputs=[found])
                optimizer.step()
            best = found[scores().argmax()].detach()
        return {self.layer: lambda z: edited(z, best)}


@dataclass(frozen=True)
class References:
    """What reference models make of held-out images; each measure is 0 at one of two errors, and 1 at the other."""

    oracle: Tensor  # the mean answer of models that never saw the digit to its images [n, 64]
    utility: Callable[[Tensor], Tensor]
    forgotten: Callable[[Tensor], Tensor]
    kept: Callable[[Tensor], Tensor]


@cache
def held_out(digit: int) -> Tensor:
    """The held-out images [597, 64], those of the digit first."""
    return IMAGES[SEEN + torch.argsort((DIGITS[SEEN:] != digit).int(), stable=True)]


def error(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared error of images, a scalar."""
    return (a - b).square().mean()


@cache
def references(digit: int, config: ModelConfig = ModelConfig(), models: int = 8) -> References:  # noqa: B008
    """Train the reference models, on seeds of their own, and say what is measured by them."""
    x, n = held_out(digit), int((DIGITS[SEEN:] == digit).sum())
    others = IMAGES[:SEEN][DIGITS[:SEEN] != digit]
    seeds = range(1_000_000, 1_000_000 + models)

    def answers(images: Tensor) -> Tensor:
        replicas = Replicas(lambda: DigitsMLP(config), seeds)
        with torch.no_grad():
            return fit(replicas, Data(images), experiment.loss, seeds, RATES)(x)

    untouched, never = answers(IMAGES[:SEEN]), answers(others)
    oracle = never[:, :n].mean(0)
    unbiased = (models + 1) / (models - 1)  # each of them is nearer to a mean of which it is part

    def between(part: slice, to: Tensor, zero: Tensor, one: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda y: (zero - error(y[part], to)) / (zero - one)

    first, rest = slice(0, n), slice(n, None)
    return References(
        oracle,
        between(first, x[:n], error(never[:, :n], x[:n]), error(untouched[:, :n], x[:n])),
        between(first, oracle, error(untouched[:, :n], oracle), error(never[:, :n], oracle) * unbiased),
        between(rest, x[n:], error(others.mean(0), x[n:]), error(untouched[:, n:], x[n:])),
    )


class Digits(AnchoredExperiment):
    name = "digits"
    Setting = DigitsSetting
    affinities = ("digit", "other")
    spaces = Path(__file__).parent
    terms = (*TERMS, Lookalike)
    ablations = (*ABLATIONS, Hindsight)

    def build(self, setting: DigitsSetting) -> nn.Module:
        return DigitsMLP(setting.model)

    def data(self, setting: DigitsSetting) -> Data:
        digit = (DIGITS[:SEEN] == setting.digit).float()
        return Data(IMAGES[:SEEN], {"digit": digit, "other": 1 - digit})

    def loss(self, output: Tensor, target: Tensor, setting: DigitsSetting | None = None) -> Tensor:
        return (output - target).square().mean(-1)

    def metrics(self, setting: DigitsSetting) -> dict[str, Metric]:
        return {
            "isolation": Metric("utility x forgotten x kept, each within 0 and 1", diverged=0.0, failure=0.3),
            "utility": Metric("the intact model knows the digit: 1 as untouched ones, 0 as if it never saw it", diverged=0.0),
            "forgotten": Metric("ablated, it answers the digit as models do that never saw it: 1; 0 as untouched ones", diverged=0.0),
            "kept": Metric("ablated, it reproduces the other nine: 1 as untouched models do, 0 as one mean image", diverged=0.0),
            "labelled": Metric("images that carried a label in training", ideal=None, higher_is_better=False),
        }  # fmt: skip

    def measure(self, intact: Edited, ablated: Edited, setting: DigitsSetting) -> dict[str, Tensor]:
        refs, x = references(setting.digit, setting.model), held_out(setting.digit)
        y = ablated(x)
        parts = {"utility": refs.utility(intact(x)), "forgotten": refs.forgotten(y), "kept": refs.kept(y)}
        return {"isolation": torch.stack([*parts.values()]).clamp(0, 1).prod(0), **parts}

    def target(self, setting: DigitsSetting) -> Target:
        return Target(IMAGES[:SEEN], (DIGITS[:SEEN, None] == setting.digit).float())

    def references(self, setting: DigitsSetting) -> Sequence[Path]:
        files = (Path(__file__).with_name(f"{name}.toml") for name in ("hindsight", "leace"))
        return [file for file in files if file.is_file() and setting.digit == 3]

    def sections(self, model: Replicas, setting: DigitsSetting, replica: int) -> list[Section]:
        x, n, one = held_out(setting.digit), len(references(setting.digit, setting.model).oracle), model[replica]
        shown = torch.cat([torch.arange(0, n, n // 6)[:6], torch.arange(n, len(x), (len(x) - n) // 8)[:8]])
        ablated = Edited(one, self.edits(setting)(one))
        oracle = torch.cat([references(setting.digit, setting.model).oracle, x[n:]])
        rows = {"image": x, "intact": one(x), "ablated": ablated(x), "oracle": oracle}
        figure = Figure(figsize=(9, 3), layout="constrained")
        for axis, (name, row) in zip(figure.subplots(4, 1), rows.items(), strict=True):
            axis.imshow(
                row[shown].detach().reshape(14, 8, 8).permute(1, 0, 2).reshape(8, 112), cmap="gray_r", vmin=0, vmax=1
            )
            axis.set(yticks=[3.5], yticklabels=[name], xticks=[])
        words = f"Held-out images, six {setting.digit}s and eight others. *oracle*: the mean answer of models that never saw a {setting.digit}."
        return [Section("What ablation does", words, figure=figure, name="digits", description=words)]


experiment = Digits()
