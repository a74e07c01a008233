"""A closer look at where the concept is in trained replicas: metrics that take too long for every rung."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from anchoring.ablation import Leace, around
from anchoring.authored import Authored
from anchoring.erasure import Target
from anchoring.layers import activations
from anchoring.probes import probe_r2
from anchoring.relearning import relearning
from anchoring.replicas import Replicas
from excolor import colors
from excolor.concepts import Concept, oracle
from excolor.metrics import utility
from excolor.setting import ColorSetting
from study.experiment import Metric

LEAST_VIBRANCY = 0.2


@dataclass(frozen=True)
class Trained:
    """The replicas that are examined. They have weights that write and read `layer`."""

    experiment: Authored
    model: Replicas
    setting: ColorSetting
    seeds: Sequence[int]

    @property
    def layer(self) -> str:
        return self.setting.ablation.layer

    @property
    def dims(self) -> tuple[int, ...]:
        return self.setting.ablation.removed

    @cached_property
    def wheels(self) -> tuple[Tensor, Tensor]:
        """Each replica's `wheel`: correlations and winding numbers, [R] each."""
        return self.model.map(lambda one: wheel(one, self.layer, (self.dims[0], self.dims[1])))


Examined = tuple[Metric, Callable[[Trained], Tensor]]
"""A metric and the function that computes it."""


def examinations(concept: Concept) -> dict[str, Examined]:
    """The metrics of a concept that only `examine` computes. To add one, add an entry here.

    Returns:
        Each metric, by name, with the function that computes it.

    Examples:
        >>> list(examinations("hue")), list(examinations("red"))
        (['probe_gap', 'wheel', 'winding', 'relearning'], ['relearning'])
    """
    of_hue: dict[str, Examined] = {
        "probe_gap": (
            Metric(
                "R² of a probe for hue from the ablated dims minus that from the others: 1 if only they have hue",
                examined=True,
            ),
            lambda of: of.model.map(lambda one: probe_gap(one, of.layer, of.dims)),
        ),
        "wheel": (
            Metric("circular correlation of hue and the angle in the two ablated dims", examined=True),
            lambda of: of.wheels[0],
        ),
        "winding": (
            Metric(
                "how often that angle goes around while hue goes around once: 1 or -1 for a wheel",
                ideal=None,
                examined=True,
            ),
            lambda of: of.wheels[1],
        ),
    }
    of_any: dict[str, Examined] = {
        "relearning": (
            Metric(
                "steps to relearn the concept, over steps from scratch: 1 if nothing was left to build on",
                examined=True,
            ),
            lambda of: relearning(of.experiment, of.model, of.setting, of.seeds, partial(knowledge, concept=concept)),
        )
    }
    return of_hue | of_any if concept == "hue" else of_any


def examine(experiment: Authored, model: Replicas, setting: ColorSetting, seeds: Sequence[int]) -> Mapping[str, Tensor]:
    """Compute the `examinations` of every replica.

    Args:
        experiment: the experiment that the setting is for.
        model: the trained replicas.
        setting: their setting.
        seeds: their seeds.

    Returns:
        Each metric, [R]. `wheel` and `winding` need two ablated dims, and of what LEACE erased only `relearning` is
        measured. There is no metric at all of another ablation, or without weights around the layer.
    """
    trained = Trained(experiment, model, setting, seeds)
    if trained.layer not in around(model.one()):
        return {}
    table = examinations(setting.concept)
    if isinstance(setting.ablation, Leace) and len(setting.ablation.places) == 1:
        table = {"relearning": table["relearning"]}
    elif not trained.dims:
        return {}
    skipped = () if len(trained.dims) == 2 else ("wheel", "winding")
    return {name: compute(trained) for name, (_, compute) in table.items() if name not in skipped}


def knowledge(one: nn.Module, concept: Concept) -> Tensor:
    """The utility of one replica on the cell centres of an 8^3 RGB grid, a scalar."""
    x = colors.rgb_centres(8)
    return utility(one(x), x, oracle(x, concept))


def hue_target() -> Target:
    """The colours of an HSV grid, each with its place on the colour wheel, (cos, sin) of hue times vibrancy.

    Erasure is fitted to it.

    Examples:
        >>> hue_target().inputs.shape, hue_target().values.shape
        (torch.Size([2304, 3]), torch.Size([2304, 2]))
    """
    grid = colors.hsv_centres(36, 8, 8)
    angle = 2 * math.pi * colors.cell_centres(36)
    point = torch.stack([angle.cos(), angle.sin()], -1)[:, None, None] * colors.vibrancy(grid).unsqueeze(-1)
    return Target(grid.reshape(-1, 3), point.reshape(-1, 2))


def probe_gap(one: nn.Module, layer: str, dims: Sequence[int]) -> Tensor:
    """How much better a nonlinear probe reads hue from some dims than from the rest: the difference of two `hue_r2`.

    Args:
        one: one replica.
        layer: the layer that the probe reads.
        dims: the dims.

    Returns:
        A scalar in [-1, 1]: 1 if hue is in these dims only, about 0 if it is spread evenly.

    Examples:
        >>> rgb = nn.Sequential(nn.Identity())  # its layer "0" has hue in all dims together
        >>> bool(probe_gap(rgb, "0", [0, 1, 2]) > 0.9)
        True
    """
    width = activations(one, torch.zeros(1, 3))[layer].shape[-1]
    rest = [dim for dim in range(width) if dim not in dims]
    return hue_r2(one, layer, dims) - hue_r2(one, layer, rest)


def hue_r2(one: nn.Module, layer: str, dims: Sequence[int]) -> Tensor:
    """Held-out R² of a nonlinear probe for hue from some dims of a layer.

    The probe (`anchoring.probes.probe_r2`) predicts cosine and sine of hue's first three harmonics, for colours with
    vibrancy above 0.2. It is fitted on every second hue and tested on the others.

    Args:
        one: one replica.
        layer: the layer that the probe reads.
        dims: the dims; there may be none.

    Returns:
        R², a scalar in [0, 1]. It is 0 if there are no dims.

    Examples:
        >>> rgb = nn.Sequential(nn.Identity())
        >>> bool(hue_r2(rgb, "0", [0, 1, 2]) > 0.9), hue_r2(rgb, "0", [])
        (True, tensor(0.))
    """
    grid = colors.hsv_centres(72, 8, 8)
    angle = 2 * math.pi * colors.cell_centres(72)
    harmonics = torch.stack([f(k * angle) for k in (1, 2, 3) for f in (torch.cos, torch.sin)], -1)
    vivid = colors.vibrancy(grid) > LEAST_VIBRANCY
    target = harmonics[:, None, None].expand(*grid.shape[:-1], 6)[vivid]
    fitted = (torch.arange(72) % 2 == 0)[:, None, None].expand(grid.shape[:-1])[vivid]
    return probe_r2(activations(one, grid[vivid])[layer][:, list(dims)], target, fitted)


@torch.no_grad()
def wheel(one: nn.Module, layer: str, dims: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Whether the pure hues lie around a circle in the plane of two dims, like a colour wheel.

    Args:
        one: one replica.
        layer: the layer.
        dims: two of its dims. The latent angle is measured in their plane.

    Returns:
        The absolute T-linear circular correlation of latent angle and hue (Fisher and Lee, 1983), a scalar in [0, 1],
        and the winding number: how often the angle goes around while hue goes around once. A wheel's is 1 or -1.

    Examples:
        >>> plane = nn.Linear(3, 2, bias=False)
        >>> plane.weight.data = torch.tensor([[1.0, -0.5, -0.5], [0.0, 0.866, -0.866]])
        >>> correlation, winding = wheel(nn.Sequential(plane), "0", (0, 1))
        >>> bool(correlation > 0.99), winding
        (True, tensor(1.))
    """
    hue = 2 * math.pi * torch.arange(360, dtype=torch.float64) / 360
    z = activations(one, colors.pure_hues(360))[layer][..., list(dims)].double()
    angle = torch.atan2(z[..., 1], z[..., 0])
    steps = angle.roll(-1, -1) - angle
    steps = torch.remainder(steps + math.pi, 2 * math.pi) - math.pi
    winding = (steps.sum(-1) / (2 * math.pi)).round()
    return circular_correlation(angle, hue).abs().float(), winding.float()


def circular_correlation(a: Tensor, b: Tensor) -> Tensor:
    """The T-linear correlation of angles (Fisher and Lee, 1983).

    It is the sum over pairs of `sin(a_i - a_j) sin(b_i - b_j)`, divided by the root of the product of
    `sum sin²(a_i - a_j)` and `sum sin²(b_i - b_j)`. It is 0 if either side is constant.

    Args:
        a: angles in radians, [..., N].
        b: angles in radians, [..., N].

    Returns:
        Correlations in [-1, 1], [...].

    Examples:
        >>> angle = torch.linspace(0, 6, 100)
        >>> circular_correlation(angle, 1 - angle)
        tensor(-1.)
    """
    n = a.shape[-1]

    def both(f: Tensor, g: Tensor) -> Tensor:
        return (f * g).sum(-1)

    cross = both(a.cos(), b.cos()) * both(a.sin(), b.sin()) - both(a.cos(), b.sin()) * both(a.sin(), b.cos())

    def spread(angle: Tensor) -> Tensor:
        return (n**2 - (2 * angle).cos().sum(-1) ** 2 - (2 * angle).sin().sum(-1) ** 2).clamp(min=0)

    return 4 * cross / (spread(a) * spread(b)).sqrt().clamp(min=1e-6 * n**2)
