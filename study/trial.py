"""A trial: what it says at each rung, how it ends, and the row of trials.parquet that this makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd
import safetensors.torch
from optuna.trial import TrialState

from excolor.models import ColorMLP
from study.folder import summarise

if TYPE_CHECKING:
    from excolor.training import Rung

OBJECTIVE = "isolation"
INTERRUPTED = "interrupted"
"""The reason why a trial failed that a person stopped."""

Row = dict[str, Any]
"""A row of trials.parquet."""

_TOLD_AS = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True, repr=False)  # Tune writes every result into log lines that nobody sees
class Report:
    """What a trial says at a rung: its state should it end here, and its replicas' rows of replicas.parquet."""

    state: str
    step: int
    seconds: float
    replicas: pd.DataFrame
    model: bytes | None = None  # of a complete trial: safetensors
    reason: str = ""  # of a failed one

    @property
    def value(self) -> float:
        """What is to be maximised: the mean over the replicas, of which a diverged one counts 0."""
        return float(self.replicas[OBJECTIVE].mean()) if len(self.replicas) else 0.0

    @classmethod
    def failed(cls, reason: str, seconds: float = 0.0) -> Report:
        return cls("failed", 0, seconds, pd.DataFrame({"seed": [], "step": []}), reason=reason)

    @classmethod
    def of(cls, rung: Rung, model: ColorMLP, seeds: list[int], seconds: float) -> Report:
        """A rung as it is told and stored. A trial has diverged when all its replicas have."""
        replicas = pd.DataFrame({"seed": seeds, "step": rung.step, "diverged": rung.diverged.numpy()})
        replicas = replicas.assign(**{name: metric.numpy() for name, metric in rung.metrics.items()})
        last = rung.step == rung.steps
        state = "diverged" if rung.diverged.all() else "complete" if last else "stopped"
        weights = safetensors.torch.save(model.state_dict()) if state == "complete" else None
        return cls(state, rung.step, seconds, replicas, weights)


@dataclass
class Trial:
    """A trial as far as it has come: Optuna's side of it, and its reports in the order of the rungs."""

    ask: optuna.Trial
    reports: list[Report] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.ask.number

    @property
    def state(self) -> str:
        """How the trial has ended, if it has."""
        return self.reports[-1].state

    def hear(self, report: Report) -> None:
        """Take in a report, and pass its value on to Optuna."""
        self.reports.append(report)
        if report.state != "failed":
            self.ask.report(report.value, report.step)

    def tell(self, study: optuna.Study) -> None:
        """Tell Optuna how the trial has ended."""
        study.tell(self.ask, self.reports[-1].value if self.state == "complete" else None, _TOLD_AS[self.state])

    def row(self) -> Row:
        """A trial's row of trials.parquet: its metrics are those of the last rung that it reached."""
        reached = [report for report in self.reports if len(report.replicas)]
        final = reached[-1].replicas if reached else None
        return {
            "trial": self.number,
            "state": self.state,
            "steps": reached[-1].step if reached else 0,
            "seconds": self.reports[-1].seconds,
            "diverged": int(final["diverged"].sum()) if final is not None else 0,
            "reason": self.reports[-1].reason,
            **{f"param.{name}": value for name, value in self.ask.params.items()},
            **(summarise(final) if final is not None else {}),
        }
