"""What is stopped, what is exempted, and that a scheduler that is begun anew knows the past."""

from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import TrialScheduler

from study.experiment import Metric
from study.search.goal import Goal
from study.search.racing import Race
from study.search.schedulers import Audited, replay, scheduler
from study.search.trial import RUNG, SCORE


class FakeTrial:
    def __init__(self, name: Any) -> None:
        self.trial_id = name


def run(stopping: Any, curves: Any, start: Any = 0) -> Any:
    """How many rungs each trial reached, one trial after the other."""
    reached = []
    for number, curve in enumerate(curves, start):
        trial = FakeTrial(str(number))
        stopping.on_trial_add(None, trial)
        for rung, score in enumerate(curve, 1):
            result = {RUNG: rung, SCORE: score}
            if stopping.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                break
        reached.append(rung)
        stopping.on_trial_complete(None, trial, result)
    return reached


@pytest.fixture
def curves() -> Any:
    return np.random.default_rng(0).random((60, 1)) * np.linspace(0.1, 1, 10)


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_schedulers_stop_the_worse_and_never_the_best(name: Any, curves: Any) -> None:
    np.random.seed(0)
    reached = run(scheduler(name, 10), curves)
    stopped = [curve[-1] for curve, rungs in zip(curves, reached, strict=True) if rungs < 10]
    whole = [curve[-1] for curve, rungs in zip(curves, reached, strict=True) if rungs == 10]
    assert 20 < len(stopped) < 60
    assert np.mean(stopped) < np.mean(whole)
    assert reached[int(curves[:, -1].argmax())] == 10
    assert min(reached) >= 2


def test_none_stops_nothing(curves: Any) -> None:
    assert run(scheduler("none", 10), curves) == [10] * 60


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_scheduler_begun_anew_goes_on_as_if_it_had_seen_the_past(name: Any, curves: Any) -> None:
    whole = run(scheduler(name, 10), curves)
    again = scheduler(name, 10)
    replay(again, {i: curves[i][: whole[i]].tolist() for i in range(40)})
    assert run(again, curves[40:], start=40) == whole[40:]


def test_the_audit_spares_the_stated_share_and_hides_them_from_the_scheduler(curves: Any) -> None:
    exempted: list[str] = []
    audited = run(Audited(scheduler("asha", 10), 0.5, 0, exempted.append), curves)
    plain = run(scheduler("asha", 10), curves)
    would = [i for i, rungs in enumerate(plain) if rungs < 10]
    assert all(audited[int(i)] == 10 for i in exempted)
    assert {int(i) for i in exempted} <= set(would)  # the rest went as it would have gone without
    assert [audited[i] for i in range(60) if str(i) not in exempted] == [
        plain[i] for i in range(60) if str(i) not in exempted
    ]
    assert 0.25 < len(exempted) / len(would) < 0.75


@pytest.mark.parametrize("name", ["asha", "hyperband", "median", "none"])
def test_no_scheduler_looks_through_all_trials_for_one_to_start(name: Any) -> None:
    alone = scheduler(name, 10)
    audited = Audited(scheduler(name, 10), 0.5, seed=0, exempt=lambda trial_id: None)
    race = Race(scheduler(name, 10), Goal({"utility": Metric("", diverged=0.0)}), lambda trial_id: None)  # type: ignore[arg-type, return-value]
    for stopping in (alone, audited, race):
        controller: Any = None
        assert stopping.choose_trial_to_run(controller) is None
