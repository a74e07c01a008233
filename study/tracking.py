"""The study as one Weights & Biases run: offline in the study's folder, unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console

from study.folder import StudyFolder
from study.trial import Report, Row

if TYPE_CHECKING:
    from wandb import Run


class Tracker:
    """Logs each trial as it ends with the best value so far, and the table of trials at the end.

    A study neither waits for it nor depends on it: W&B has a thread to itself, and what it cannot do is said once.
    """

    def __init__(self, folder: StudyFolder, console: Console):
        self._folder = folder
        self._console = console
        self._best: float | None = None
        self._run: Run | None = None
        self._thread = ThreadPoolExecutor(1, "wandb")

    def __enter__(self) -> Tracker:
        self._thread.submit(self._or_without, self._begin)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._thread.submit(self._or_without, self._finish, 0 if error is None else 1)
        self._thread.shutdown()

    def started(self, trial: int) -> None:
        """A trial has begun."""

    def reported(self, trial: int, report: Report) -> None:
        """A trial has come to a rung."""

    def ended(self, row: Row) -> None:
        """A trial has ended."""
        if row["state"] == "complete" and row["feasible"] and self._folder.goal.better(row["value"], self._best):
            self._best = row["value"]
        figures = {key: value for key, value in row.items() if isinstance(value, int | float)}
        self._thread.submit(self._or_without, self._log, figures | ({} if self._best is None else {"best": self._best}))

    def _begin(self) -> None:
        import wandb

        self._run = wandb.init(
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            project=os.environ.get("WANDB_PROJECT", "hue-study"),
            name=self._folder.name,
            dir=self._folder.path,
            config=self._folder.manifest,
            settings=wandb.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True, disable_code=True
            ),
        )

    def _log(self, figures: dict[str, float]) -> None:
        if self._run:
            self._run.log(figures)

    def _finish(self, exit_code: int) -> None:
        import wandb

        if self._run:
            self._run.log({"table": wandb.Table(dataframe=self._folder.trials)})
            self._run.finish(exit_code=exit_code)

    def _or_without(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        except Exception as error:
            self._run = None
            text = f"the study goes on without W&B: {str(error).splitlines()[0]}"
            self._console.print(text, style="yellow", markup=False, highlight=False)
