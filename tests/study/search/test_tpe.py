"""TPE that sees only a part of a long history."""

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import TrialState

from study.search.tpe import GOOD, NEWEST, SLACK, BoundedTPE

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-3, 1, log=True),
    "weight": FloatDistribution(0, 1),
    "kind": CategoricalDistribution(["a", "b"]),
}


def searched(sampler: Any, trials: int, workers: int = 1) -> optuna.Study:
    """A search whose trials end in every way, one of them asked for before the last has ended if there are two."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, running = optuna.create_study(direction="maximize", sampler=sampler), []
    random = np.random.default_rng(0)
    for _ in range(trials):
        running.append(study.ask(SPACE))
        if len(running) == workers:
            trial = running.pop(0)
            value = trial.params["weight"] - abs(trial.params["rate"] - 0.1)
            trial.set_constraint("rate", trial.params["rate"] - 0.8)
            trial.report(value, step=1)
            state = random.choice([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL], p=[0.5, 0.4, 0.1])
            study.tell(trial, value if state == TrialState.COMPLETE else None, TrialState(state))
    return study


@pytest.mark.parametrize("workers", [1, 3])
def test_a_short_search_is_that_of_optunas_own_sampler(workers: int) -> None:
    trials = NEWEST
    bounded = searched(BoundedTPE(0, workers > 1), trials, workers)
    whole = searched(TPESampler(seed=0, multivariate=True, constant_liar=workers > 1), trials, workers)
    assert [trial.params for trial in bounded.trials] == [trial.params for trial in whole.trials]


def test_of_a_long_search_it_sees_the_good_trials_of_all_and_the_newest() -> None:
    sampler = BoundedTPE(0, False)
    study = searched(sampler, 700)
    seen = sampler._ended_trials(study)
    numbers = [trial.number for trial in seen]
    counted = [trial for trial in study.trials if trial.state != TrialState.FAIL]
    assert NEWEST <= len(seen) <= NEWEST + GOOD + SLACK < len(counted)
    assert numbers == sorted(set(numbers))
    assert {trial.number for trial in counted[-NEWEST:]} <= set(numbers)
    good = [_split_trials(study, trials, default_gamma(len(trials)))[0] for trials in (counted, seen)]
    assert [trial.number for trial in good[0]] == [trial.number for trial in good[1]]
    assert len(good[0]) == GOOD


def test_a_sampler_begun_anew_sees_the_same() -> None:
    sampler, again = BoundedTPE(0, False), BoundedTPE(1, False)
    study = searched(sampler, 700)
    good, _ = _split_trials(study, again._ended_trials(study), GOOD)
    assert [t.number for t in good] == [t.number for t in _split_trials(study, sampler._ended_trials(study), GOOD)[0]]
