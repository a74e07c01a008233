"""Where hue is in a latent space: measures by probes, too slow for every rung and meant for a few confirmed models."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from excolor import colors
from excolor.models import ColorMLP

FEATURES, RIDGE, LEAST_VIBRANCY = 300, 1e-3, 0.2


@torch.no_grad()
def probe_gap(model: ColorMLP, layer: str, dims: Sequence[int]) -> Tensor:
    """How much better a nonlinear probe reads hue from the dims than from the rest: [R], 1 if hue is in the dims alone.

    The difference of two R^2, each of `hue_r2`. About 0 where hue is spread evenly.
    """
    rest = [dim for dim in range(model.config.bottleneck) if dim not in dims]
    return hue_r2(model, layer, dims) - hue_r2(model, layer, rest)


@torch.no_grad()
def hue_r2(model: ColorMLP, layer: str, dims: Sequence[int]) -> Tensor:
    """Held-out R^2 of a nonlinear probe from some dims of a layer to hue, [R]; 0 is the least, and that of no dims.

    Hue is the cosines and sines of its first three harmonics, of colours with vibrancy above 0.2; R^2 is of all six
    together. The probe is ridge regression on 300 random Fourier features (Rahimi and Recht, 2007) of the standardised
    dims, fitted on every second hue and tested on those between.
    """
    if not dims:
        return torch.zeros(model.replicas)
    grid = colors.hsv_centres(72, 8, 8)
    angle = 2 * math.pi * colors.cell_centres(72)
    harmonics = torch.stack([f(k * angle) for k in (1, 2, 3) for f in (torch.cos, torch.sin)], -1)
    vivid = colors.vibrancy(grid) > LEAST_VIBRANCY
    target = harmonics[:, None, None].expand(*grid.shape[:-1], 6)[vivid].double()
    fitted = (torch.arange(72) % 2 == 0)[:, None, None].expand(grid.shape[:-1])[vivid]
    z = model.activations(grid[vivid].expand(model.replicas, -1, 3))[layer][..., list(dims)].double()
    z = (z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True).clamp(min=1e-9)

    generator = torch.Generator().manual_seed(0)
    frequencies = torch.randn(len(dims), FEATURES, generator=generator, dtype=torch.float64) * 1.5
    phases = 2 * math.pi * torch.rand(FEATURES, generator=generator, dtype=torch.float64)
    features = torch.cat([(z @ frequencies + phases).cos(), torch.ones_like(z[..., :1])], -1)  # [R, N, F + 1]
    a, b = features[:, fitted], target[fitted]
    gram = a.mT @ a + RIDGE * len(b) / FEATURES * torch.eye(FEATURES + 1, dtype=a.dtype)
    probe = torch.linalg.solve(gram, a.mT @ b)
    residual = (features[:, ~fitted] @ probe - target[~fitted]).square().sum((1, 2))
    spread = (target[~fitted] - target[~fitted].mean(0)).square().sum()
    return (1 - residual / spread).clamp(min=0).float()


@torch.no_grad()
def wheel(model: ColorMLP, layer: str, dims: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Whether the pure hues go once around the plane of two dims, as a wheel: correlation and winding, [R] each.

    The correlation is the absolute T-linear circular correlation of latent angle and hue (Fisher and Lee, 1983), in
    [0, 1]; the winding number is how often the angle goes around while hue does once, 1 or -1 for a wheel.
    """
    rgb = colors.pure_hues(360)
    hue = 2 * math.pi * torch.arange(360, dtype=torch.float64) / 360
    z = model.activations(rgb.expand(model.replicas, -1, 3))[layer][..., list(dims)].double()
    angle = torch.atan2(z[..., 1], z[..., 0])
    steps = angle.roll(-1, -1) - angle
    steps = torch.remainder(steps + math.pi, 2 * math.pi) - math.pi
    winding = (steps.sum(-1) / (2 * math.pi)).round()
    return circular_correlation(angle, hue).abs().float(), winding.float()


def circular_correlation(a: Tensor, b: Tensor) -> Tensor:
    """T-linear correlation of angles in radians, [..., N] to [...] in [-1, 1] (Fisher and Lee, 1983).

    The sum over pairs of `sin(a_i - a_j) sin(b_i - b_j)`, over the root of the sums of their squares; 0 of a constant.
    """
    n = a.shape[-1]

    def both(f: Tensor, g: Tensor) -> Tensor:
        return (f * g).sum(-1)

    cross = both(a.cos(), b.cos()) * both(a.sin(), b.sin()) - both(a.cos(), b.sin()) * both(a.sin(), b.cos())

    def spread(angle: Tensor) -> Tensor:
        return (n**2 - (2 * angle).cos().sum(-1) ** 2 - (2 * angle).sin().sum(-1) ** 2).clamp(min=0)

    return 4 * cross / (spread(a) * spread(b)).sqrt().clamp(min=1e-6 * n**2)
