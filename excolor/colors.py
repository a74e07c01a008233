"""Colours as tensors: cubes to train on, grids to test on, and what hue, saturation and value say of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

HUES = (
    *("red", "orange", "yellow", "lime", "green", "teal"),
    *("cyan", "azure", "blue", "purple", "magenta", "pink"),
)
GRAYS = ("black", "dark gray", "gray", "light gray", "white")


@dataclass(frozen=True)
class Cube:
    """Colours to sample from: `colors` [N, 3] in RGB, `weights` [N], which sum to 1."""

    colors: Tensor
    weights: Tensor


def hsv_cube(hues: int = 36, saturations: int = 10, values: int = 10) -> Cube:
    """The HSV cube: cyclic hues, saturations and values from 0 to 1.

    The weights stop the many copies of black and of the grays from crowding out the colours; they blend black
    1/(n_s n_h), white 1/n_h and vibrant 1 by `(1-v)/(n_s n_h) + (1-s) v/n_h + s v`, then are normalised.
    """
    grid = torch.cartesian_prod(
        torch.arange(hues) / hues, torch.linspace(0, 1, saturations), torch.linspace(0, 1, values)
    )
    _, s, v = grid.unbind(-1)
    bias = (1 - v) / (saturations * hues) + (1 - s) * v / hues + s * v
    return Cube(hsv_to_rgb(grid), bias / bias.sum())


def rgb_cube(n: int = 8) -> Cube:
    """The n^3 corners of a regular RGB grid, each as likely as any other."""
    axis = torch.linspace(0, 1, n)
    return Cube(torch.cartesian_prod(axis, axis, axis), torch.full((n**3,), 1 / n**3))


def cell_centres(n: int) -> Tensor:
    """The n midpoints of n equal cells of [0, 1]: [n]."""
    return (torch.arange(n) + 0.5) / n


def rgb_centres(n: int = 16) -> Tensor:
    """The cell centres of an n^3 RGB grid, none of which is on a training grid: [n^3, 3]."""
    axis = cell_centres(n)
    return torch.cartesian_prod(axis, axis, axis)


def hsv_centres(hues: int, saturations: int, values: int) -> Tensor:
    """RGB colours of an HSV grid of cell centres: [hues, saturations, values, 3]."""
    grid = torch.cartesian_prod(cell_centres(hues), cell_centres(saturations), cell_centres(values))
    return hsv_to_rgb(grid).reshape(hues, saturations, values, 3)


def hsv_to_rgb(hsv: Tensor) -> Tensor:
    """[..., 3] HSV in [0, 1] to RGB, by the branch-free `V - V S max(0, min(k, 4 - k, 1))`, `k = (n + 6H) mod 6`."""
    h, s, v = (channel.unsqueeze(-1) for channel in hsv.unbind(-1))
    k = (torch.tensor([5.0, 3.0, 1.0], dtype=hsv.dtype) + 6 * h) % 6
    return v - v * s * torch.minimum(k, 4 - k).clamp(0, 1)


def value(rgb: Tensor) -> Tensor:
    """HSV's V: the largest channel, [..., 3] to [...]."""
    return rgb.amax(-1)


def vibrancy(rgb: Tensor) -> Tensor:
    """S V, which is the largest channel less the smallest: 1 for pure hues, 0 for grays; [..., 3] to [...]."""
    return rgb.amax(-1) - rgb.amin(-1)


def hue_blind(rgb: Tensor) -> Tensor:
    """The hue-blind oracle `V (1 - S/2)` in all three channels, [..., 3] to [..., 3].

    It is the best guess of a colour whose hue is unknown, E[rgb | S, V]: over uniform hues the largest channel is
    V, the smallest V (1 - S), and every channel averages their midpoint.
    """
    midpoint = (rgb.amax(-1, keepdim=True) + rgb.amin(-1, keepdim=True)) / 2
    return midpoint.expand_as(rgb)


def validation_grid(n: int = 8) -> Tensor:
    """Colours off the training grids: the cell centres of n^3 RGB cells and the 8 corners of the cube, [n^3 + 8, 3]."""
    return torch.cat([rgb_centres(n), rgb_cube(2).colors])


def pure_hues(n: int = 360) -> Tensor:
    """Fully saturated, fully bright colours, their hues evenly around the circle from red: [n, 3]."""
    hues = torch.arange(n) / n
    return hsv_to_rgb(torch.stack([hues, torch.ones(n), torch.ones(n)], -1))


def named() -> dict[str, Tensor]:
    """The 12 named hues, 30 degrees apart, and 5 grays: name to RGB [3]."""
    grays = {name: torch.full((3,), lightness) for name, lightness in zip(GRAYS, torch.linspace(0, 1, 5), strict=True)}
    return dict(zip(HUES, pure_hues(12), strict=True)) | grays


def desaturation(rgb: Tensor) -> Tensor:
    """`1 - S V`: 1 for every gray, black and white included, 0 for pure hues; [..., 3] to [...]."""
    return 1 - vibrancy(rgb)


def redness(rgb: Tensor) -> Tensor:
    """`r (1 - g/2 - b/2)`: 1 for pure red, 0 for white, black, green and blue; [..., 3] to [...]."""
    r, g, b = rgb.unbind(-1)
    return r * (1 - g / 2 - b / 2)


def greenness(rgb: Tensor) -> Tensor:
    """As `redness`, of green."""
    return redness(rgb.roll(-1, -1))


def blueness(rgb: Tensor) -> Tensor:
    """As `redness`, of blue."""
    return redness(rgb.roll(-2, -1))


def cyanness(rgb: Tensor) -> Tensor:
    """`(1 - r) (g + b)/2`, the redness of the complement: 1 for cyan, 1/2 for green and blue, 0 for white."""
    return redness(1 - rgb)


def magentaness(rgb: Tensor) -> Tensor:
    """As `cyanness`, of magenta."""
    return greenness(1 - rgb)


def yellowness(rgb: Tensor) -> Tensor:
    """As `cyanness`, of yellow."""
    return blueness(1 - rgb)


ATTRIBUTES: dict[str, Callable[[Tensor], Tensor]] = {
    "redness": redness,
    "greenness": greenness,
    "blueness": blueness,
    "cyanness": cyanness,
    "magentaness": magentaness,
    "yellowness": yellowness,
    "vibrancy": vibrancy,
    "desaturation": desaturation,
}
"""What labels may be given for: functions of colours, [..., 3] to [...] in [0, 1]."""
