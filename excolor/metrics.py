"""How well a concept was isolated: measures of intact and ablated replicas on colours that no training grid holds (but
for vibrancy_r2, which is on the published grid).

x are colours, y the intact output, y' the output after ablation, o the concept-blind oracle (excolor.concepts), of hue
unless a setting says otherwise, M(a, b) the mean squared error, and M(x, o) the concept's energy. Every measure is a
vector [R].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from excolor import colors
from excolor.concepts import Concept, blindness_of, oracle

Metrics = dict[str, Tensor]

AT_ONCE = 1024  # colours at a time: what they take stays in a processor's cache


def utility(y: Tensor, x: Tensor, o: Tensor) -> Tensor:
    """`1 - M(y, x) / M(x, o)`: 1 for a perfect model, 0 for a blind one. y [..., N, 3], x and o [N, 3] to [...]."""
    return 1 - _mse(y, x) / _mse(x, o)


def blindness(ablated: Tensor, x: Tensor, o: Tensor) -> Tensor:
    """`1 - M(y', o) / M(x, o)`: 1 if the ablated model answers as the oracle does, 0 if the concept is untouched.

    Of hue, 0 also if hues are merely rotated. Less than 0 if more was lost than the concept is worth.
    """
    return 1 - _mse(ablated, o) / _mse(x, o)


def isolation(utility: Tensor, blindness: Tensor) -> Tensor:
    """`max(0, utility) x max(0, blindness)`: the objective."""
    return utility.clamp(min=0) * blindness.clamp(min=0)


def hue_residual(y: Tensor, ablated: Tensor) -> Tensor:
    """`E_SV Var_h(y') / E_SV Var_h(y)` on an HSV grid [..., H, S, V, 3]: 0 if outputs no longer vary with hue.

    0 for a constant output, too: never read it alone.
    """

    def hue_variance(outputs: Tensor) -> Tensor:
        return (outputs - outputs.mean(-4, keepdim=True)).square().mean((-4, -3, -2, -1))

    return hue_variance(ablated) / hue_variance(y).clamp(min=1e-12)


def gray_collateral(y: Tensor, ablated: Tensor, grays: Tensor) -> Tensor:
    """`(M(y', x) - M(y, x)) / Var(V)` on the gray axis [N, 3]: what ablation costs there; 1 for a constant gray."""
    return (_mse(ablated, grays) - _mse(y, grays)) / colors.value(grays).var(correction=0)


def lightness_kept(ablated: Tensor, o: Tensor) -> Tensor:
    """R^2 of a line from the ablated output's mean channel to the oracle's: 1 if kept, 0 for a constant."""
    return _r2(ablated.mean(-1), o.mean(-1))


def vibrancy_r2(ablated: Tensor, x: Tensor) -> Tensor:
    """r^2 between each colour's ablated error and vibrancy^2.3, the published measure.

    To compare with the literature, never to choose by: turning every hue to its complement scores 0.942, as the
    oracle does.
    """
    return _r2((ablated - x).square().mean(-1), colors.vibrancy(x).pow(2.3))


@torch.no_grad()
def evaluate(
    outputs: Callable[[Tensor], tuple[Tensor, Tensor]],
    finite: Tensor | None = None,
    device: torch.device | str = "cpu",
    concept: Concept = "hue",
) -> Metrics:
    """Every metric of every replica, [R] each, on 16^3 RGB cell centres where a metric does not name its own colours.

    The blindness is named by the concept, `hue_blindness`; hue_residual and vibrancy_r2 are measured of hue only.
    `outputs` maps colours [N, 3] to intact and to ablated outputs, [R, N, 3] each in [0, 1]. A replica has diverged if
    an output is not a number or, as `finite` [R] says, a parameter is not finite: its isolation is 0 and every other
    metric NaN.
    """
    x, hues, grays, corners = grids = _grids(torch.device(device))
    everything = torch.cat([grid.reshape(-1, 3) for grid in grids])
    parts = zip(*map(outputs, everything.split(AT_ONCE)), strict=True)
    y, a = (torch.cat([y.mT for y in part], 2).mT.split([grid.numel() // 3 for grid in grids], 1) for part in parts)
    (y_x, y_hues, y_grays, _), (a_x, a_hues, a_grays, a_corners) = y, a
    o = oracle(x, concept)
    metrics = {
        "utility": utility(y_x, x, o),
        blindness_of(concept): blindness(a_x, x, o),
        "gray_collateral": gray_collateral(y_grays, a_grays, grays),
        "lightness_kept": lightness_kept(a_x, o),
    }
    if concept == "hue":
        metrics |= {
            "hue_residual": hue_residual(y_hues.unflatten(1, hues.shape[:3]), a_hues.unflatten(1, hues.shape[:3])),
            "vibrancy_r2": vibrancy_r2(a_corners, corners),
        }
    diverged = torch.stack(list(metrics.values())).isnan().any(0)
    if finite is not None:
        diverged |= ~finite
    metrics = {name: metric.masked_fill(diverged, torch.nan) for name, metric in metrics.items()}
    return {"isolation": isolation(metrics["utility"], metrics[blindness_of(concept)]).nan_to_num(0.0), **metrics}


@cache
def _grids(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cell centres [4096, 3], an HSV grid [24, 6, 6, 3], the gray axis [64, 3] and the 8^3 corners [512, 3]."""
    grays = colors.cell_centres(64).unsqueeze(-1).expand(-1, 3)
    grids = colors.rgb_centres(16), colors.hsv_centres(24, 6, 6), grays, colors.rgb_cube(8).colors
    return tuple(grid.to(device) for grid in grids)  # type: ignore[return-value]


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean((-2, -1))


def _r2(a: Tensor, b: Tensor) -> Tensor:
    """Squared correlation over the last axis, 0 where either side is constant."""
    a, b = a.double() - a.double().mean(-1, keepdim=True), b.double() - b.double().mean(-1, keepdim=True)
    scale = a.square().sum(-1) * b.square().sum(-1)
    return torch.where(scale > 1e-18, (a * b).sum(-1).square() / scale, 0.0 * scale).float()
