"""Metrics of how well a concept was isolated, for one replica.

All are measured on colours off the training grids, except vibrancy_r2.

In formulas x are colours, y the intact model's outputs, y' the ablated model's and o the concept-blind oracle's
(`excolor.concepts`). M(a, b) is the mean squared error, and M(x, o) is called the concept's energy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from excolor import colors
from excolor.concepts import Concept, blindness_of, hue_of_concept, oracle
from study.experiment import Metric

Outputs = Callable[[Tensor], Tensor]
"""Colours [N, 3] to outputs [N, 3] in [0, 1]."""


@dataclass(frozen=True)
class Answers:
    """The answers of one replica, intact (y) and ablated (a), on each grid, and the oracle's answers (o) to x."""

    x: Tensor
    y: Tensor
    a: Tensor
    o: Tensor
    y_hues: Tensor
    a_hues: Tensor
    grays: Tensor
    y_grays: Tensor
    a_grays: Tensor
    corners: Tensor
    a_corners: Tensor
    a_pure: Tensor


Computed = tuple[Metric, Callable[[Answers], Tensor]]
"""A metric and the function that computes it."""


def measures(concept: Concept) -> dict[str, Computed]:
    """The metrics of a concept that every rung computes. To add one, add an entry here.

    Returns:
        Each metric, by name, with the function that computes it. The objective comes first.

    Examples:
        >>> list(measures("red"))[:5]
        ['isolation', 'utility', 'red_blindness', 'gray_collateral', 'lightness_kept']
    """

    def good(at: Answers) -> Tensor:
        return utility(at.y, at.x, at.o)

    def blind(at: Answers) -> Tensor:
        return blindness(at.a, at.x, at.o)

    table: dict[str, Computed] = {
        "isolation": (
            Metric(
                "utility x blindness to the concept, both at least 0: the usual objective", diverged=0.0, failure=0.5
            ),
            lambda at: isolation(good(at), blind(at)),
        ),
        "utility": (
            Metric(
                "how well the intact model reproduces colours: 1 perfectly, 0 no better than a concept-blind model",
                diverged=0.0,
            ),
            good,
        ),
        blindness_of(concept): (
            Metric(
                f"how close the ablated output is to the {concept}-blind oracle: 1 there, 0 if {concept} is untouched",
                diverged=0.0,
            ),
            blind,
        ),
        "gray_collateral": (
            Metric(
                "error that ablation adds on grays: 0 none, 1 as much as answering all of them with one gray",
                ideal=0.0,
                higher_is_better=False,
                diverged=1.0,
            ),
            lambda at: gray_collateral(at.y_grays, at.a_grays, at.grays),
        ),
        "lightness_kept": (
            Metric("R² of the ablated output's lightness with the oracle's", diverged=0.0),
            lambda at: lightness_kept(at.a, at.o),
        ),
    }
    if concept == "hue":
        table |= {
            "hue_residual": (
                Metric(
                    "share of the outputs' variation with hue that remains after ablation",
                    ideal=0.0,
                    higher_is_better=False,
                    diverged=1.0,
                ),
                lambda at: hue_residual(at.y_hues, at.a_hues),
            ),
            "lightness_spread": (
                Metric(
                    "how much lighter the lightest pure hue is than the darkest after ablation",
                    ideal=0.0,
                    higher_is_better=False,
                    diverged=1.0,
                ),
                lambda at: lightness_spread(at.a_pure),
            ),
            "vibrancy_r2": (
                Metric(
                    "r² of ablated error and vibrancy^2.3, the paper's score: to compare, not to choose by",
                    ideal=None,
                    not_an_objective="rotating all hues scores 0.942 on it",
                ),
                lambda at: vibrancy_r2(at.a_corners, at.corners),
            ),
        }
    else:
        for name, power in (("similarity_r2", 2), ("similarity3_r2", 3)):
            table[name] = (
                Metric(
                    f"r² of ablated error and similarity to {concept}^{power}, the paper's score: to compare, not to "
                    "choose by",
                    ideal=None,
                    not_an_objective="it does not ask how large the errors are, nor what is answered instead",
                ),
                partial(_similarity_r2, concept=concept, power=power),
            )
    return table


def _similarity_r2(at: Answers, concept: Concept, power: int) -> Tensor:
    return similarity_r2(at.a_corners, at.corners, concept, power)


LABELLED = Metric(
    "samples that carried a label in training: the cost of supervision", ideal=None, higher_is_better=False
)
"""The metric `labelled`, which training counts."""


def utility(y: Tensor, x: Tensor, o: Tensor) -> Tensor:
    """`1 - M(y, x) / M(x, o)`: 1 for a perfect model, 0 for a blind one.

    Args:
        y: the intact model's outputs, [..., N, 3].
        x: the colours, [N, 3].
        o: the oracle's answers, [N, 3].

    Returns:
        The utility, [...].

    Examples:
        >>> x = colors.rgb_centres()
        >>> utility(x, x, oracle(x, "hue")), utility(oracle(x, "hue"), x, oracle(x, "hue"))
        (tensor(1.), tensor(0.))
    """
    return 1 - _mse(y, x) / _mse(x, o)


def blindness(ablated: Tensor, x: Tensor, o: Tensor) -> Tensor:
    """`1 - M(y', o) / M(x, o)`: 1 if the ablated model answers as the oracle does, 0 if the concept is untouched.

    It is 0, too, if the concept is hue and hues are merely rotated. It is negative if more was lost than the concept's
    energy.

    Args:
        ablated: the ablated model's outputs, [..., N, 3].
        x: the colours, [N, 3].
        o: the oracle's answers, [N, 3].

    Returns:
        The blindness, [...].

    Examples:
        >>> x = colors.rgb_centres()
        >>> gray = x.mean(-1, keepdim=True).expand_as(x)
        >>> round(blindness(gray, x, oracle(x, "hue")).item(), 3)
        0.951
    """
    return 1 - _mse(ablated, o) / _mse(x, o)


def isolation(utility: Tensor, blindness: Tensor) -> Tensor:
    """The objective, `max(0, utility) x max(0, blindness)`, for tensors of one shape.

    Examples:
        >>> isolation(torch.tensor(0.9), torch.tensor(0.8))
        tensor(0.7200)
    """
    return utility.clamp(min=0) * blindness.clamp(min=0)


def hue_residual(y: Tensor, ablated: Tensor) -> Tensor:
    """`E_SV Var_h(y') / E_SV Var_h(y)`: 0 if ablated outputs do not vary with hue, 1 if they vary as before.

    It is 0 for a constant output, too, so never read it alone.

    Args:
        y: the intact model's outputs on an HSV grid, [..., H, S, V, 3].
        ablated: the ablated model's outputs, [..., H, S, V, 3].

    Returns:
        The residual, [...].

    Examples:
        >>> y = colors.hsv_centres(12, 3, 3)
        >>> hue_residual(y, y), hue_residual(y, torch.zeros_like(y))
        (tensor(1.), tensor(0.))
    """

    def hue_variance(outputs: Tensor) -> Tensor:
        return (outputs - outputs.mean(-4, keepdim=True)).square().mean((-4, -3, -2, -1))

    return hue_variance(ablated) / hue_variance(y).clamp(min=1e-12)


def gray_collateral(y: Tensor, ablated: Tensor, grays: Tensor) -> Tensor:
    """`(M(y', x) - M(y, x)) / Var(V)` on the gray axis: the error that ablation adds on grays.

    It is 0 if grays are unharmed, and 1 if a perfect model answers all of them with the mean gray.

    Args:
        y: the intact model's outputs, [..., N, 3].
        ablated: the ablated model's outputs, [..., N, 3].
        grays: the grays, [N, 3].

    Returns:
        The collateral, [...].

    Examples:
        >>> grays = colors.cell_centres(64).unsqueeze(-1).expand(-1, 3)
        >>> round(gray_collateral(grays, torch.full((64, 3), 0.5), grays).item(), 3)
        1.0
    """
    return (_mse(ablated, grays) - _mse(y, grays)) / colors.value(grays).var(correction=0)


def lightness_kept(ablated: Tensor, o: Tensor) -> Tensor:
    """R² of a line from the ablated outputs' mean channel to the oracle's: 1 if lightness is kept, 0 for a constant.

    Args:
        ablated: the ablated model's outputs, [..., N, 3].
        o: the oracle's answers, [N, 3].

    Returns:
        R², [...].

    Examples:
        >>> o = oracle(colors.rgb_centres(), "hue")
        >>> lightness_kept(torch.full_like(o, 0.5), o)
        tensor(0.)
    """
    return _r2(ablated.mean(-1), o.mean(-1))


def vibrancy_r2(ablated: Tensor, x: Tensor) -> Tensor:
    """The paper's score (arXiv 2512.12469): r² between each colour's ablated squared error and vibrancy^2.3.

    It is for comparison with the literature. Do not choose settings by it: a model that turns every hue to its
    complement scores 0.942, like the oracle.

    Args:
        ablated: the ablated model's outputs, [..., N, 3].
        x: the colours, [N, 3].

    Returns:
        r², [...].

    Examples:
        >>> x = colors.rgb_cube(8).colors
        >>> round(vibrancy_r2(oracle(x, "hue"), x).item(), 3)
        0.942
    """
    return _r2((ablated - x).square().mean(-1), colors.vibrancy(x).pow(2.3))


def similarity_r2(ablated: Tensor, x: Tensor, concept: Concept, power: int = 2) -> Tensor:
    """The paper's score for red: r² between each colour's ablated squared error and a power of similarity to the hue.

    It is for comparison with the literature, as `vibrancy_r2` is.

    Args:
        ablated: the ablated model's outputs, [..., N, 3].
        x: the colours, [N, 3].
        concept: one of the six hues of `CONCEPTS`.
        power: the paper has 2 and 3.

    Returns:
        r², [...].

    Examples:
        >>> x = colors.rgb_cube(8).colors
        >>> round(similarity_r2(oracle(x, "red"), x, "red").item(), 3)
        0.909
    """
    return _r2((ablated - x).square().mean(-1), colors.similarity(x, hue_of_concept(concept)).pow(power))


def lightness_spread(ablated: Tensor) -> Tensor:
    """The difference of the largest and the smallest mean channel of the answers to pure hues.

    The oracle answers all of them with the same gray: 0. The mean of the channels as gray differs by 1/3.

    Args:
        ablated: the ablated model's outputs for `colors.pure_hues`, [..., N, 3].

    Returns:
        The difference, [...].

    Examples:
        >>> lightness_spread(colors.pure_hues(36))
        tensor(0.3333)
    """
    lightness = ablated.mean(-1)
    return lightness.amax(-1) - lightness.amin(-1)


def evaluate(intact: Outputs, ablated: Outputs, concept: Concept = "hue") -> Mapping[str, Tensor]:
    """Compute the `measures` of one replica.

    They are measured on 16^3 RGB cell centres, or on grids of their own: HSV cells, the gray axis, the paper's grid,
    pure hues.

    Args:
        intact: the model, a function from colours [N, 3] to outputs [N, 3].
        ablated: the ablated model, likewise.
        concept: one of `CONCEPTS`.

    Returns:
        Scalars, by the names of metrics.

    Examples:
        >>> ideal = evaluate(lambda x: x, lambda x: oracle(x, "red"), "red")
        >>> ideal["isolation"], ideal["gray_collateral"]
        (tensor(1.), tensor(0.))
    """
    x, hues, grays, corners, _ = grids = _grids()
    everything = torch.cat([grid.reshape(-1, 3) for grid in grids])
    sizes = [grid.numel() // 3 for grid in grids]
    y, y_hues, y_grays, _, _ = intact(everything).split(sizes)
    a, a_hues, a_grays, a_corners, a_pure = ablated(everything).split(sizes)
    y_hues, a_hues = (answers.unflatten(0, hues.shape[:3]) for answers in (y_hues, a_hues))
    at = Answers(x, y, a, oracle(x, concept), y_hues, a_hues, grays, y_grays, a_grays, corners, a_corners, a_pure)
    return {name: compute(at) for name, (_, compute) in measures(concept).items()}


@cache
def _grids() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Cell centres [4096, 3], an HSV grid [24, 6, 6, 3], grays [64, 3], 8^3 corners [512, 3], pure hues [36, 3]."""
    grays = colors.cell_centres(64).unsqueeze(-1).expand(-1, 3)
    corners, pure = colors.rgb_cube(8).colors, colors.pure_hues(36)
    return colors.rgb_centres(16), colors.hsv_centres(24, 6, 6), grays, corners, pure


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean((-2, -1))


def _r2(a: Tensor, b: Tensor) -> Tensor:
    """The squared correlation over the last axis. It is 0 where either side varies by no more than rounding errors."""
    a_mean, b_mean = a.mean(-1, keepdim=True), b.mean(-1, keepdim=True)
    a, b = a - a_mean, b - b_mean
    a_variance, b_variance = a.square().mean(-1), b.square().mean(-1)
    varies = (a_variance > (1e-6 * a_mean[..., 0]).square()) & (b_variance > (1e-6 * b_mean[..., 0]).square())
    scale = a_variance * b_variance
    return torch.where(varies, (a * b).mean(-1).square() / scale, 0.0 * scale)  # NaN stays NaN
