"""The comparison of ways to spend seeds: a search costs what its trials' replicas were trained for."""

from typing import Any

import pytest

from benchmarks.race import ARMS, Search
from study.record.trial_state import TrialState
from study.search.plan import Plan
from study.space.space import Space
from tests.study.conftest import EXPERIMENTS

STEPS = 20


@pytest.mark.parametrize("arm", ARMS)
def test_a_search_costs_the_steps_of_its_replicas(arm: Any) -> None:
    space = Space.read(EXPERIMENTS / "bowl.toml", None, EXPERIMENTS / "bowl.py")
    plan = Plan(cpus=1, **ARMS[arm])
    search = Search(space, plan, 8 * plan.seeds * STEPS)
    search.run()
    cost = 0.0
    for trial in search.ended:
        rows = [report.replicas for report in trial.reports]
        cost += sum(of.groupby("seed").step.max().sum() for of in rows if of.seed.iloc[0] >= plan.heats[0][-1] + 1)
        cost += max(of.step.max() for of in rows) * len(plan.heats[0])
    assert cost <= search.budget
    assert search.budget - cost < plan.seeds * STEPS  # a trial that the budget did not suffice for
    seeds = {len(trial.final) for trial in search.ended if trial.state is TrialState.COMPLETE}
    assert seeds == {16}
    assert search.answer().state is TrialState.COMPLETE
    stopped = [trial for trial in search.ended if trial.state is TrialState.STOPPED]
    assert bool(stopped) == (arm != "16 seeds")
    assert any(len(trial.final) < 16 for trial in stopped) == bool(ARMS[arm].get("race"))
