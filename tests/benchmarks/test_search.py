from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from benchmarks import search
from study.search.plan import Plan
from study.search.samplers import sampler

OPTIMA = {  # places in the floats' ranges, as shares
    "bowl": [0.25, 0.6, 0.35, 0.7],
    "bowl, overshot": [0.25, 0.6, 0.35, 0.7],
    "Hartmann 6": [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573],
    "Branin, diverging": [0.25, (np.pi + 5) / 15, 2.275 / 15, 0.6],
}

landscapes = pytest.mark.parametrize("landscape", search.LANDSCAPES, ids=lambda landscape: landscape.name)


@pytest.fixture(scope="module")
def runs() -> Any:
    return {
        (landscape.name, arm, seed): search.simulate(landscape, make, seed, trials=12)
        for landscape in search.LANDSCAPES
        for arm, make in search.ARMS.items()
        for seed in range(2)
    }


def _parameters(landscape: Any, shares: Any) -> Any:
    ends = [(d.low, d.high / d.low if d.log else d.high - d.low, d.log) for d in landscape.floats]
    values = [low * span**u if log else low + span * u for u, (low, span, log) in zip(shares, ends, strict=True)]
    return {**{f"x{i}": value for i, value in enumerate(values)}, "kind": "a"}


@landscapes
def test_the_optimum_is_where_it_is_said_to_be_and_nothing_is_better(landscape: Any) -> None:
    assert landscape.value(_parameters(landscape, OPTIMA[landscape.name])) == pytest.approx(search.BEST, abs=1e-6)
    starts = [OPTIMA[landscape.name], *np.random.default_rng(0).random((20, len(landscape.floats)))]
    for start in starts:
        found = minimize(lambda u: -landscape.shape(u), start, method="L-BFGS-B", bounds=[(0, 1)] * len(start))
        assert -found.fun <= 1 + 1e-9


@landscapes
def test_curves_cross(landscape: Any) -> None:
    slow, fast = (_parameters(landscape, [first, *OPTIMA[landscape.name][1:]]) for first in (0.2, 0.55))
    assert landscape.value(slow, 1) < landscape.value(fast, 1)
    assert landscape.value(slow) > landscape.value(fast)


def test_every_arm_has_the_same_trials_and_no_regret_is_negative(runs: Any) -> None:
    assert {len(run.study.trials) for run in runs.values()} == {12}
    assert all(run.regret(budget) >= -1e-9 for run in runs.values() for budget in (0, 30, 60, np.inf))
    assert all(run.regret() <= run.regret(0) == search.BEST for run in runs.values())
    assert all(run.spent <= 12 * search.RUNGS for run in runs.values())


def test_a_stopped_trial_is_pruned_in_ours_and_complete_in_rays(runs: Any) -> None:
    def states(arm: Any) -> Any:
        return sum((Counter(t.state.name for t in r.study.trials) for k, r in runs.items() if k[1] == arm), Counter())

    ended = sum(len(run.ends) for key, run in runs.items() if key[1] == "ours")
    assert states("ours").keys() == {"COMPLETE", "PRUNED", "FAIL"}
    assert states("ours")["COMPLETE"] == ended
    ended = sum(len(run.ends) for key, run in runs.items() if key[1] == "Ray's")
    assert states("Ray's").keys() == {"COMPLETE", "RUNNING"}  # RUNNING are those that diverged
    assert states("Ray's")["COMPLETE"] > ended


def test_rays_default_sampler_has_our_settings() -> None:
    def with_our_sampler(landscape: Any, seed: Any) -> Any:
        return search.rays(landscape, sampler=sampler(Plan(seed=seed, cpus=search.WORKERS), 0))

    for landscape in search.LANDSCAPES[:2]:
        default, same = (search.simulate(landscape, arm, 0, 30) for arm in (search.ARMS["Ray's"], with_our_sampler))
        # Optuna's normal distributions and SciPy's, which ours has, differ in the last bits
        np.testing.assert_allclose(default.ends, same.ends, rtol=1e-9)


def test_what_is_picked_is_the_best_as_observed() -> None:
    run = search.Run(SimpleNamespace(), ends=[(10, 0.5, 0.6), (20, 0.7, 0.55)])  # type: ignore[arg-type]
    assert run.regret(9) == search.BEST
    assert run.regret(10) == pytest.approx(search.BEST - 0.6)
    assert run.regret() == pytest.approx(search.BEST - 0.55)
