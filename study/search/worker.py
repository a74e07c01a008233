"""What a Ray worker does: it trains the replicas of a trial, and reports them where the trial may be stopped."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import torch
from ray import tune
from torch import nn

from study.experiment import Rung
from study.record.trial_state import TrialState
from study.search.goal import Goal
from study.search.limits import limit_memory
from study.search.plan import Plan
from study.search.schedulers import decisive
from study.search.trial import RUNG, SCORE, Reached, Report
from study.space.doses import dose_columns
from study.space.space import Space
from study.surroundings import alone


class _DivergedError(Exception):
    """All replicas have diverged, so the training ends."""


def run_trial(config: dict[str, Any], space: Space, plan: Plan, goal: Goal) -> None:
    """Train a trial's setting, and send a `Report` to Ray Tune at each rung at which the scheduler decides, and at the
    end.

    A worker runs many trials, and a trial must not depend on those before it: all randomness comes from the seeds. An
    exception makes the trial a failed one, with its reason; the worker goes on.
    """
    torch.set_num_threads(1)
    trial = _Trial(space, plan, goal)
    try:
        limit_memory(plan.memory, plan.at_once)
        with alone():
            trial.train(space.setting(config["parameters"]))
        trial.end()
    except Exception as error:
        trial.fail(space.source.describe(error))


class _Trial:
    """A trial while it is trained: the rungs that it has reached."""

    def __init__(self, space: Space, plan: Plan, goal: Goal):
        self._space, self._plan, self._goal = space, plan, goal
        self._start = time.perf_counter()
        self._decisive = decisive(plan.scheduler, plan.rungs)
        self._number = 0
        self._doses: dict[str, float] = {}
        self._unreported: list[Reached] = []

    def train(self, setting: Any) -> None:
        """Train to the end, or until all replicas have diverged."""
        experiment, plan, seeds = self._space.experiment, self._plan, self._plan.replica_seeds
        self._doses = dose_columns(setting.schedule)

        def on_rung(rung: Rung, model: nn.Module) -> None:
            reached = Reached.of(rung, model, seeds, experiment, setting)
            self._number += 1
            self._unreported.append(reached)
            if reached.state is TrialState.DIVERGED:
                raise _DivergedError
            if reached.state is TrialState.STOPPED and self._number in self._decisive:
                self._report_rungs()

        with suppress(_DivergedError):
            experiment.train(setting, seeds, rungs=plan.rungs, compiled=bool(plan.compiled), on_rung=on_rung)

    def end(self) -> None:
        """Report the last rungs, after which Tune asks no more of the trial."""
        if self._unreported:
            self._report_rungs(ended=True)

    def fail(self, reason: str) -> None:
        """Report the rungs that were reached before an error, and the error."""
        if self._unreported:
            self._report_rungs()
        self._report(Report.failed(reason, self._seconds), 0.0, self._number + 1, ended=True)

    def _report_rungs(self, ended: bool = False) -> None:
        report, self._unreported = Report.of(self._unreported, self._goal, self._seconds, self._doses), []
        self._report(report, self._goal.sign * report.values[report.step][0], self._number, ended)

    def _report(self, report: Report, score: float, rung: int, ended: bool) -> None:
        tune.report({SCORE: score, RUNG: rung, "report": report, "done": ended})

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._start
