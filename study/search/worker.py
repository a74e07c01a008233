"""What a Ray worker does: it trains the replicas of a trial, and reports them where the trial may be stopped."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from ray import tune
from torch import nn

from study.experiment import Rung
from study.record.trial_state import TrialState
from study.record.weights import joined
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
    """A trial while it is trained: the rungs that it has reached, and its heats of seeds so far."""

    def __init__(self, space: Space, plan: Plan, goal: Goal):
        self._space, self._plan, self._goal = space, plan, goal
        self._start = time.perf_counter()
        self._decisive = decisive(plan.stopped_by, plan.rungs)
        self._number = 0
        self._doses: dict[str, float] = {}
        self._unreported: list[Reached] = []
        self._reported: list[pd.DataFrame] = []
        self._models: list[bytes] = []  # of the heats that are trained to the end

    def train(self, setting: Any) -> None:
        """Train each heat of seeds to the end, or until all replicas of the first have diverged."""
        self._doses = dose_columns(setting.schedule)
        with suppress(_DivergedError):
            for seeds in self._plan.heats:
                if self._models:
                    self._report_rungs()
                self._train_on(seeds, setting)

    def _train_on(self, seeds: list[int], setting: Any) -> None:
        """Train a heat. Later ones are measured at all rungs, too, but reported at the end."""
        experiment, plan, is_first = self._space.experiment, self._plan, not self._models

        def on_rung(rung: Rung, model: nn.Module) -> None:
            reached = Reached.of(rung, model, seeds, experiment, setting)
            self._unreported.append(reached)
            self._number += is_first
            if reached.state is TrialState.DIVERGED and is_first:
                raise _DivergedError
            if reached.state is TrialState.STOPPED and is_first and self._number in self._decisive:
                self._report_rungs()

        experiment.train(setting, seeds, rungs=plan.rungs, compiled=bool(plan.compiled), on_rung=on_rung)
        if model := self._unreported[-1].model:
            self._models.append(model)

    def end(self) -> None:
        """Report the last rungs, after which Tune asks no more of the trial."""
        if self._unreported:
            self._report_rungs(ended=True)

    def fail(self, reason: str) -> None:
        """Report the rungs that were reached before an error, and the error."""
        if self._unreported and not self._models:
            self._report_rungs()
        self._report(Report.failed(reason, self._seconds), 0.0, self._number + 1, ended=True)

    def _report_rungs(self, ended: bool = False) -> None:
        report, self._unreported = Report.of(self._unreported, self._goal, self._seconds, self._doses), []
        if self._models:
            report = self._ended_heat(report)
        self._reported.append(report.replicas)
        self._report(report, self._goal.sign * report.values[report.step][0], self._number, ended)

    def _ended_heat(self, report: Report) -> Report:
        """The report of a heat that is trained to the end. With the last, the trial is complete."""
        heats, number = self._plan.heats, len(self._models)
        if number > 1:
            report = report.joined(pd.concat(self._reported), self._goal)
        if number < len(heats):
            return replace(report, state=TrialState.STOPPED, model=None, heats=number)
        model = joined(self._models, [len(heat) for heat in heats])
        return replace(report, state=TrialState.COMPLETE, model=model, heats=number)

    def _report(self, report: Report, score: float, rung: int, ended: bool) -> None:
        tune.report({SCORE: score, RUNG: rung, "report": report, "done": ended})

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._start
