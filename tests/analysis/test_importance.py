"""Importances in all trials and in feasible ones, of constraints and at rungs, where it is known what decides them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

from analysis import importance, importance_plots
from study.experiment import Metric
from study.record.folder import StudyFolder
from study.search.goal import Goal

PARAMETERS = ["x", "y", "z", "idle"]


class Folder:
    """A study in which each value is decided by one parameter.

    Isolation is the step of x where the constraint breaks, and elsewhere y. Room is x, and hours are z. At the first
    rung z decides, and a third of the trials is stopped there.
    """

    def __init__(self, trials: int = 240) -> None:
        random = np.random.default_rng(0)
        points = pd.DataFrame(random.random((trials, 4)), columns=PARAMETERS)
        stopped = np.arange(trials) % 3 == 0
        value = np.where(points.x < 0.3, -9.0, points.y)
        measured = {
            1: {"isolation": points.z, "room": 0.0, "hours": 0.0},
            2: {"isolation": value, "room": points.x, "hours": 1e5 * points.z**9},
        }
        rows = [
            pd.DataFrame({"trial": range(trials), "seed": seed, "step": step, "diverged": False, **values})
            for step, values in measured.items()
            for seed in range(2)
        ]
        table = pd.concat(rows, ignore_index=True)
        self._replicas = table[(table.step == 1) | ~stopped[table.trial]]
        metrics = {name: Metric("of it", diverged=0.0) for name in ("isolation", "room", "hours")}
        self.goal = Goal(metrics, constraints=("room >= 0.3", "hours <= 50000"))
        self.space = type("Space", (), {"distributions": {name: FloatDistribution(0, 1) for name in PARAMETERS}})
        self._trials = points.add_prefix("param.").assign(
            trial=range(trials),
            state=np.where(stopped, "stopped", "complete"),
            value=np.where(stopped, points.z, value),
            feasible=points.x >= 0.3,
        )

    def trials(self) -> Any:
        return self._trials

    def replicas(self) -> Any:
        return self._replicas

    def final(self) -> Any:
        return self._replicas[self._replicas.step == self._replicas.groupby("trial").step.transform("max")]


@pytest.fixture(scope="module")
def found() -> Any:
    return importance.importances(Folder())  # type: ignore[arg-type]


def test_each_value_has_the_parameter_that_decides_it(found: Any) -> None:
    expected = {
        ("isolation", None): "x",
        ("isolation, feasible trials", None): "y",
        ("room >= 0.3", None): "x",
        ("hours <= 50000", None): "z",
        ("isolation", 1): "z",
    }
    for (of, step), name in expected.items():
        (row,) = found[(found.of == of) & (found.step.isna() if step is None else found.step == step)].to_dict(
            "records"
        )
        assert row[name] > 0.9
        assert sum(row[parameter] for parameter in PARAMETERS) == pytest.approx(1)
        assert row["r2"] > 0.8


def test_a_rung_is_about_ranks_so_a_few_that_fail_do_not_hide_the_others(found: Any) -> None:
    """Three in ten fail because of x, and y orders the rest: by ranks, y has a share; by values, x has all."""
    last = found[found.step == 2].iloc[0]
    whole = found[(found.of == "isolation") & found.step.isna()].iloc[0]
    assert whole.y < 0.02
    assert last.y > 0.2


def test_each_says_how_many_trials_it_rests_on(found: Any) -> None:
    complete = Folder().trials().query("state == 'complete'")
    assert found.trials.tolist()[:4] == [160, complete.feasible.sum(), 160, 160]
    assert found[found.step.notna()].trials.tolist() == [240, 160]
    many = importance.importances(Folder(900))  # type: ignore[arg-type]
    assert set(many.trials) == {importance.MOST}


def test_too_few_trials_and_noise_are_left_out_and_named() -> None:
    folder = Folder(27)  # 18 are complete
    random = np.random.default_rng(0)
    folder._replicas = folder._replicas.assign(isolation=random.random(len(folder._replicas)))
    found = importance.importances(folder)  # type: ignore[arg-type]
    assert found[PARAMETERS].isna().all(axis=None)
    assert not importance.mattering(found)
    said = importance.left_out(found)
    assert "*room &gt;= 0.3*" in said
    assert "fewer than 20 trials tell" in said
    assert "*isolation* at step 1, because a forest explains less than 10%" in said


def test_a_study_without_a_value_or_parameters_has_none() -> None:
    folder = Folder()
    folder._trials = folder._trials.drop(columns="value")
    assert importance.importances(folder).empty  # type: ignore[arg-type]
    assert importance.mattering(importance.importances(folder)) == []  # type: ignore[arg-type]
    assert importance.left_out(importance.importances(folder)) == ""  # type: ignore[arg-type]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=9))
def test_a_signed_logarithm_keeps_signs_and_order(values: list[float]) -> None:
    column = pd.Series(values)
    scaled = importance.signed_log(column)
    assert np.isfinite(scaled).all()
    assert (np.sign(scaled) * np.sign(column) >= 0).all()
    order = column.argsort(kind="stable")
    assert (np.diff(scaled.iloc[order]) >= 0).all()


def test_it_is_inside_a_bound_by_as_much_as_the_goal_says(hue: StudyFolder) -> None:
    bounded = StudyFolder(hue.path, hue.given)
    bounded.__dict__["goal"] = Goal(hue.metrics, constraints=("utility >= 0.5",))
    trials = hue.trials().head(3)
    table = importance.inside(bounded, trials)
    for place, trial in zip(trials.index, trials.trial, strict=True):
        utility = hue.final(trial).utility.mean()
        assert table.loc[place, "utility >= 0.5"] == pytest.approx(utility - 0.5)


def test_the_heat_map_has_a_column_for_each_value_and_says_what_it_rests_on(found: Any) -> None:
    unknown = found.copy()
    unknown.loc[1, PARAMETERS] = np.nan
    figure = importance_plots.heat_map(unknown)
    whole, rungs, _ = figure.axes
    assert [label.get_text() for label in whole.get_yticklabels()] == importance.mattering(unknown)
    columns = [label.get_text().replace("\n", " ").replace("\u00a0", " ") for label in whole.get_xticklabels()]
    assert columns[2].startswith("room >= 0.3 n = 160 R² ")
    assert [label.get_text().split("\n")[0] for label in rungs.get_xticklabels()] == ["1", "2"]
    dashes = [text for text in whole.texts if text.get_text() == "-"]
    assert {text.get_position()[0] for text in dashes} == {1}
    assert importance_plots.heat_map(found[found.step.isna()]).axes
