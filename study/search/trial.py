"""A trial: its report at each rung, how it ends, and its row of trials.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd

from study import private
from study.experiment import Experiment, Rung
from study.metrics import measured, metrics_of
from study.record.tables import summarise
from study.record.trial_state import TrialState
from study.search.goal import Goal

if TYPE_CHECKING:
    from torch import nn

SCORE = "score"
"""The key by which Ray Tune's schedulers compare trials: `Goal.score`, to which larger is better."""

RUNG = "rung"
"""The key of how many rungs a trial has reached, by which they tell when."""

ENDED = "ended"
"""The key of what the journal knows of a trial's end besides what Optuna has places for."""

Row = dict[str, Any]
"""A row of trials.parquet."""


@dataclass(frozen=True)
class Reached:
    """A rung that a trial has reached.

    Args:
        state: the state that the trial has if it ends here.
        step: the rung's step.
        columns: its rows of replicas.parquet, as arrays [replicas].
        model: the replicas' weights at the end of training, as safetensors.
    """

    state: TrialState
    step: int
    columns: dict[str, np.ndarray]
    model: bytes | None

    @classmethod
    def of(cls, rung: Rung, model: nn.Module, seeds: list[int], experiment: Experiment, setting: Any) -> Reached:
        """What an experiment has measured at a rung. A trial has diverged when all its replicas have.

        Raises InputError if the measured metrics do not match those that the experiment declares for the setting.
        """
        import safetensors.torch

        declared = {name: m for name, m in metrics_of(experiment, setting).items() if not m.examined}
        metrics = measured(experiment.name, rung.metrics, declared, rung.diverged, len(seeds))
        gone = metrics.pop("diverged")
        columns = {"seed": np.array(seeds), "step": np.full(len(seeds), rung.step), "diverged": gone, **metrics}
        state = TrialState.COMPLETE if rung.step == rung.steps else TrialState.STOPPED
        if gone.all():
            state = TrialState.DIVERGED
        weights = safetensors.torch.save(model.state_dict()) if rung.step == rung.steps else None
        return cls(state, rung.step, columns, weights)


@dataclass(frozen=True, repr=False)  # Tune logs the repr of each, which is slow for data frames
class Report:
    """The rungs that a trial has reached since its last report.

    Args:
        state: the state that the trial has if it ends here.
        step: the last rung's step.
        seconds: how long the trial has taken so far.
        replicas: its replicas' rows of replicas.parquet, of all these rungs.
        values: the objectives' values at each rung, by step.
        model: a complete trial's weights, as safetensors.
        reason: why a trial failed.
        doses: the trial's columns `dose.<property>` and `centroid.<property>`.
        heats: how many of the trial's heats are trained to the end. The rows of a later heat's report are those of its
            seeds, and the values are over all seeds so far.
    """

    state: TrialState
    step: int
    seconds: float
    replicas: pd.DataFrame
    values: dict[int, list[float]] = field(default_factory=dict)
    model: bytes | None = None
    reason: str = ""
    doses: dict[str, float] = field(default_factory=dict)
    heats: int = 0

    @classmethod
    def of(cls, rungs: Sequence[Reached], goal: Goal, seconds: float, doses: dict[str, float] | None = None) -> Report:
        """The report of one or more rungs, in their order."""
        values = {rung.step: goal.values(rung.columns) for rung in rungs}
        columns = {name: np.concatenate([rung.columns[name] for rung in rungs]) for name in rungs[0].columns}
        last = rungs[-1]
        return cls(last.state, last.step, seconds, pd.DataFrame(columns), values, last.model, doses=doses or {})

    def joined(self, before: pd.DataFrame, goal: Goal) -> Report:
        """The report of a later heat, whose values are over the rows of the heats `before` as well."""
        rows = pd.concat([before, self.replicas])
        return replace(self, values={step: goal.values(rows[rows.step == step]) for step in self.values})

    @classmethod
    def failed(cls, reason: str, seconds: float = 0.0) -> Report:
        return cls(TrialState.FAILED, 0, seconds, pd.DataFrame({"seed": [], "step": []}), reason=reason)

    @property
    def final(self) -> pd.DataFrame:
        """The rows of the last rung."""
        return self.replicas.tail(len(self.replicas) // len(self.values))


@dataclass
class TrialRecord:
    """A trial so far: Optuna's object, and its reports in their order.

    The audit exempts some trials from stopping. Such a trial runs on, but the search counts it as stopped, after as
    many reports as `exempted` says.
    """

    optuna_trial: optuna.Trial
    goal: Goal
    reports: list[Report] = field(default_factory=list)
    exempted: int | None = None

    @property
    def number(self) -> int:
        return self.optuna_trial.number

    @property
    def counted(self) -> list[Report]:
        """The reports that the search counts."""
        return self.reports[: self.exempted]

    @property
    def state(self) -> TrialState:
        """The state that the trial has if its last counted report is its last."""
        return self.counted[-1].state

    @property
    def final(self) -> pd.DataFrame:
        """The rows of the last counted rung, of the seeds of all heats."""
        reached = [report for report in self.counted if len(report.replicas)]
        ends = [report.final for report in reached if report.step == reached[-1].step]
        return pd.concat(ends, ignore_index=True) if len(ends) > 1 else ends[0]

    def add(self, report: Report) -> None:
        """Add a report, and pass its values on to Optuna, which allows that only for a single objective."""
        self.reports.append(report)
        if len(self.counted) == len(self.reports) and len(self.goal.objectives) == 1:
            storage, number = self.optuna_trial.storage, private.identifier(self.optuna_trial)
            for step, (value,) in report.values.items():
                storage.set_trial_intermediate_value(number, step, value)

    def exempt(self) -> None:
        """Count the trial as stopped after its next report."""
        self.exempted = len(self.reports) + 1

    def finish(self, study: optuna.Study) -> None:
        """Pass on to Optuna by how much each constraint is broken, and how the trial has ended."""
        reached = [report for report in self.counted if report.state is not TrialState.FAILED]
        if reached:
            for name, violation in self.goal.violations(self.final).items():
                self.optuna_trial.set_constraint(name, violation)
        last, exempted = self.reports[-1], None if self.exempted is None else self.counted[-1].step
        known: dict[str, Any] = {"seconds": last.seconds, "reason": last.reason, "exempted": exempted}
        known["state"] = self.state
        self.optuna_trial.storage.set_trial_system_attr(private.identifier(self.optuna_trial), ENDED, known)
        values = self.reports[-1].values[self.reports[-1].step] if self.state is TrialState.COMPLETE else None
        study.tell(self.optuna_trial, values, self.state.in_optuna)

    def row(self) -> Row:
        """The trial's row of trials.parquet, with the metrics of the last counted rung."""
        reached = [report for report in self.counted if len(report.replicas)]
        row = {
            "trial": self.number,
            "state": self.state,
            "steps": reached[-1].step if reached else 0,
            "seconds": self.reports[-1].seconds,
            "audited": self.exempted is not None,
            "diverged": 0,
            "reason": self.reports[-1].reason,
            "value": float("nan"),
            "feasible": True,
            **{f"param.{name}": value for name, value in self.optuna_trial.params.items()},
            **self.reports[0].doses,
        }
        if reached:
            final = self.final
            values = dict(zip(self.goal.objectives, reached[-1].values[reached[-1].step], strict=True))
            row |= {
                "diverged": int(final["diverged"].sum()),
                "value": values[self.goal.objectives[0]],
                "feasible": self.goal.keeps(final),
                **{f"margin.{constraint}": margin for constraint, margin in self.goal.margins(final).items()},
                **({f"value.{name}": value for name, value in values.items()} if len(values) > 1 else {}),
                **summarise(final),
            }
        return row
