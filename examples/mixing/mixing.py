"""Red in the residual stream of a tiny transformer that mixes colours: an experiment in one file.

Colours are tokens. A line reads `a + b =`, and its answer is the colour half way between a and b. Nothing tells the
model that its tokens lie on a grid. A few noisy labels draw red into dimension 0 of the residual stream. When
dimension 0 is projected out of every state, lines with red should fail as they fail a model that never knew red, and
all others should be answered as before.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from anchoring import AnchoredExperiment, Data, Edited, Replicas, Setting, Target
from anchoring.ablation import ABLATIONS, Leace
from anchoring.alignment import suppress
from anchoring.fields import Count, Positive
from anchoring.layers import Edits, activations
from study.experiment import Metric, Section

LEVELS = (0, 3, 6, 9, 12, 15)
COLOURS = torch.cartesian_prod(*[torch.tensor(LEVELS)] * 3)  # one token each, [216, 3]
PLUS, EQUALS = len(COLOURS), len(COLOURS) + 1  # the other two tokens
NEVER = 0.84  # the share of consistent answers by models that never saw red: tests/examples/test_mixing.py measures it
TEMPERATURE = 0.1  # at which `latched` looks for the position where a line aligns


def mixed(a: Tensor, b: Tensor) -> Tensor:
    """The colour half way between two, [..., 3]: the mean of each channel, rounded half up."""
    return (a + b + 1) // 2


def closed(colours: Tensor) -> Tensor:
    """The lines whose answer is in the vocabulary: the tokens a, b and c of `a + b = c`, [L, 3]."""
    known = {tuple(colour): token for token, colour in enumerate(colours.tolist())}
    answers = mixed(colours[:, None], colours).tolist()
    lines = [(a, b, known.get(tuple(c))) for a, row in enumerate(answers) for b, c in enumerate(row)]
    return torch.tensor([line for line in lines if line[2] is not None])


def held_out(a: Tensor, b: Tensor, share: float = 0.2) -> Tensor:
    """Which lines no training sees, [L]: both orders of a share of the pairs of two colours."""
    pairs, which = torch.stack([torch.minimum(a, b), torch.maximum(a, b)], 1).unique(dim=0, return_inverse=True)
    distinct = torch.nonzero(pairs[:, 0] != pairs[:, 1]).squeeze(1).numpy()
    chosen = np.random.default_rng(0).permutation(distinct)[: round(share * len(distinct))]
    return torch.isin(which, torch.from_numpy(chosen))


def similarity(colours: Tensor) -> Tensor:
    """How similar colours [N, 3] of 0 to 15 are to red, [N]: `(w c + 1 - w) s v`, from hue, saturation and value.

    c falls from 1 at red to 0 at 90 degrees from it, and w = (s v + 1) / 2.
    """
    h, s, v = torch.tensor([colorsys.rgb_to_hsv(*colour) for colour in (colours / 15).tolist()]).unbind(1)
    c, w = (1 - 4 * torch.minimum(h, 1 - h)).clamp(min=0), (s * v + 1) / 2
    return (w * c + 1 - w) * s * v


A, B, MIX = closed(COLOURS).unbind(1)  # of 5,832 lines
LINES = torch.stack([A, torch.full_like(A, PLUS), B, torch.full_like(A, EQUALS)], 1)
HELD_OUT = held_out(A, B)
POSSIBLE = torch.zeros(len(COLOURS), len(COLOURS)).index_put((B, MIX), torch.tensor(1.0))  # answers, by one operand
REDNESS = COLOURS[:, 0] * (30 - COLOURS[:, 1] - COLOURS[:, 2]) / 450  # r (1 - g/2 - b/2), of each colour
LABELLED = REDNESS**8  # how likely each is to be labelled, up to a factor
RED, BETWEEN = REDNESS > 0.85, (REDNESS > 0.75) & (REDNESS < 0.85)  # three colours, and four that count for neither
NEEDS = RED[A] | RED[B]  # the lines that need red
ONE = RED[A] ^ RED[B]  # those with one red operand
KNOWN = torch.where(RED[A], B, A)  # the other one
OTHERS = HELD_OUT & ~(NEEDS | BETWEEN[A] | BETWEEN[B])
SEEN = ~HELD_OUT & (torch.arange(len(A)) % 9 == 0)  # a ninth of the lines that are trained
CHANCE = torch.where(ONE, 1 / POSSIBLE[KNOWN].sum(-1), 1 / len(COLOURS))[NEEDS].mean()  # without knowing red
ANY = POSSIBLE[KNOWN[ONE]].mean()  # the share of consistent answers without knowing any operand: an eighth
ASKED = torch.nonzero(HELD_OUT | NEEDS | SEEN | (A == B)).squeeze(1)  # the lines on which everything is measured
SIMILAR = similarity(COLOURS) ** 1.5


class MixingSetting(Setting):
    width: Count = 32
    depth: Count = 2
    heads: Count = 4


def unit(h: Tensor) -> Tensor:
    """Vectors [..., K] of length 1; a vector of length 0 stays one."""
    return h * (h.square().sum(-1, keepdim=True) + 1e-12).rsqrt()


class Block(nn.Module):
    """A layer of a normalised transformer (Loshchilov et al. 2024, arXiv 2410.01131). Each half turns the states a bit.

    Where a position may look depends on a bias for each pair of positions, so tokens need no code for their position.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.bias = nn.Parameter(torch.zeros(heads, 4, 4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width, bias=False)
        self.turn = nn.Parameter(torch.full((2, width), 0.3))

    def forward(self, h: Tensor) -> Tensor:
        h = unit(h + self.turn[0] * (unit(self.attention(h)) - h))
        return unit(h + self.turn[1] * (unit(self.down(F.gelu(self.up(h * h.shape[-1] ** 0.5)))) - h))

    def attention(self, h: Tensor) -> Tensor:
        q, k, v = (part(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        later = torch.full((4, 4), -1e4).triu(1)
        looks = unit(q) @ unit(k).mT * q.shape[-1] ** 0.5 + self.bias + later
        return self.o((looks.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Mixer(nn.Module):
    """Answers lines [B, 4] with the logits of all colours, [B, 216].

    `state.0` to `state.<depth>` are its residual states, [B, 4, width], of length 1 at each position. The answer is
    read from the last, by its cosine with the embedding of each colour.
    """

    def __init__(self, width: int, depth: int, heads: int):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(len(COLOURS) + 2, width))
        self.state = nn.ModuleList(nn.Identity() for _ in range(depth + 1))
        self.block = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.sharpness = nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor) -> Tensor:
        tokens = unit(self.embedding)
        h = self.state[0](tokens[x])
        for block, state in zip(self.block, self.state[1:], strict=True):
            h = state(block(h))
        return self.sharpness * h[:, -1] @ tokens[: len(COLOURS)].mT


class Probe(Leace):
    """Projects out, in one layer after another, the direction in which a ridge regression reads the concept."""

    penalty: Positive = 1e-3

    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        assert target is not None
        edits: dict[str, Callable[[Tensor], Tensor]] = {}
        for layer in self.places:
            z = activations(model, target.inputs, dict(edits))[layer]
            rows, y = z.flatten(0, -2).double(), target.at_positions(z).double()
            centred = rows - rows.mean(0)
            gram = centred.mT @ centred / len(rows) + self.penalty * torch.eye(z.shape[-1], dtype=rows.dtype)
            found = torch.linalg.solve(gram, centred.mT @ (y - y.mean(0)))
            edits[layer] = partial(suppress, basis=F.normalize(found, dim=0).mT.float(), gate=torch.ones_like)
        return edits


def right(logits: Tensor, mix: Tensor) -> Tensor:
    """Whether answers [L, 216] are right, 1 or 0, [L]. If colours tie, one is drawn: then it is a probability."""
    return allowed(logits, F.one_hot(mix, len(COLOURS)))


def allowed(logits: Tensor, colours: Tensor) -> Tensor:
    """Whether answers [L, 216] are among the colours that are 1 in [L, 216], as `right` says it: [L]."""
    top = (logits == logits.amax(-1, keepdim=True)).float()
    return (top * colours).sum(-1) / top.sum(-1)


class Mixing(AnchoredExperiment):
    name = "mixing"
    Setting = MixingSetting
    attributes = ("first", "second")
    ablations = (*ABLATIONS, Probe)
    spaces = Path(__file__).parent

    def build(self, setting: MixingSetting) -> nn.Module:
        return Mixer(setting.width, setting.depth, setting.heads)

    def check(self, setting: MixingSetting) -> None:
        if setting.width % setting.heads:
            raise ValueError(f"heads: found {setting.heads}, expected a divisor of the width, {setting.width}")

    def data(self, setting: MixingSetting) -> Data:
        red = {"first": REDNESS[A[~HELD_OUT]], "second": REDNESS[B[~HELD_OUT]]}
        return Data(LINES[~HELD_OUT], red, targets=MIX[~HELD_OUT])

    def loss(self, output: Tensor, target: Tensor, setting: MixingSetting) -> Tensor:
        return F.cross_entropy(output, target, reduction="none")

    def target(self, setting: MixingSetting) -> Target:
        """How likely what a position has seen is to be labelled: the first operand, up to `+`, then either.

        The values have variance 1, since LEACE ignores covariances below an absolute tolerance.
        """
        a, b = LABELLED[A[~HELD_OUT]], LABELLED[B[~HELD_OUT]]
        either = 1 - (1 - a) * (1 - b)
        values = torch.stack([a, a, either, either], 1).unsqueeze(-1)
        return Target(LINES[~HELD_OUT], values / values.std())

    def observe(
        self, intact: Edited, ablated: Edited, setting: MixingSetting
    ) -> tuple[SimpleNamespace, SimpleNamespace]:
        return looked_at(intact), looked_at(ablated)

    @Metric("utility x forgotten x consistent x kept, each clipped to [0, 1]", diverged=0.0, failure=0.3)
    def isolation(self, intact: Any, ablated: Any) -> Tensor:
        parts = [getattr(self, part)(intact, ablated) for part in ("utility", "forgotten", "consistent", "kept")]
        return torch.stack(parts).clamp(0, 1).prod(0)

    @Metric("lines with red: 1 all answered right, 0 as many as by a model that cannot know red", diverged=0.0)
    def utility(self, intact: Any, ablated: Any) -> Tensor:
        return 1 - (1 - intact.right[NEEDS[ASKED]].mean()) / (1 - CHANCE)

    @Metric("lines with red once ablated: 1 as few answered right as by chance, 0 all", diverged=0.0)
    def forgotten(self, intact: Any, ablated: Any) -> Tensor:
        return (1 - ablated.right[NEEDS[ASKED]].mean()) / (1 - CHANCE)

    @Metric(
        "answers to lines with red once ablated that the other operand allows: 1 as many as by models that never saw "
        "red, 0 as if the other operand were lost, too",
        diverged=0.0,
    )
    def consistent(self, intact: Any, ablated: Any) -> Tensor:
        return (allowed(ablated.answers[ONE[ASKED]], POSSIBLE[KNOWN[ONE]]).mean() - ANY) / (NEVER - ANY)

    @Metric("share of the held-out lines without red that are answered right once ablated", diverged=0.0)
    def kept(self, intact: Any, ablated: Any) -> Tensor:
        return ablated.right[OTHERS[ASKED]].mean()

    @Metric("exact match of the intact model on held-out lines", diverged=0.0)
    def exact(self, intact: Any, ablated: Any) -> Tensor:
        return intact.right[HELD_OUT[ASKED]].mean()

    @Metric("exact match of the intact model on lines that it was trained on", diverged=0.0)
    def seen(self, intact: Any, ablated: Any) -> Tensor:
        return intact.right[SEEN[ASKED]].mean()

    @Metric("how much more labelled colours align with dim 0 than all do, at the first operand", diverged=0.0)
    def margin(self, intact: Any, ablated: Any) -> Tensor:
        return (LABELLED * intact.colours).sum() / LABELLED.sum() - intact.colours.mean()

    @Metric("how much all colours align with dim 0, at the first operand", ideal=0.0, higher_is_better=False)
    def containment(self, intact: Any, ablated: Any) -> Tensor:
        return intact.colours.mean()

    @Metric("r2 of a colour's alignment with its similarity to red ^ 1.5", diverged=0.0)
    def grading(self, intact: Any, ablated: Any) -> Tensor:
        return torch.corrcoef(torch.stack([intact.colours, SIMILAR]))[0, 1].square()

    @Metric("r2 with which a ridge regression reads redness from the ablated states of other colours", 0.0, False)
    def leakage(self, intact: Any, ablated: Any) -> Tensor:
        return torch.stack([left_out_r2(z, REDNESS) for z in ablated.operands]).amax(0).clamp(min=0)

    @Metric(
        "1 if labelled lines align at + or =, rather than at an operand",
        ideal=0.0,
        higher_is_better=False,
        diverged=1.0,
    )
    def latched(self, intact: Any, ablated: Any) -> Tensor:
        weights = (intact.along / TEMPERATURE).softmax(-1).mean(0)  # [lines, 4]
        labelled = LABELLED[A[ASKED]]
        share = (labelled * (weights[:, 1] + weights[:, 3])).sum() / labelled.sum()
        return (share > 0.5).float()

    def metrics(self, setting: MixingSetting) -> dict[str, Metric]:
        labelled = Metric("lines that carried a label in training", None, higher_is_better=False)
        return {**super().metrics(setting), "labelled": labelled}

    def references(self, setting: MixingSetting) -> Sequence[Path]:
        names = ("unanchored", "leace", "probe", "handset")
        return [file for name in names if (file := self.spaces / f"{name}.toml").is_file()]

    def sections(self, model: Replicas, setting: MixingSetting, replica: int) -> list[Section]:
        one, new = model[replica], self.model(setting, [replica])[0]
        return [where_it_is(new, one), what_is_lost(one, Edited(one, self.edits(setting)(one)))]


def where_it_is(new: nn.Module, trained: nn.Module) -> Section:
    """How the states of lines align with dim 0, by position and by the first operand's colour."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(2, 4, sharex=True, sharey=True)
    first, rgb = A[ASKED], COLOURS / 15
    for row, (name, model) in zip(axes, {"before training": new, "after training": trained}.items(), strict=True):
        with torch.no_grad():
            along = looked_at(Edited(model)).along.mean(0)  # over the states
        of_colours = torch.zeros(len(COLOURS), 4).index_reduce_(0, first, along, "mean", include_self=False)
        for position, axis in enumerate(row):
            axis.axhline(0, color="gray", linewidth=0.5)
            axis.scatter(REDNESS, of_colours[:, position], s=14, c=rgb.numpy(), edgecolors="gray", linewidths=0.3)
        row[0].set(ylabel=name, ylim=(-0.5, 1.05))
    for axis, token in zip(axes[0], ("a", "+", "b", "="), strict=True):
        axis.set_title(token)
    figure.supxlabel("redness of a")
    figure.supylabel("cosine with dimension 0")
    words = (
        "The cosine of the residual states with dimension 0, at each position of `a + b =`. A dot is a colour a: "
        "the mean over all states and over lines. Once ablated, all are 0."
    )
    return Section("Where red is", words, figure=figure, name="alignment", description=words)


def what_is_lost(one: nn.Module, ablated: Edited) -> Section:
    """How many lines are answered right, by how red they are."""
    line = torch.maximum(REDNESS[A], REDNESS[B])[ASKED]
    levels = torch.arange(0, 1.01, 0.1)
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    table = {}
    for name, model in {"intact": Edited(one), "ablated": ablated}.items():
        with torch.no_grad():
            found = looked_at(model).right
        means = [found[(line - level).abs() < 0.05] for level in levels]
        table[name] = [part.mean().item() if len(part) else float("nan") for part in means]
        axis.plot(levels, table[name], marker="o", label=name)
    axis.axhline(CHANCE.item(), color="gray", linestyle=":", label="chance, without knowing red")
    axis.set(xlabel="redness of the redder operand", ylabel="share of lines answered right", ylim=(-0.03, 1.03))
    axis.legend(loc="lower left")
    words = "Lines by the redness of their redder operand, in steps of 0.1. Those above 0.85 need red."
    frame = pd.DataFrame(table, index=pd.Index([f"{level:.1f}" for level in levels], name="redness"))
    return Section("What ablation does", words, frame, figure, "accuracy", words)


def looked_at(model: Edited) -> SimpleNamespace:
    """What metrics ask of one model.

    Returns:
        `answers`: the logits of the lines ASKED, [L, 216]; `right`: whether they are right, [L]; `along`: the cosine of
        each state and position with dim 0, [states, L, 4]; `operands`: the states of each colour as first operand,
        [216, width] each; `colours`: the mean of their cosines, [216].
    """
    seen = model.activations(LINES[ASKED])
    states = [z for name, z in seen.items() if name.startswith("state.")]
    along = torch.stack([unit(z)[..., 0] for z in states])
    alone = torch.nonzero((A == B)[ASKED]).squeeze(1)  # a first operand sees itself only, so any line with it will do
    return SimpleNamespace(
        answers=seen["output"],
        right=right(seen["output"], MIX[ASKED]),
        along=along,
        colours=along[:, alone, 0].mean(0),
        operands=[z[alone, 0] for z in states],
    )


def left_out_r2(z: Tensor, y: Tensor, penalty: float = 1e-3) -> Tensor:
    """R2 of predictions of y [N] by ridge regression on z [N, K], each fitted to all samples but the one predicted.

    The residuals are those of a fit to all, divided by 1 - h, where h is the sample's own weight (PRESS).
    """
    z = z - z.mean(0)
    inverse = torch.linalg.inv(z.mT @ z + penalty * len(z) * torch.eye(z.shape[1]))
    hat = z @ inverse @ z.mT + 1 / len(z)
    residual = (y - hat @ y) / (1 - hat.diagonal(dim1=-2, dim2=-1))
    return 1 - residual.square().sum() / (y - y.mean()).square().sum()


experiment = Mixing()
