"""One digit in an autoencoder of handwritten digits: an experiment on real data, in one file.

The concept is a digit, by default 3. A few noisy labels draw it into the first of eight latent dimensions. Without that
dimension, the model should answer images of the digit like a model that never saw it, and the other nine as before.
Two groups of reference models define these answers: eight *untouched* ones, and eight that never saw the digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import Field
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from anchoring import TERMS, AnchoredExperiment, Data, Edited, Replicas, Seen, Setting, Target, Term
from anchoring.ablation import ABLATIONS, Ablation
from anchoring.fields import Count, Positive
from anchoring.fitting import fit
from anchoring.setting import expect_one_of
from study.experiment import Metric, Section

SEEN = 1200  # images to train on; the other 597 are held out, and most are by other writers
PIXELS, DIGITS = (torch.from_numpy(array).float() for array in load_digits(return_X_y=True))
IMAGES = PIXELS / 16
RATES = np.concatenate([np.geomspace(1e-4, 1e-2, 10), np.full(990, 1e-2), np.geomspace(1e-2, 1e-3, 1000)])


class DigitsSetting(Setting):
    digit: Annotated[int, Field(ge=0, le=9)] = 3
    bottleneck: Count = 8
    hidden: Count = 32


class DigitsMLP(nn.Module):
    """An autoencoder 64-h-GELU-k-h-GELU-64 with a sigmoid. With h = 32 and k = 8 it has 4,744 parameters."""

    def __init__(self, k: int, h: int):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, h), nn.GELU(), nn.Linear(h, k))
        self.decoder = nn.Sequential(nn.Linear(k, h), nn.GELU(), nn.Linear(h, 64), nn.Sigmoid())
        self.around = {"encoder": ("encoder.2", "decoder.0")}

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class Lookalike(Term):
    """With dim 0 set to 0, a labelled image should be answered with other digits of the batch that look like it.

    The target is a mean of the images with the label `others`, weighted by `softmax(-sharpness ||x - x'||^2)`. Only
    weights after the layer learn by this term, as with Fallback.
    """

    sharpness: Positive = 5.0
    others: str = "other"

    def per_sample(self, z: Tensor) -> Tensor:
        raise TypeError("Lookalike needs the model's answers, not activations alone: call total")

    def total(self, seen: Seen) -> Tensor:
        x, other = seen.layers["input"], seen.labels[self.others]
        length = x.square().sum(-1)
        distance = length[:, None] + length - 2 * x @ x.mT
        target = (-self.sharpness * distance - 1e4 * (1 - other)).softmax(-1) @ x
        answers = seen.rerun({"encoder": lambda z: torch.cat([0 * z[:, :1], z[:, 1:]], 1).detach()})["output"]
        return self.mean((answers - target).square().mean(-1), seen) * other.amax()


class Hindsight(Ablation):
    """Removes the direction that isolates best. It is fitted to the held-out images, which no fair method may use."""

    def edits(self, model: Any, target: Target | None = None) -> Mapping[str, Callable[[Tensor], Tensor]]:
        digit = int(DIGITS[target.values.argmax()])  # type: ignore[union-attr]
        refs = references(digit, model.decoder[0].in_features, model.decoder[0].out_features)
        z = model.encoder(held_out(digit)).detach()
        places = torch.randn(16, z.shape[1] + 1, generator=torch.Generator().manual_seed(0)).requires_grad_()

        def edited(z: Tensor, place: Tensor) -> Tensor:
            direction = F.normalize(place[:-1], dim=0)
            return z - (z @ direction - place[-1]).unsqueeze(-1) * direction

        def score(place: Tensor, slope: float = 0.0) -> Tensor:  # the product is flat where a factor is 0
            y = model.decoder(edited(z, place))
            parts = torch.stack([refs.forgotten(y), refs.kept(y)]).clamp(max=1)
            return parts.clamp(min=0).prod() + slope * parts.sum()

        optimizer = torch.optim.Adam([places], lr=0.05)
        with torch.enable_grad():
            for _ in range(150):
                places.grad = torch.autograd.grad(-torch.stack([score(place, 1.0) for place in places]).sum(), places)[
                    0
                ]
                optimizer.step()
        best = max(places.detach(), key=score)
        return {self.layer: lambda z: edited(z, best)}


@cache
def held_out(digit: int) -> Tensor:
    """The held-out images, [597, 64]. Images of the digit come first."""
    return IMAGES[SEEN + torch.argsort((DIGITS[SEEN:] != digit).int(), stable=True)]


def error(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared error of images [N, 64], a scalar."""
    return (a - b).square().mean()


@cache
def references(digit: int, bottleneck: int = 8, hidden: int = 32, models: int = 8) -> SimpleNamespace:
    """Train the reference models, from seeds that no trial uses. It takes seconds, once in a process.

    Returns:
        `oracle`, the mean answer [n, 64] to images of the digit of models that never saw it, and three measures:
        `utility`, `forgotten` and `kept`. Each maps answers to the held-out images to a score: 0 for one group of
        reference models, 1 for another.
    """
    x, n = held_out(digit), int((DIGITS[SEEN:] == digit).sum())
    others = IMAGES[:SEEN][DIGITS[:SEEN] != digit]
    seeds = range(1_000_000, 1_000_000 + models)

    def answers(images: Tensor) -> Tensor:
        replicas = Replicas(lambda: DigitsMLP(bottleneck, hidden), seeds)
        return fit(replicas, Data(images), lambda y, x: (y - x).square().mean(-1), seeds, RATES)(x).detach()

    def between(part: slice, to: Tensor, zero: Tensor, one: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda y: (zero - error(y[part], to)) / (zero - one)

    untouched, never = answers(IMAGES[:SEEN]), answers(others)
    oracle, first, rest = never[:, :n].mean(0), slice(0, n), slice(n, None)
    apart = (models + 1) / (models - 1) * error(never[:, :n], oracle)  # each is in the mean, too
    return SimpleNamespace(
        oracle=oracle,
        utility=between(first, x[:n], error(never[:, :n], x[:n]), error(untouched[:, :n], x[:n])),
        forgotten=between(first, oracle, error(untouched[:, :n], oracle), apart),
        kept=between(rest, x[n:], error(others.mean(0), x[n:]), error(untouched[:, n:], x[n:])),
    )


class Digits(AnchoredExperiment):
    name = "digits"
    Setting = DigitsSetting
    attributes = ("digit", "other")
    terms = (*TERMS, Lookalike)
    ablations = (*ABLATIONS, Hindsight)
    spaces = Path(__file__).parent

    def check(self, setting: DigitsSetting) -> None:
        for name, term in setting.regularizers.items():
            if isinstance(term, Lookalike):
                expect_one_of(setting.labels, term.others, f"regularizers.{name}.others")

    def build(self, setting: DigitsSetting) -> nn.Module:
        return DigitsMLP(setting.bottleneck, setting.hidden)

    def data(self, setting: DigitsSetting) -> Data:
        digit = (DIGITS[:SEEN] == setting.digit).float()
        return Data(IMAGES[:SEEN], {"digit": digit, "other": 1 - digit})

    def observe(
        self, intact: Edited, ablated: Edited, setting: DigitsSetting
    ) -> tuple[SimpleNamespace, Tensor, Tensor]:
        x = held_out(setting.digit)
        return references(setting.digit, setting.bottleneck, setting.hidden), intact(x), ablated(x)

    @Metric("utility x forgotten x kept, each clipped to [0, 1]", diverged=0.0, failure=0.3)
    def isolation(self, refs: Any, y: Tensor, ablated: Tensor) -> Tensor:
        parts = torch.stack([refs.utility(y), refs.forgotten(ablated), refs.kept(ablated)])
        return parts.clamp(0, 1).prod(0)

    @Metric("how well it knows the digit: 1 as well as untouched models, 0 as if it never saw it", diverged=0.0)
    def utility(self, refs: Any, y: Tensor, ablated: Tensor) -> Tensor:
        return refs.utility(y)

    @Metric(
        "how it answers the digit once ablated: 1 like models that never saw it, 0 like untouched ones", diverged=0.0
    )
    def forgotten(self, refs: Any, y: Tensor, ablated: Tensor) -> Tensor:
        return refs.forgotten(ablated)

    @Metric("how well it keeps the other nine once ablated: 1 like untouched models, 0 like a mean image", diverged=0.0)
    def kept(self, refs: Any, y: Tensor, ablated: Tensor) -> Tensor:
        return refs.kept(ablated)

    def metrics(self, setting: DigitsSetting) -> dict[str, Metric]:
        labelled = Metric("images that carried a label in training", None, higher_is_better=False)
        return {**super().metrics(setting), "labelled": labelled}

    def target(self, setting: DigitsSetting) -> Target:
        return Target(IMAGES[:SEEN], (DIGITS[:SEEN, None] == setting.digit).float())

    def references(self, setting: DigitsSetting) -> Sequence[Path]:
        names = ("hindsight", "leace", "handset") if setting.digit == 3 else ()
        return [file for name in names if (file := self.spaces / f"{name}.toml").is_file()]

    def sections(self, model: Replicas, setting: DigitsSetting, replica: int) -> list[Section]:
        refs, x = references(setting.digit, setting.bottleneck, setting.hidden), held_out(setting.digit)
        one, n = model[replica], len(refs.oracle)
        ablated = Edited(one, self.edits(setting)(one))
        rows = {"image": x, "intact": one(x), "ablated": ablated(x), "oracle": torch.cat([refs.oracle, x[n:]])}
        shown = torch.cat([torch.linspace(0, n - 1, 7).long(), torch.linspace(n, len(x) - 1, 9).long()])
        figure = Figure(figsize=(9, 2.5), layout="constrained")
        for axis, (name, row) in zip(figure.subplots(len(rows)), rows.items(), strict=True):
            axis.imshow(row[shown].reshape(-1, 8, 8).mT.reshape(-1, 8).T.detach(), cmap="gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[3.5], yticklabels=[name])
        words = (
            f"Held-out images: seven of the digit {setting.digit}, then nine others. The oracle never saw the first."
        )
        return [Section("What ablation does", words, figure=figure, name="digits", description=words)]


experiment = Digits()
