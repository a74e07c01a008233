"""What labels cost: fronts of tables whose answers are known, and the figure of a real study."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import study
from analysis import labelling
from analysis.publish import PUBLISHED
from study.experiment import Metric
from study.search.goal import Goal


class Folder:
    """A study of complete trials with these numbers of labels and values."""

    def __init__(self, labels: Any, values: Any, feasible: Any = True, better: bool = True) -> None:
        self.goal = Goal({"value": Metric("of it", diverged=0.0, higher_is_better=better)})
        trials = {"trial": range(len(labels)), "labelled.mean": labels, "value": values, "feasible": feasible}
        self._trials = pd.DataFrame(trials)

    def complete(self) -> Any:
        return self._trials


def of(labels: Any, values: Any, **named: Any) -> tuple[Any, pd.DataFrame]:
    folder: Any = Folder(np.array(labels, dtype=float), np.array(values, dtype=float), **named)
    return folder, labelling.complete(folder)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), min_size=1, max_size=20), st.booleans())
def test_no_trial_with_as_few_labels_beats_one_of_the_front(pairs: Any, better: bool) -> None:
    _, trials = of([1.0, 200.0, *(n for n, _ in pairs)], [0.0, 0.0, *(value for _, value in pairs)], better=better)
    front = labelling.front(trials)

    def beaten(row: Any) -> bool:
        fewer = trials[trials.labels <= row.labels]
        return bool((fewer.score > row.score).any() or ((fewer.labels < row.labels) & (fewer.score == row.score)).any())

    kept = {(row.labels, row.score) for row in front.itertuples()}
    assert kept == {(row.labels, row.score) for row in trials.itertuples() if not beaten(row)}
    assert front.labels.is_monotonic_increasing
    assert front.score.is_unique


def test_the_table_has_the_best_that_so_many_labels_afford() -> None:
    folder, trials = of([1000, 900, 300, 90, 9], [0.9, 0.95, 0.8, 0.85, 0.1])
    table = labelling.table(folder, trials)
    assert table.trial.to_dict() == {"any number": "1", "a third": "3", "a tenth": "3", "1 in 30": "4", "1 in 100": "4"}
    assert table.trials.tolist() == ["5", "3", "2", "1", "1"]


def test_trials_that_break_constraints_are_left_out() -> None:
    _, trials = of([1000, 10, 1], [0.9, 0.8, 0.7], feasible=[True, True, False])
    assert trials.trial.tolist() == [0, 1]


@pytest.mark.parametrize("labels", [[100, 120, 110], [0, 0, 0], []])
def test_where_trials_use_about_as_many_labels_nothing_is_said(labels: Any) -> None:
    assert of(labels, [0.5] * len(labels))[1].empty


def test_an_experiment_that_counts_no_labels_has_no_such_section() -> None:
    folder, _ = of([1, 10], [0.1, 0.2])
    folder._trials = folder._trials.drop(columns="labelled.mean")
    assert labelling.complete(folder).empty


def test_the_curve_draws_all_trials_the_front_and_what_was_confirmed() -> None:
    folder = study.load(PUBLISHED / "deletion")
    trials = labelling.complete(folder)
    (axis,) = labelling.curve(folder, trials, folder.confirmation()).axes
    dots, front, confirmed = axis.lines
    assert len(np.asarray(dots.get_xdata())) == len(trials)
    assert np.asarray(front.get_ydata())[-1] == trials.value.max()
    assert len(np.asarray(confirmed.get_xdata())) == folder.confirmation().trial.nunique()
    assert axis.get_xlabel()
    assert axis.get_ylabel() == "mean isolation"
