"""What a person sees while a study runs: how far it is, how long is left, and what is best so far."""

from __future__ import annotations

import math
import time
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from types import TracebackType

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.record.trial_state import TrialState
from study.search.goal import Goal
from study.search.plan import Plan
from study.search.trial import Report, Row
from study.watch.screen import Screen

STYLES = {
    TrialState.COMPLETE: "green",
    TrialState.STOPPED: "yellow",
    TrialState.DIVERGED: "magenta",
    TrialState.FAILED: "logging.level.error",
}


class StudyView:
    """How a search goes, while it goes: a live view on a terminal and in a notebook.

    Elsewhere it is lines: one for the start, one for each trial that is the best so far, and one every 25 seconds.
    """

    def __init__(
        self,
        screen: Screen,
        title: str,
        plan: Plan,
        goal: Goal,
        past: int = 0,
        best: Row | None = None,
        used: float = 0.0,
    ):
        self._screen = screen
        self._title = title
        self._goal = goal
        self._trials = None if plan.trials is None else plan.trials - past
        self._seconds = plan.minutes and max(1.0, (plan.minutes - used) * 60)
        self._started: set[int] = set()
        self._start = time.monotonic()
        self._states: Counter[str] = Counter()
        self._broken = 0  # complete trials that break a constraint
        self._best_row = best
        self._shown = ExitStack()

    def __enter__(self) -> StudyView:
        if not self._screen.is_live:
            self._screen.print(self._title, markup=False, highlight=False)
        self._shown.enter_context(self._screen.following(self._render, self._line))
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._shown.close()
        self._screen.print(f"{self._counts()} in {clock(time.monotonic() - self._start)}", highlight=False)

    def started(self, trial: int) -> None:
        """A trial has begun, perhaps anew."""
        self._started.add(trial)

    def reported(self, trial: int, report: Report) -> None:
        """A trial has reported one or more rungs."""

    def ended(self, row: Row) -> None:
        """A trial has ended."""
        self._states[row["state"]] += 1
        if row["state"] == TrialState.FAILED:
            self._screen.print(Text(f"trial {row['trial']} failed: {row['reason']}", style="logging.level.error"))
        if row["state"] == TrialState.COMPLETE and not row["feasible"]:
            self._broken += 1
        if row["state"] == TrialState.COMPLETE and row["feasible"] and self._is_best(row):
            self._best_row = row
            if not self._screen.is_live:
                self._screen.print(f"{self._of()}: {best_text(row, self._goal)}", highlight=False)

    def _is_best(self, row: Row) -> bool:
        return self._goal.better(row["value"], self._best_row["value"] if self._best_row else None)

    @property
    def _done(self) -> int:
        return self._states.total()

    def _counts(self) -> str:
        counts = [f"{self._states[state]} {state.shown}" for state in TrialState if self._states[state]]
        return f"{self._of()}: {', '.join(counts) or 'none has ended'}"

    def _of(self) -> str:
        return f"{self._done} trials" if self._trials is None else f"{self._done}/{self._trials} trials"

    def _line(self) -> str:
        """How far it is, for a pipe or a log."""
        elapsed = time.monotonic() - self._start
        _, seconds = self._left(elapsed)
        left = "" if math.isnan(seconds) else f", about {clock(seconds)} left"
        best = f"; {self._best()}" if self._best() else ""
        return f"{self._counts()} after {clock(elapsed)}{left}{best}"

    def _best(self) -> str:
        if self._best_row:
            return f"best so far: {best_text(self._best_row, self._goal)}"
        return "none keeps the constraints so far" if self._broken else ""

    def _left(self, elapsed: float) -> tuple[float, float]:
        """The share that is done and the seconds left, by the trials or by the minutes, whichever end comes first."""
        ends = []
        if self._trials is not None and self._done:
            ends.append((self._done / self._trials, elapsed / self._done * (self._trials - self._done)))
        if self._seconds is not None:
            ends.append((min(1.0, elapsed / self._seconds), max(0.0, self._seconds - elapsed)))
        return min(ends, key=lambda end: end[1]) if ends else (0.0, math.nan)

    def _render(self) -> Group:
        elapsed = time.monotonic() - self._start
        share, seconds = self._left(elapsed)
        left = f"about {clock(seconds)} left" if self._done else "starting workers"
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=1, completed=share, width=40),
            self._of(),
            f"{clock(elapsed)} elapsed, {left}",
        )
        counts = Table.grid(padding=(0, 2))
        counts.add_row(
            f"[cyan]{len(self._started) - self._done} running[/]",
            *(f"[{STYLES[state]}]{self._states[state]} {state.shown}[/]" for state in TrialState),
        )
        lines: list[RenderableType] = [Text(self._title, style="bold"), bar, counts]
        if self._best():
            lines.append(Text(self._best(), style="bold"))
        if self._best_row:
            lines.append(_parameters(self._best_row))
        return Group(*lines)


def _parameters(row: Row) -> Table:
    """The row's parameters in three columns."""
    table = Table.grid(padding=(0, 2))
    cells = [
        f"[dim]{escape(name.removeprefix('param.'))}[/] {escape(format_value(value))}"
        for name, value in row.items()
        if name.startswith("param.")
    ]
    for start in range(0, len(cells), 3):
        table.add_row(*cells[start : start + 3])
    return table


def best_text(row: Row, goal: Goal) -> str:
    """How good the best trial is."""
    metric = goal.objectives[0]
    mean, sd = format_figure(row[f"{metric}.mean"]), format_figure(row[f"{metric}.sd"])
    value = "" if goal.aggregate == "mean" else f", {goal.aggregate} {format_figure(row['value'])}"
    return f"{metric} {mean} ± {sd} over its replicas{value}, trial {row['trial']}"


def format_value(value: object) -> str:
    """A parameter's value as a person reads it: three digits of a real number."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def format_figure(figure: float, like: float = 0.0) -> str:
    """A metric's figure as a person reads it: three decimals, or none of counts, which are `like` 100 or more."""
    if math.isnan(figure):
        return "-"
    return f"{figure:.3f}" if max(abs(figure), abs(like)) < 100 else f"{figure:,.0f}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
