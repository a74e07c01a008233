"""What a worker reports to Ray Tune, and when."""

from pathlib import Path
from typing import Any

import pytest

from study.search import worker
from study.search.goal import Goal
from study.search.plan import Plan, SchedulerName
from study.search.schedulers import decisive, scheduler
from study.search.trial import RUNG, Report
from study.space.space import Space

PARAMETERS = {"steepness.1": 1.0, "rate": 0.1}


def reported(workplace: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[dict[str, Any]]:
    """What a worker reports of a trial that does not diverge."""
    heard: list[dict[str, Any]] = []
    monkeypatch.setattr("ray.tune.report", heard.append)
    monkeypatch.setattr(worker, "limit_memory", lambda *_: None)
    space: Any = Space.read(workplace / "bowl.toml", None, workplace / "bowl.py")
    plan = Plan(seeds=3, **options)
    parameters = {name: PARAMETERS.get(name, distribution.low) for name, distribution in space.distributions.items()}
    worker.run_trial({"parameters": parameters}, space, plan, Goal.of(plan, space.metrics()))
    return heard


@pytest.mark.parametrize(
    ("name", "rungs"),
    [("none", [10]), ("asha", [2, 4, 8, 10]), ("hyperband", [2, 4, 8, 10]), ("median", [*range(1, 11)])],
)
def test_tune_hears_of_the_rungs_at_which_its_scheduler_decides_and_of_the_end(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, name: SchedulerName, rungs: list[int]
) -> None:
    heard = reported(workplace, monkeypatch, scheduler=name, rungs=10)
    assert [result[RUNG] for result in heard] == rungs
    assert [result["done"] for result in heard] == [False] * (len(rungs) - 1) + [True]


def test_no_rung_is_lost(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each, some = (
        [result["report"] for result in reported(workplace, monkeypatch, scheduler=name, rungs=10)]
        for name in ("median", "asha")
    )
    assert [step for report in some for step in report.values] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert [value for report in some for value in report.values.items()] == [
        value for report in each for value in report.values.items()
    ]
    assert sum(len(report.replicas) for report in some) == 30
    assert some[-1].final.equals(each[-1].final) or (some[-1].final.to_numpy() == each[-1].final.to_numpy()).all()
    assert isinstance(some[0], Report)


@pytest.mark.parametrize("rungs", [1, 2, 3, 7, 8, 10, 16, 100])
def test_rays_halving_decides_nowhere_else(rungs: int) -> None:
    names: list[SchedulerName] = ["asha", "hyperband"]
    for name in names:
        brackets: Any = scheduler(name, rungs)
        milestones = {milestone for bracket in brackets._brackets for milestone, _ in bracket._rungs}
        assert {milestone for milestone in milestones if milestone < rungs} == {
            rung for rung in decisive(name, rungs) if rung < rungs
        }
