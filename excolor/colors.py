"""Colours as tensors: cubes to train on, grids to test on, and measures of colour such as vibrancy and redness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

HUES = (
    *("red", "orange", "yellow", "lime", "green", "teal"),
    *("cyan", "azure", "blue", "purple", "magenta", "pink"),
)
GRAYS = ("black", "dark gray", "gray", "light gray", "white")


@dataclass(frozen=True)
class Cube:
    """Colours to sample from.

    Args:
        colors: RGB in [0, 1], [N, 3].
        weights: how likely each colour is to be sampled, [N]. They sum to 1.
    """

    colors: Tensor
    weights: Tensor


def hsv_cube(hues: int = 36, saturations: int = 10, values: int = 10) -> Cube:
    """The HSV cube: all combinations of evenly spaced hues, saturations and values.

    Most of its points are copies of black or of grays, so the weights make up for the copies. Black weighs 1/(n_s n_h),
    white 1/n_h and pure hues 1. All others are a blend, `(1-v)/(n_s n_h) + (1-s) v/n_h + s v`. Then the weights are
    normalised.

    Args:
        hues: how many hues n_h, around the circle.
        saturations: how many saturations n_s, from 0 to 1.
        values: how many values, from 0 to 1.

    Examples:
        >>> hsv_cube(36, 10, 10).colors.shape
        torch.Size([3600, 3])
    """
    grid = torch.cartesian_prod(
        torch.arange(hues) / hues, torch.linspace(0, 1, saturations), torch.linspace(0, 1, values)
    )
    _, s, v = grid.unbind(-1)
    bias = (1 - v) / (saturations * hues) + (1 - s) * v / hues + s * v
    return Cube(hsv_to_rgb(grid), bias / bias.sum())


def rgb_cube(n: int = 8) -> Cube:
    """The n^3 points of a regular RGB grid from 0 to 1, all equally likely.

    Examples:
        >>> rgb_cube(8).colors.shape
        torch.Size([512, 3])
    """
    axis = torch.linspace(0, 1, n)
    return Cube(torch.cartesian_prod(axis, axis, axis), torch.full((n**3,), 1 / n**3))


def cell_centres(n: int) -> Tensor:
    """The midpoints of n equal cells of [0, 1]: [n].

    Examples:
        >>> cell_centres(4)
        tensor([0.1250, 0.3750, 0.6250, 0.8750])
    """
    return (torch.arange(n) + 0.5) / n


def rgb_centres(n: int = 16) -> Tensor:
    """The cell centres of an n^3 RGB grid: [n^3, 3]. They are not on a training grid.

    Examples:
        >>> rgb_centres(1)
        tensor([[0.5000, 0.5000, 0.5000]])
    """
    axis = cell_centres(n)
    return torch.cartesian_prod(axis, axis, axis)


def hsv_centres(hues: int, saturations: int, values: int) -> Tensor:
    """The cell centres of an HSV grid, as RGB: [hues, saturations, values, 3].

    Examples:
        >>> hsv_centres(24, 6, 6).shape
        torch.Size([24, 6, 6, 3])
    """
    grid = torch.cartesian_prod(cell_centres(hues), cell_centres(saturations), cell_centres(values))
    return hsv_to_rgb(grid).reshape(hues, saturations, values, 3)


def hsv_to_rgb(hsv: Tensor) -> Tensor:
    """Convert HSV [..., 3] in [0, 1] to RGB [..., 3].

    Channel n (5 for red, 3 for green, 1 for blue) is `V - V S max(0, min(k, 4 - k, 1))` with `k = (n + 6H) mod 6`.

    Examples:
        >>> hsv_to_rgb(torch.tensor([1 / 3, 1.0, 1.0]))
        tensor([0., 1., 0.])
    """
    h, s, v = (channel.unsqueeze(-1) for channel in hsv.unbind(-1))
    k = (torch.tensor([5.0, 3.0, 1.0], dtype=hsv.dtype) + 6 * h) % 6
    return v - v * s * torch.minimum(k, 4 - k).clamp(0, 1)


def value(rgb: Tensor) -> Tensor:
    """HSV's V, the largest channel: RGB [..., 3] to [...].

    Examples:
        >>> value(torch.tensor([0.2, 0.7, 0.1]))
        tensor(0.7000)
    """
    return rgb.amax(-1)


def vibrancy(rgb: Tensor) -> Tensor:
    """S V, the largest channel minus the smallest: RGB [..., 3] to [...]. It is 1 for pure hues and 0 for grays.

    Examples:
        >>> vibrancy(torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5]]))
        tensor([1., 0.])
    """
    return rgb.amax(-1) - rgb.amin(-1)


def hue_blind(rgb: Tensor) -> Tensor:
    """The hue-blind oracle, `V (1 - S/2)` in all three channels: RGB [..., 3] to RGB [..., 3].

    It is the best guess of a colour whose hue is unknown, E[rgb | S, V]. The largest channel is V and the smallest is
    V (1 - S); averaged over all hues, each channel is their midpoint.

    Examples:
        >>> hue_blind(torch.tensor([1.0, 0.0, 0.0]))
        tensor([0.5000, 0.5000, 0.5000])
    """
    return lightness(rgb).unsqueeze(-1).expand_as(rgb)


def validation_grid(n: int = 8) -> Tensor:
    """The cell centres of an n^3 RGB grid, and the 8 corners of the cube: [n^3 + 8, 3].

    Examples:
        >>> validation_grid(8).shape
        torch.Size([520, 3])
    """
    return torch.cat([rgb_centres(n), rgb_cube(2).colors])


def pure_hues(n: int = 360) -> Tensor:
    """Fully saturated, fully bright colours, evenly spaced around the circle of hues, red first: [n, 3].

    Examples:
        >>> pure_hues(3)
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    hues = torch.arange(n) / n
    return hsv_to_rgb(torch.stack([hues, torch.ones(n), torch.ones(n)], -1))


def named() -> dict[str, Tensor]:
    """The RGB [3] of 12 hues, 30 degrees apart, and 5 grays, by name.

    Examples:
        >>> named()["yellow"]
        tensor([1., 1., 0.])
    """
    grays = {name: torch.full((3,), lightness) for name, lightness in zip(GRAYS, torch.linspace(0, 1, 5), strict=True)}
    return dict(zip(HUES, pure_hues(12), strict=True)) | grays


def desaturation(rgb: Tensor) -> Tensor:
    """`1 - S V`: RGB [..., 3] to [...]. It is 1 for grays, black and white included, and 0 for pure hues.

    Examples:
        >>> desaturation(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
        tensor([1., 0.])
    """
    return 1 - vibrancy(rgb)


def lightness(rgb: Tensor) -> Tensor:
    """`V (1 - S/2)`, the midpoint of the largest and the smallest channel: RGB [..., 3] to [...].

    It is 1/2 for every pure hue.

    Examples:
        >>> lightness(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
        tensor([0.5000, 1.0000])
    """
    return (rgb.amax(-1) + rgb.amin(-1)) / 2


def redness(rgb: Tensor) -> Tensor:
    """`r (1 - g/2 - b/2)`: RGB [..., 3] to [...]. It is 1 for red, and 0 for white, black, green and blue.

    Examples:
        >>> redness(torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.5, 0.0], [1.0, 1.0, 1.0]]))
        tensor([1.0000, 0.7500, 0.0000])
    """
    r, g, b = rgb.unbind(-1)
    return r * (1 - g / 2 - b / 2)


def greenness(rgb: Tensor) -> Tensor:
    """The same formula as `redness`, for green.

    Examples:
        >>> greenness(torch.tensor([0.0, 1.0, 0.0]))
        tensor(1.)
    """
    return redness(rgb.roll(-1, -1))


def blueness(rgb: Tensor) -> Tensor:
    """The same formula as `redness`, for blue.

    Examples:
        >>> blueness(torch.tensor([0.0, 0.0, 1.0]))
        tensor(1.)
    """
    return redness(rgb.roll(-2, -1))


def cyanness(rgb: Tensor) -> Tensor:
    """The redness of the complement, `(1 - r) (g + b)/2`: 1 for cyan, 1/2 for green and blue, 0 for white.

    Examples:
        >>> cyanness(torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]]))
        tensor([1.0000, 0.5000])
    """
    return redness(1 - rgb)


def magentaness(rgb: Tensor) -> Tensor:
    """The same formula as `cyanness`, for magenta.

    Examples:
        >>> magentaness(torch.tensor([1.0, 0.0, 1.0]))
        tensor(1.)
    """
    return greenness(1 - rgb)


def yellowness(rgb: Tensor) -> Tensor:
    """The same formula as `cyanness`, for yellow.

    Examples:
        >>> yellowness(torch.tensor([1.0, 1.0, 0.0]))
        tensor(1.)
    """
    return blueness(1 - rgb)


def similarity(rgb: Tensor, hue: float) -> Tensor:
    """How similar colours look to a pure hue, by the paper (arXiv 2512.12469): RGB [..., 3] to [...].

    With d the angle to the hue, `c = max(0, 1 - d/90 degrees)` and `w = (S V + 1)/2`, it is `(w c + 1 - w) S V`.

    Args:
        rgb: colours.
        hue: the pure hue, in [0, 1): 0 is red, 1/3 green.

    Examples:
        >>> similarity(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.0, 0.0], [1.0, 1.0, 1.0]]), hue=0)
        tensor([1.0000, 0.3333, 0.5000, 0.0000])
    """
    vivid = vibrancy(rgb)
    turn = (hue_of(rgb) - hue + 0.5) % 1 - 0.5
    near = (1 - 4 * turn.abs()).clamp(min=0)
    pure = (vivid + 1) / 2
    return (pure * near + 1 - pure) * vivid


def hue_of(rgb: Tensor) -> Tensor:
    """HSV's H in [0, 1): RGB [..., 3] to [...]. It is 0 for grays.

    Examples:
        >>> hue_of(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
        tensor([0.1667, 0.6667])
    """
    r, g, b = rgb.unbind(-1)
    top, spread = rgb.amax(-1), vibrancy(rgb).clamp(min=1e-12)
    sixth = torch.where(top == r, (g - b) / spread, torch.where(top == g, 2 + (b - r) / spread, 4 + (r - g) / spread))
    return sixth / 6 % 1


CORNERS = {"red": (0,), "yellow": (0, 1), "green": (1,), "cyan": (1, 2), "blue": (2,), "magenta": (0, 2)}
"""The six hues at the corners of the RGB cube, and the channels that make them up."""


def excess(rgb: Tensor, corner: str) -> Tensor:
    """How much of a hue a colour contains: RGB [..., 3] to [...].

    It is the smallest channel that makes up the hue minus the largest other channel, or 0 if that is negative.

    Args:
        rgb: colours.
        corner: one of `CORNERS`.

    Examples:
        >>> excess(torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]]), "red")
        tensor([0.5000, 0.0000])
    """
    return _surplus(rgb, corner).clamp(min=0)


def deficit(rgb: Tensor, corner: str) -> Tensor:
    """What a colour lacks before it contains any of a hue, as `excess` counts it: RGB [..., 3] to [...].

    Examples:
        >>> deficit(torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]]), "red")
        tensor([0., 1.])
    """
    return (-_surplus(rgb, corner)).clamp(min=0)


def mean_of(rgb: Tensor, channels: Sequence[int]) -> Tensor:
    """The mean of some channels: RGB [..., 3] to [...].

    Examples:
        >>> mean_of(torch.tensor([1.0, 0.5, 0.0]), (0, 1))
        tensor(0.7500)
    """
    return rgb[..., list(channels)].mean(-1)


def _surplus(rgb: Tensor, corner: str) -> Tensor:
    others = [channel for channel in range(3) if channel not in CORNERS[corner]]
    return rgb[..., list(CORNERS[corner])].amin(-1) - rgb[..., others].amax(-1)


ATTRIBUTES: dict[str, Callable[[Tensor], Tensor]] = {
    "redness": redness,
    "greenness": greenness,
    "blueness": blueness,
    "cyanness": cyanness,
    "magentaness": magentaness,
    "yellowness": yellowness,
    "vibrancy": vibrancy,
    "desaturation": desaturation,
    "lightness": lightness,
    **{f"{name}_excess": partial(excess, corner=name) for name in CORNERS},
    **{f"{name}_deficit": partial(deficit, corner=name) for name in CORNERS},
    **{f"{name}_light": partial(mean_of, channels=CORNERS[name]) for name in ("yellow", "cyan", "magenta")},
}
"""The attributes that labels may be given for: functions from RGB [..., 3] to [...] in [0, 1]."""
