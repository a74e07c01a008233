"""The status of a study, read from its files: its progress, its best trial, the time left, and what to do next."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import optuna
import pandas as pd
from optuna.trial import TrialState as OptunaState

from study.evidence.leading import leading
from study.evidence.ranking import ranking
from study.record.budget import minutes_left
from study.record.folder import StudyFolder
from study.record.lock import is_held
from study.record.mirror import url_of
from study.record.trial_state import TrialState
from study.search.plan import Plan
from study.watch.pages import page_of

StudyState = Literal["running", "interrupted", "finished"]

LATELY = 60.0  # seconds since the last write to the journal of a study that may run on another machine


@dataclass(frozen=True)
class Status:
    """A study's state and its results so far.

    Args:
        study: its folder.
        state: running, interrupted or finished.
        trials: how many trials have ended, by their state.
        running: how many trials are running.
        planned: how many trials were asked for. None if only minutes were.
        seconds_left: an estimate while the study runs. None if there is nothing to estimate it from.
        best: the best trial's row of trials.parquet.
        nearest: if no complete trial keeps the constraints, the row of that which misses least.
        confirmation: the ranking of confirmed settings, if the best trial is among them.
        report: the file of the report, if there is one.
        next: the command to run next.
    """

    study: Path
    state: StudyState
    trials: dict[str, int]
    running: int
    planned: int | None
    seconds_left: float | None
    best: dict[str, Any] | None
    nearest: dict[str, Any] | None
    confirmation: pd.DataFrame | None
    report: Path | None
    next: str


def status(folder: StudyFolder, now: float | None = None) -> Status:
    """The status of a study at the time `now`, in seconds since the epoch."""
    now = now or time.time()
    plan, trials = folder.plan(), folder.trials()
    in_optuna = folder.optuna().get_trials(deepcopy=False) if (folder.path / "optuna.journal").is_file() else []
    unfinished = sum(not trial.state.is_finished() for trial in in_optuna)
    running = sum(trial.state is OptunaState.RUNNING for trial in in_optuna)
    state: StudyState = "finished"
    if _is_driven(folder, running, now):
        state = "running"
    elif unfinished or (plan.trials is not None and len(trials) < plan.trials and minutes_left(folder, plan) != 0):
        state = "interrupted"
    best = folder.best()
    ahead = leading(folder, 1)
    nearest = ahead if best.empty else best.head(0)
    confirmation = folder.confirmation()
    confirmed = len(ahead) and confirmation.trial.eq(ahead.trial.item()).fillna(False).any()
    report = folder.path / f"{page_of(folder)}.html"
    return Status(
        study=folder.path,
        state=state,
        trials={state: int((trials.state == state).sum()) for state in TrialState},
        running=running if state == "running" else 0,
        planned=plan.trials,
        seconds_left=_seconds_left(folder, plan, in_optuna, now) if state == "running" else None,
        best=best.to_dict("records")[0] if len(best) else None,  # type: ignore[arg-type]
        nearest=nearest.to_dict("records")[0] if len(nearest) else None,  # type: ignore[arg-type]
        confirmation=ranking(confirmation, folder) if confirmed else None,
        report=report if report.is_file() else None,
        next=_next(folder, state, ahead, bool(confirmed)),
    )


def started(folder: StudyFolder) -> float:
    """When the study was started or last resumed, in seconds since the epoch."""
    return datetime.fromisoformat(folder.manifest()["started"]).timestamp()


def _is_driven(folder: StudyFolder, running: int, now: float) -> bool:
    """Whether a process runs the study: it holds the lock. A study that other machines can reach also counts as run if
    trials are running and its journal has changed in the last minute."""
    held = is_held(folder.path)
    if held is None or (not held and url_of(folder.path.parent)):
        return running > 0 and now - (folder.path / "optuna.journal").stat().st_mtime < LATELY
    return held


def _seconds_left(
    folder: StudyFolder, plan: Plan, in_optuna: list[optuna.trial.FrozenTrial], now: float
) -> float | None:
    """The seconds until the plan's trials are done, at the rate since the start or the last resume, or until its
    minutes are over, whichever comes first."""
    start = started(folder)
    ends = [trial.datetime_complete.timestamp() for trial in in_optuna if trial.datetime_complete]
    lately = sum(end > start for end in ends)
    left = []
    if plan.trials is not None and lately:
        left.append((plan.trials - len(ends)) * (now - start) / lately)
    if plan.minutes is not None:
        left.append(start + (plan.minutes - folder.manifest().get("minutes_used", 0.0)) * 60 - now)
    return max(0.0, min(left)) if left else None


def _next(folder: StudyFolder, state: StudyState, ahead: pd.DataFrame, confirmed: bool) -> str:
    """The command to run next."""
    path = folder.quoted
    if state == "running":
        return f"study dashboard {path}"
    if state == "interrupted":
        return f"study resume {path}"
    if ahead.empty:
        return f"study show {path} 0"
    return f"study report {path} --open" if confirmed else f"study confirm {path}"
