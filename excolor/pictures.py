"""Figures of the experiment itself: colours, labels, terms, training, and what removal does to latents and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from anchoring.labels import Label
from anchoring.layers import Edited
from anchoring.replicas import Replicas
from anchoring.terms import Separate, Term
from excolor import colors
from excolor.colors import ATTRIBUTES, Cube
from excolor.concepts import Concept, oracle
from excolor.published import PUBLISHED

if TYPE_CHECKING:
    from anchoring.training import Rung

PALETTE = ("#0072B2", "#D55E00", "#009E73")  # by Okabe and Ito, for colour-blind readers
INK, FAINT = "#222222", "#B0B0B0"

Outputs = Callable[[Tensor], Tensor]
"""Colours [N, 3] to the outputs of all replicas [R, N, 3]."""


def cubes(cubes: Mapping[str, Cube]) -> Figure:
    """Each cube's colours as points in RGB space. A point's area shows how likely the colour is to be sampled."""
    figure = Figure(figsize=(4.6 * len(cubes), 4.4), layout="constrained")
    for i, (title, cube) in enumerate(cubes.items()):
        axis = figure.add_subplot(1, len(cubes), i + 1, projection="3d")
        rgb, weights = cube.colors.numpy(), cube.weights.numpy()
        axis.scatter(*rgb.T, c=rgb, s=40 * weights / weights.max(), depthshade=False, edgecolors="none")
        axis.set(title=title, xlabel="red", ylabel="green", zlabel="blue")
        axis.set(xticks=[0, 1], yticks=[0, 1], zticks=[0, 1])
        axis.view_init(elev=22, azim=38)
        axis.set_box_aspect(None, zoom=0.85)
    return figure


def hue_plane(hues: int = 180) -> Tensor:
    """Colours by hue (across) and from white through the pure hues to black (down): [81, hues, 3]."""
    down = torch.linspace(0, 1, 41)
    s, v = torch.cat([down, torch.ones(40)]), torch.cat([torch.ones(41), 1 - down[1:]])
    hue = (torch.arange(hues) / hues).expand(81, -1)
    return colors.hsv_to_rgb(torch.stack([hue, s[:, None].expand_as(hue), v[:, None].expand_as(hue)], -1))


def draw_plane(axis: Axes, image: Tensor, title: str) -> None:
    """An image of the hue plane, with its axes named."""
    axis.imshow(image.numpy(), extent=(0, 360, 0, 80), aspect="auto", interpolation="nearest")
    axis.set(title=title, xlabel="hue, degrees", xticks=range(0, 361, 120))
    axis.set_yticks([0, 40, 80], ["black", "pure hue", "white"])


def label_odds(labels: Mapping[str, Label]) -> Figure:
    """How likely each label is in the hue plane: contours at 1%, 10% and 50% of its greatest probability."""
    plane = hue_plane()
    figure = Figure(figsize=(4.2 * len(labels), 3.4), layout="constrained")
    for axis, (name, label) in zip(figure.subplots(1, len(labels), squeeze=False)[0], labels.items(), strict=True):
        draw_plane(axis, plane, f"{name}: {label.scale:g} x {label.of}^{label.power:g}")
        odds = label.probability(ATTRIBUTES[label.of](plane)).numpy()
        x, y = np.linspace(1, 359, 180), np.linspace(80, 0, 81)
        for color, width in (("white", 3), (INK, 1.2)):
            axis.contour(x, y, odds / label.scale, levels=[0.01, 0.1, 0.5], colors=color, linewidths=width)
    return figure


def terms(shown: Mapping[str, Term]) -> Figure:
    """Each term's loss for one activation, over a plane of its dims, or for Separate over the cosine of a pair."""
    columns = 3
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(shown) :]:
        axis.remove()
    for axis, (title, term) in zip(axes, shown.items(), strict=False):
        if isinstance(term, Separate):
            angle = torch.linspace(0.06, torch.pi, 400)
            pairs = torch.stack(
                [torch.stack([angle.cos(), angle.sin()], -1), torch.tensor([1.0, 0]).expand(400, -1)], 1
            )
            axis.plot(angle.cos(), term.per_sample(pairs)[:, 0], color=PALETTE[0])
            axis.set(title=title, xlabel="cosine of a pair", ylabel="loss", yscale="log", ylim=(1e-6, 2))
            _plain(axis)
            continue
        grid = torch.linspace(-1.6, 1.6, 120)
        z0, z2 = torch.meshgrid(grid, grid, indexing="xy")
        z = torch.stack([z0, torch.zeros_like(z0), z2, torch.zeros_like(z0)], -1).reshape(-1, 4)
        loss = term.per_sample(z).reshape(120, 120)
        filled = axis.contourf(grid, grid, loss, levels=12, cmap="viridis")
        figure.colorbar(filled, ax=axis, label="loss")
        axis.add_patch(_circle())
        axis.set(title=title, xlabel="z0", ylabel="z2", aspect="equal")
    return figure


def training(rungs: Sequence[Rung]) -> Figure:
    """Utility, hue blindness and isolation of every replica over training, faint, and their means."""
    steps = [rung.step for rung in rungs]
    figure = Figure(figsize=(10, 3), layout="constrained")
    for axis, name, color in zip(
        figure.subplots(1, 3, sharey=True), ("utility", "hue_blindness", "isolation"), PALETTE, strict=False
    ):
        values = torch.stack([rung.metrics[name] for rung in rungs])
        axis.plot(steps, values, color=FAINT, linewidth=0.7)
        axis.plot(steps, values.mean(1), color=color, linewidth=2.4)
        axis.set(title=name.replace("_", " "), xlabel="step", ylim=(0, 1.02))
        _plain(axis)
    return figure


@torch.no_grad()
def latents(model: Edited, layer: str, dims: Sequence[int], title: str = "") -> Figure:
    """The activations of one replica, each in its colour: in a plane of `dims`, one of other dims, and one of both."""
    x = colors.rgb_centres(12)
    z = model.activations(x)[layer].numpy()
    rest = [dim for dim in range(z.shape[1]) if dim not in dims]
    planes = [pair for pair in (tuple(dims[:2]), tuple(rest[:2]), (dims[0], *rest[:1])) if len(pair) == 2]
    figure = Figure(figsize=(3.4 * len(planes), 3.4), layout="constrained")
    if title:
        figure.suptitle(title)
    for axis, (a, b) in zip(figure.subplots(1, len(planes), squeeze=False)[0], planes, strict=True):
        axis.add_patch(_circle())
        axis.scatter(z[:, a], z[:, b], c=x.numpy(), s=9, edgecolors="none")
        axis.set(xlabel=f"z{a}", ylabel=f"z{b}", aspect="equal")
        axis.margins(0.1)
        _plain(axis)
    return figure


@torch.no_grad()
def removals(model: Replicas, removed: Mapping[str, Outputs], replica: int, concept: Concept = "hue") -> Figure:
    """The hue plane as one replica answers it, intact and after each removal, and as the concept's oracle does."""
    plane = hue_plane()
    answers: dict[str, Outputs] = {"intact": model, **removed}
    images = {name: answer(plane.reshape(-1, 3))[replica].reshape(plane.shape) for name, answer in answers.items()}
    images[f"{concept}-blind oracle"] = oracle(plane, concept)
    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(2.9 * columns, 2.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for axis in axes[len(images) :]:
        axis.remove()
    for axis, (title, image) in zip(axes, images.items(), strict=False):
        draw_plane(axis, image, title)
    for axis in axes:
        axis.label_outer()
    return figure


@torch.no_grad()
def named_colors(model: Replicas, removed: Mapping[str, Outputs], replica: int) -> Figure:
    """The named colours as swatches: as they are, as one replica answers them intact, and after each removal."""
    named = colors.named()
    x = torch.stack(list(named.values()))
    rows = {"colour": x, "intact": model(x)[replica]} | {name: out(x)[replica] for name, out in removed.items()}
    figure = Figure(figsize=(10, 0.42 * len(rows) + 0.9), layout="constrained")
    axis = figure.subplots()
    axis.imshow(torch.stack(list(rows.values())).numpy(), aspect="auto")
    axis.set_yticks(range(len(rows)), list(rows))
    axis.set_xticks(range(len(named)), list(named), rotation=45, ha="right")
    axis.set_xticks(np.arange(len(named) + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=3)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    return figure


def reproduction(scores: Mapping[str, Tensor]) -> Figure:
    """The published score of every replica of published settings, each above what was published of 60 replicas.

    Args:
        scores: by the names of settings in `excolor.published.PUBLISHED`, [R] each.
    """
    figure = Figure(figsize=(8, 0.9 + 0.9 * len(scores)), layout="constrained")
    axis = figure.subplots()
    jitter = np.random.default_rng(0)
    for y, (name, found) in enumerate(scores.items()):
        told = PUBLISHED[name]
        ours = (found.min().item(), found.mean().item(), found.std().item(), found.max().item())
        axis.scatter(
            found, y - 0.32 + jitter.uniform(-0.09, 0.09, len(found)), s=9, color=PALETTE[0], alpha=0.5, linewidth=0
        )
        rows = (
            (y - 0.1, ours, PALETTE[0], "here"),
            (y + 0.15, (told.least, told.mean, told.sd, told.most), PALETTE[1], "published"),
        )
        for place, (least, mean, sd, most), color, label in rows:
            axis.plot([least, most], [place, place], color=color, linewidth=1)
            axis.plot([mean - sd, mean + sd], [place, place], color=color, linewidth=5, label=label if y == 0 else None)
            axis.plot(mean, place, "o", color="white", markeredgecolor=color)
            axis.text(1.06, place, f"{mean:.3f} ± {sd:.3f}", color=color, va="center")
    labels = [f"{name}\n({PUBLISHED[name].number}, {PUBLISHED[name].score})" for name in scores]
    axis.set_yticks(range(len(scores)), labels)
    axis.set(
        xlabel="the published score; a dot is a replica, the bars are minimum, mean ± sd and maximum", xlim=(0, 1.04)
    )
    axis.set(ylim=(len(scores) - 0.6, -0.6))
    axis.legend(frameon=False, loc="upper left")
    _plain(axis)
    return figure


def _plain(axis: Axes) -> None:
    """Hide the frame's top and right sides."""
    axis.spines[["top", "right"]].set_visible(False)


def _circle() -> Circle:
    return Circle((0, 0), 1, fill=False, color=FAINT, linewidth=0.8)
