import pytest
import torch
from scipy import stats

from excolor import colors, metrics
from excolor.metrics import evaluate

X = colors.rgb_centres(16)
REC_709 = torch.tensor([0.2126, 0.7152, 0.0722])


def gray(lightness):
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
def test_reference_points_of_hue_blindness(output, blindness):
    assert metrics.hue_blindness(output, X).item() == pytest.approx(blindness, abs=5e-4)


def identity(x):
    return x.unsqueeze(0)


def oracle(x):
    return colors.hue_blind(x).unsqueeze(0)


def constant(x):
    return torch.full((1, *x.shape), 0.5)


def measured(model, ablated):
    return {name: metric.item() for name, metric in evaluate(lambda x: (model(x), ablated(x))).items()}


def test_perfect_isolation():
    assert measured(identity, oracle) == {
        "isolation": 1,
        "utility": 1,
        "hue_blindness": 1,
        "hue_residual": pytest.approx(0, abs=1e-6),
        "gray_collateral": pytest.approx(0, abs=1e-6),
        "lightness_kept": pytest.approx(1),
        "vibrancy_r2": pytest.approx(0.942, abs=5e-4),
    }


def test_no_isolation():
    untouched = measured(identity, identity)
    assert untouched["utility"] == 1
    assert untouched["hue_residual"] == 1
    assert untouched["gray_collateral"] == 0
    assert (untouched["hue_blindness"], untouched["isolation"]) == (0, 0)


def test_a_hue_blind_model_is_of_no_use():
    assert measured(oracle, oracle)["utility"] == pytest.approx(0, abs=1e-6)
    assert measured(oracle, oracle)["isolation"] == pytest.approx(0, abs=1e-6)


def test_a_constant_keeps_nothing():
    lost = measured(identity, constant)
    assert lost["gray_collateral"] == pytest.approx(1)
    assert lost["lightness_kept"] == 0
    assert lost["hue_residual"] == 0  # which is why it is never read alone


def test_vibrancy_r2_likes_rotated_hues_too():
    """Which is why it is to compare with the literature, and isolation to choose by."""
    corners = colors.rgb_cube(8).colors
    complements = corners.amax(-1, keepdim=True) + corners.amin(-1, keepdim=True) - corners
    for output, blindness in ((complements, 0), (colors.hue_blind(corners), 1)):
        assert metrics.vibrancy_r2(output, corners).item() == pytest.approx(0.942, abs=5e-4)
        assert metrics.hue_blindness(output, corners).item() == pytest.approx(blindness, abs=1e-6)


def test_r2_is_the_squared_correlation():
    ablated = torch.rand(512, 3, generator=torch.Generator().manual_seed(0))
    corners = colors.rgb_cube(8).colors
    error, vibrancy = (ablated - corners).square().mean(-1), colors.vibrancy(corners) ** 2.3
    assert metrics.vibrancy_r2(ablated, corners).item() == pytest.approx(
        stats.pearsonr(error, vibrancy).statistic ** 2, rel=1e-5
    )


def test_lightness_kept_is_that_of_a_regression():
    ablated = 0.3 * colors.hue_blind(X) + 0.1 * X
    fit = stats.linregress(ablated.mean(-1), colors.hue_blind(X)[:, 0])
    assert metrics.lightness_kept(ablated, X).item() == pytest.approx(fit.rvalue**2, rel=1e-5)


def test_replicas_are_measured_apart_and_a_diverged_one_counts_nothing():
    def broken(x):
        return torch.stack([x, torch.full_like(x, torch.nan), x])

    def ablated(x):
        return torch.stack([colors.hue_blind(x)] * 3)

    result = evaluate(lambda x: (broken(x), ablated(x)))
    assert result["isolation"].tolist() == [1, 0, 1]
    for name in ("utility", "hue_blindness", "hue_residual", "vibrancy_r2"):
        assert result[name].isnan().tolist() == [False, True, False]


def test_half_of_utility_and_half_of_blindness():
    utility, blindness = torch.tensor([0.5, -0.1, 0.9]), torch.tensor([0.5, 0.9, -0.2])
    assert metrics.isolation(utility, blindness).tolist() == [0.25, 0, 0]
