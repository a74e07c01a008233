"""Racing: a trial gets more seeds as long as a paired test does not put it behind the best trial so far."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pandas as pd
from ray.tune.schedulers import TrialScheduler

from study.record.trial_state import TrialState
from study.search.goal import Goal
from study.search.schedulers import InOrder
from study.search.trial import Report, TrialRecord

LEVEL = 0.05
"""The chance that a heat stops a trial that is as good as the incumbent."""


def behind(goal: Goal, rows: pd.DataFrame, incumbent: pd.DataFrame) -> bool:
    """Whether a trial's replicas score worse than those of another on their common seeds, by a one-sided paired t-test.

    Args:
        goal: what is compared: its first objective.
        rows: the trial's rows at the end, with a column `seed`.
        incumbent: the other's.
    """
    from scipy import stats  # takes long to import

    pair = [goal.scores(part).set_axis(part.seed) for part in (rows, incumbent)]
    ours, theirs = pd.concat(pair, axis=1, join="inner").dropna().to_numpy(dtype=float).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of differences that are all the same
        return bool(stats.ttest_rel(ours, theirs, alternative="less").pvalue < LEVEL)


class Race(InOrder):
    """A scheduler that stops a trial at the end of a heat if it is `behind` the incumbent.

    The incumbent is the best complete trial that keeps the constraints, so it has all seeds. During the first heat
    `inner` decides, which knows nothing of later ones.

    Args:
        inner: the scheduler of the first heat.
        goal: the study's.
        running: a trial that runs, by Tune's id of it.
        incumbent: the rows at the end of the best trial of the past, if there is one.
    """

    def __init__(
        self,
        inner: TrialScheduler,
        goal: Goal,
        running: Callable[[str], TrialRecord],
        incumbent: pd.DataFrame | None = None,
    ):
        super().__init__()  # type: ignore[no-untyped-call]
        self.incumbent = incumbent
        self._inner = inner
        self._goal = goal
        self._record = running
        self._trials: dict[str, TrialRecord] = {}
        self._first: set[str] = set()  # the trials in their first heat

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._trials[trial.trial_id] = self._record(trial.trial_id)
        self._first.add(trial.trial_id)
        self._inner.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        report: Report = result["report"]
        if not report.heats:
            return self._inner.on_trial_result(tune_controller, trial, result)
        if trial.trial_id in self._first:
            self._first.remove(trial.trial_id)
            self._inner.on_trial_complete(tune_controller, trial, result)
        rows = pd.concat([*self._ends(trial.trial_id), report.final])
        if self.incumbent is not None and behind(self._goal, rows, self.incumbent):
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    def _ends(self, trial_id: str) -> list[pd.DataFrame]:
        """The rows at the end of each heat that a trial has reported."""
        return [report.final for report in self._trials[trial_id].reports if report.heats]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        record = self._trials.pop(trial.trial_id)
        if trial.trial_id in self._first:
            self._first.remove(trial.trial_id)
            self._inner.on_trial_complete(tune_controller, trial, result)
        if record.reports and record.state is TrialState.COMPLETE and self._leads(record.final):
            self.incumbent = record.final

    def _leads(self, rows: pd.DataFrame) -> bool:
        """Whether a complete trial is a better answer than the incumbent."""
        if not self._goal.keeps(rows):
            return False
        return self.incumbent is None or self._goal.score(rows) > self._goal.score(self.incumbent)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._trials.pop(trial.trial_id, None)
        if trial.trial_id in self._first:
            self._first.remove(trial.trial_id)
            self._inner.on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self.on_trial_error(tune_controller, trial)
