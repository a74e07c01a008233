"""A trial: its report at each rung, how it ends, and its row of trials.parquet."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd

from study.experiment import Experiment, Rung
from study.metrics import measured, metrics_of
from study.record.tables import summarise
from study.record.trial_state import TrialState
from study.search.goal import Goal

if TYPE_CHECKING:
    from torch import nn

SCORE = "score"
"""The key by which Ray Tune's schedulers compare trials: `Goal.score`, to which larger is better."""

Row = dict[str, Any]
"""A row of trials.parquet."""


@dataclass(frozen=True, repr=False)  # Tune logs the repr of each, which is slow for data frames
class Report:
    """A trial at a rung: the state that it has if it ends here, and its replicas' rows of replicas.parquet."""

    state: TrialState
    step: int
    seconds: float
    replicas: pd.DataFrame
    model: bytes | None = None  # a complete trial's weights, as safetensors
    reason: str = ""  # why a trial failed

    @classmethod
    def failed(cls, reason: str, seconds: float = 0.0) -> Report:
        return cls(TrialState.FAILED, 0, seconds, pd.DataFrame({"seed": [], "step": []}), reason=reason)

    @classmethod
    def of(
        cls, rung: Rung, model: nn.Module, seeds: list[int], seconds: float, experiment: Experiment, setting: Any
    ) -> Report:
        """The report of a rung. A trial has diverged when all its replicas have.

        Raises InputError if the measured metrics do not match those that the experiment declares for the setting.
        """
        import safetensors.torch

        declared = {name: m for name, m in metrics_of(experiment, setting).items() if not m.examined}
        metrics = measured(experiment.name, rung.metrics, declared, rung.diverged, len(seeds))
        gone = metrics.pop("diverged")
        replicas = pd.DataFrame({"seed": seeds, "step": rung.step, "diverged": gone, **metrics})
        last = rung.step == rung.steps
        state = TrialState.COMPLETE if last else TrialState.STOPPED
        if gone.all():
            state = TrialState.DIVERGED
        weights = safetensors.torch.save(model.state_dict()) if state is TrialState.COMPLETE else None
        return cls(state, rung.step, seconds, replicas, weights)


@dataclass
class TrialRecord:
    """A trial so far: Optuna's object, and its reports in the order of the rungs.

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

    def add(self, report: Report) -> None:
        """Add a report, and pass its value on to Optuna, which allows that only for a single objective."""
        self.reports.append(report)
        known = self.exempted is None or len(self.reports) <= self.exempted
        if known and report.state is not TrialState.FAILED and len(self.goal.objectives) == 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a trial that a resumed study runs again may have reported this step
                self.optuna_trial.report(self.goal.values(report.replicas)[0], report.step)

    def exempt(self) -> None:
        """Count the trial as stopped after its next report."""
        self.exempted = len(self.reports) + 1

    def finish(self, study: optuna.Study) -> None:
        """Pass on to Optuna by how much each constraint is broken, and how the trial has ended."""
        reached = [report for report in self.counted if report.state is not TrialState.FAILED]
        if reached:
            for name, violation in self.goal.violations(reached[-1].replicas).items():
                self.optuna_trial.set_constraint(name, violation)
        values = self.goal.values(self.reports[-1].replicas) if self.state is TrialState.COMPLETE else None
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
        }
        if reached:
            final = reached[-1].replicas
            values = dict(zip(self.goal.objectives, self.goal.values(final), strict=True))
            row |= {
                "diverged": int(final["diverged"].sum()),
                "value": values[self.goal.objectives[0]],
                "feasible": all(violation <= 0 for violation in self.goal.violations(final).values()),
                **({f"value.{name}": value for name, value in values.items()} if len(values) > 1 else {}),
                **summarise(final),
            }
        return row
