"""fANOVA in one walk of each tree: Optuna's shares, and those of functions whose variance is known."""

from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from sklearn.ensemble import RandomForestRegressor

from analysis import fanova as module
from analysis.fanova import fanova


def optunas(points: Any, values: Any) -> list[float]:
    """The shares of ranges as Optuna finds them, in the same forest."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space: dict[str, Any] = {f"x{column}": FloatDistribution(0, 1) for column in range(points.shape[1])}
    study = optuna.create_study()
    for point, value in zip(points.tolist(), values.tolist(), strict=True):
        params = dict(zip(space, point, strict=True))
        study.add_trial(optuna.create_trial(params=params, distributions=space, value=value))
    found = FanovaImportanceEvaluator(seed=0).evaluate(study)
    return [found[name] for name in space]


@pytest.mark.parametrize("seed", range(3))
def test_ranges_have_the_shares_that_optuna_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.random((40, 3))
    values = np.sin(5 * points[:, 0]) + points[:, 1] * points[:, 2] + random.normal(0, 0.1, 40)
    found, _ = fanova(points, values, [0, 0, 0])
    assert found.tolist() == pytest.approx(optunas(points, values), abs=1e-9)


@given(st.integers(0, 10_000), st.lists(st.sampled_from([0, 0, 2, 3]), min_size=1, max_size=3))
def test_a_tree_has_the_shares_that_its_predictions_have(seed: int, choices: list[int]) -> None:
    """The slow reference: predictions in every cell between two splits, for every combination of choices."""
    random = np.random.default_rng(seed)
    columns = [random.integers(0, n, 12) / (n - 1) if n else random.random(12) for n in choices]
    points = np.stack(columns, axis=1)
    coded = np.concatenate([module._coded(column, n) for column, n in zip(points.T, choices, strict=True)], axis=1)
    forest = RandomForestRegressor(1, random_state=seed).fit(coded, random.random(12))
    tree = forest.estimators_[0].tree_
    axes, weights, start = [], [], 0
    for n in choices:
        if n:
            axes.append(np.linspace(0, 1, n))
            weights.append(np.full(n, 1 / n))
        else:
            ends = np.array([0, *np.unique(tree.threshold[tree.feature == start]), 1])
            axes.append((ends[1:] + ends[:-1]) / 2)
            weights.append(np.diff(ends))
        start += n or 1
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    at = np.concatenate([module._coded(column, n) for column, n in zip(grid.T, choices, strict=True)], axis=1)
    cube = forest.predict(at).reshape([len(axis) for axis in axes])
    joint = np.ones(())
    for weight in weights:
        joint = np.multiply.outer(joint, weight)
    centred = cube - (joint * cube).sum()
    total = (joint * centred**2).sum()
    found = module._shares(tree, choices)
    if total < 1e-15:
        assert found is None
        return
    assert found is not None
    for place, weight in enumerate(weights):
        others = tuple(axis for axis in range(len(choices)) if axis != place)
        marginal = (joint * centred).sum(axis=others) / weight
        assert found[place] == pytest.approx((weight * marginal**2).sum() / total)


def test_choices_count_alike_and_combinations_that_no_setting_has_do_not_count() -> None:
    """A step between choices of 0, 0 and 1 has the variance 2/9; a slope of 1 has 1/12."""
    random = np.random.default_rng(0)
    points = np.stack([random.integers(0, 3, 600) / 2, random.random(600)], axis=1)
    (chosen, slope), r2 = fanova(points, (points[:, 0] == 1) + points[:, 1], [3, 0])
    assert chosen == pytest.approx((2 / 9) / (2 / 9 + 1 / 12), abs=0.02)
    assert chosen + slope == pytest.approx(1, abs=0.01)  # nothing is left for combinations
    assert r2 > 0.95


def test_of_noise_the_forest_knows_nothing_and_of_one_value_there_are_no_shares() -> None:
    random = np.random.default_rng(0)
    points = random.random((60, 4))
    assert fanova(points, random.random(60), [0] * 4)[1] < 0.1
    assert np.isnan(fanova(points, np.ones(60), [0] * 4)[0]).all()
