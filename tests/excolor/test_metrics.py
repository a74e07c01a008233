from typing import Any

import pytest
import torch
from scipy import stats
from torch import nn

from anchoring.replicas import Replicas
from excolor import colors, metrics
from excolor.concepts import CONCEPTS
from excolor.concepts import oracle as blind
from excolor.metrics import evaluate

X = colors.rgb_centres(16)
HUE, RED = blind(X, "hue"), blind(X, "red")
REC_709 = torch.tensor([0.2126, 0.7152, 0.0722])


def gray(lightness: Any) -> Any:
    return lightness.unsqueeze(-1).expand(*lightness.shape, 3)


@pytest.mark.parametrize(
    ("output", "blindness"),
    [
        (colors.hue_blind(X), 1),
        (X, 0),
        (X[:, [1, 2, 0]], 0),
        (gray(X.mean(-1)), 0.951),
        (gray(X @ REC_709), 0.625),
        (torch.full_like(X, 0.5), 0.573),
        (gray(colors.value(X)), -0.281),
        ((colors.hue_blind(X) > 0.5).float(), -1.593),
    ],
    ids=["oracle", "untouched", "rotated", "mean gray", "luma", "constant", "value", "black or white"],
)
def test_reference_points_of_hue_blindness(output: Any, blindness: Any) -> None:
    assert metrics.blindness(output, X, HUE).item() == pytest.approx(blindness, abs=5e-4)


@pytest.mark.parametrize(
    ("output", "blindness"),
    [
        (RED, 1),
        (X, 0),
        (X + (RED - X) / 2, 0.75),
        (X + 0.3 * (RED - X), 0.51),
        (X[:, [2, 1, 0]], -9.961),
        (X[:, [1, 2, 0]], -16.602),
        (HUE, -4.654),
        (gray(X.mean(-1)), -4.427),
        (torch.full_like(X, 0.5), -7.634),
    ],
    ids=[
        "oracle",
        "untouched",
        "half as red",
        "a third less",
        "red is blue",
        "rotated",
        "gray",
        "mean gray",
        "constant",
    ],
)
def test_reference_points_of_red_blindness(output: Any, blindness: Any) -> None:
    """Losing anything except red lowers it, and much, since red's energy is a seventh of hue's."""
    assert metrics.blindness(output, X, RED).item() == pytest.approx(blindness, abs=5e-4)


def test_energies() -> None:
    """Red's energy is E[a^2]/4, where a is the amount of red over the cube: 1/120."""
    assert (X - HUE).square().mean().item() == pytest.approx(7 / 120, abs=5e-4)
    assert (X - RED).square().mean().item() == pytest.approx(1 / 120, abs=5e-5)
    assert f"{(X - HUE).square().mean():.4f}, {(X - RED).square().mean():.4f}" == "0.0582, 0.0083"


@pytest.mark.parametrize("concept", CONCEPTS)
def test_every_concept_is_measured_by_its_own_oracle(concept: Any) -> None:
    def answer(x: Any) -> Any:
        return blind(x, concept)

    result = evaluate(identity, answer, concept)
    own = (
        {"hue_residual", "lightness_spread", "vibrancy_r2"} if concept == "hue" else {"similarity_r2", "similarity3_r2"}
    )
    generic = {"isolation", "utility", f"{concept}_blindness", "gray_collateral", "lightness_kept"}
    assert set(result) == generic | own
    assert [result[name].item() for name in ("isolation", "utility", f"{concept}_blindness")] == [1, 1, 1]
    assert result["gray_collateral"].item() == pytest.approx(0, abs=1e-6)
    assert result["lightness_kept"].item() == pytest.approx(1)
    useless = evaluate(answer, answer, concept)
    assert (useless["isolation"].item(), useless["utility"].item()) == (0, 0)


@pytest.mark.parametrize("concept", CONCEPTS)
def test_every_metric_is_declared_and_the_ideal_model_has_its_ideals(concept: Any) -> None:
    declared = {name: metric for name, (metric, _) in metrics.measures(concept).items()}
    result = evaluate(identity, lambda x: blind(x, concept), concept)
    assert next(iter(declared)) == "isolation"
    assert list(result) == list(declared)
    for name, metric in result.items():
        if declared[name].ideal is not None:
            assert metric.item() == pytest.approx(declared[name].ideal, abs=1e-6), name


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_diverged_replica_counts_as_a_useless_model(concept: Any) -> None:
    """A model that answers everything with one gray, intact or ablated, is no worse by any metric."""
    useless = evaluate(constant, constant, concept)
    for name, (metric, _) in metrics.measures(concept).items():
        if metric.diverged is None or name in ("hue_residual", "lightness_spread", "gray_collateral"):
            continue  # a constant is ideal by these, so they are never read alone
        assert metric.diverged <= max(useless[name].item(), 0), name
        assert metric.higher_is_better


def identity(x: Any) -> Any:
    return x


def oracle(x: Any) -> Any:
    return colors.hue_blind(x)


def constant(x: Any) -> Any:
    return torch.full_like(x, 0.5)


def measured(model: Any, ablated: Any) -> Any:
    return {name: metric.item() for name, metric in evaluate(model, ablated).items()}


def test_perfect_isolation() -> None:
    assert measured(identity, oracle) == {
        "isolation": 1,
        "utility": 1,
        "hue_blindness": 1,
        "hue_residual": pytest.approx(0, abs=1e-6),
        "gray_collateral": pytest.approx(0, abs=1e-6),
        "lightness_kept": pytest.approx(1),
        "lightness_spread": pytest.approx(0, abs=1e-6),
        "vibrancy_r2": pytest.approx(0.942, abs=5e-4),
    }


def test_no_isolation() -> None:
    untouched = measured(identity, identity)
    assert untouched["utility"] == 1
    assert untouched["hue_residual"] == 1
    assert untouched["gray_collateral"] == 0
    assert (untouched["hue_blindness"], untouched["isolation"]) == (0, 0)


def test_a_hue_blind_model_is_of_no_use() -> None:
    assert measured(oracle, oracle)["utility"] == pytest.approx(0, abs=1e-6)
    assert measured(oracle, oracle)["isolation"] == pytest.approx(0, abs=1e-6)


def test_a_constant_keeps_nothing() -> None:
    lost = measured(identity, constant)
    assert lost["gray_collateral"] == pytest.approx(1)
    assert lost["lightness_kept"] == 0
    assert lost["hue_residual"] == 0  # so it is never read alone


def test_vibrancy_r2_likes_rotated_hues_too() -> None:
    """So it is for comparison with the literature, and isolation is for choosing."""
    corners = colors.rgb_cube(8).colors
    complements = corners.amax(-1, keepdim=True) + corners.amin(-1, keepdim=True) - corners
    for output, blindness in ((complements, 0), (colors.hue_blind(corners), 1)):
        assert metrics.vibrancy_r2(output, corners).item() == pytest.approx(0.942, abs=5e-4)
        assert metrics.blindness(output, corners, colors.hue_blind(corners)).item() == pytest.approx(
            blindness, abs=1e-6
        )


@pytest.mark.parametrize("power", [2, 3])
def test_similarity_r2_does_not_ask_what_is_answered_instead(power: Any) -> None:
    """A model that harms colours as their similarity to red says is perfect by it, however much else it loses."""
    corners = colors.rgb_cube(8).colors
    harm = colors.similarity(corners, 0).pow(power / 2)
    for size in (0.1, 10):
        answers = corners + size * harm.unsqueeze(-1)
        assert metrics.similarity_r2(answers, corners, "red", power).item() == pytest.approx(1, abs=1e-4)
    assert metrics.similarity_r2(corners, corners, "red", power) == 0
    assert metrics.blindness(answers, corners, blind(corners, "red")) < 0


def test_lightness_spread_of_answers_to_pure_hues() -> None:
    pure = colors.pure_hues(36)
    assert metrics.lightness_spread(colors.hue_blind(pure)) == 0
    assert metrics.lightness_spread(gray(pure.mean(-1))).item() == pytest.approx(1 / 3, abs=1e-6)


def test_r2_is_the_squared_correlation() -> None:
    ablated = torch.rand(512, 3, generator=torch.Generator().manual_seed(0))
    corners = colors.rgb_cube(8).colors
    error, vibrancy = (ablated - corners).square().mean(-1), colors.vibrancy(corners) ** 2.3
    assert metrics.vibrancy_r2(ablated, corners).item() == pytest.approx(
        stats.pearsonr(error, vibrancy).statistic ** 2, rel=1e-5
    )


def test_lightness_kept_is_that_of_a_regression() -> None:
    ablated = 0.3 * colors.hue_blind(X) + 0.1 * X
    fit = stats.linregress(ablated.mean(-1), colors.hue_blind(X)[:, 0])
    assert metrics.lightness_kept(ablated, HUE).item() == pytest.approx(fit.rvalue**2, rel=1e-5)


class Answers(nn.Module):
    """A model that multiplies its input by a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Any) -> Any:
        return x * self.weight


def test_replicas_are_measured_apart_and_a_diverged_one_is_not_a_number() -> None:
    replicas = Replicas(Answers, range(3))
    replicas.set_flat(torch.tensor([[1.0], [torch.nan], [1.0]]))
    result = replicas.map(lambda one: dict(evaluate(one, oracle)))
    assert result["isolation"].isnan().tolist() == [False, True, False]
    assert result["isolation"][[0, 2]].tolist() == [1, 1]
    for name in ("utility", "hue_residual", "gray_collateral"):
        assert result[name].isnan().tolist() == [False, True, False]


def test_half_of_utility_and_half_of_blindness() -> None:
    utility, blindness = torch.tensor([0.5, -0.1, 0.9]), torch.tensor([0.5, 0.9, -0.2])
    assert metrics.isolation(utility, blindness).tolist() == [0.25, 0, 0]
