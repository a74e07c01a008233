"""The study as one Weights & Biases run: offline in the study's folder, unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import wandb
from rich.console import Console
from wandb import Run

from study.folder import StudyFolder
from study.trial import Row


class Tracker:
    """Logs each trial as it ends with the best isolation so far, and the table of trials at the end.

    A study does not depend on it: what W&B cannot do is said once, and the study goes on without.
    """

    def __init__(self, folder: StudyFolder, console: Console):
        self._folder = folder
        self._console = console
        self._best = 0.0
        self._run: Run | None = None

    def __enter__(self) -> Tracker:
        with self._or_without():
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
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with self._or_without():
            if self._run:
                self._run.log({"table": wandb.Table(dataframe=self._folder.trials)})
                self._run.finish(exit_code=0 if error is None else 1)

    def started(self, trial: int) -> None:
        """A trial has begun."""

    def ended(self, row: Row) -> None:
        """A trial has ended."""
        if row["state"] == "complete":
            self._best = max(self._best, row["isolation.mean"])
        figures = {key: value for key, value in row.items() if isinstance(value, int | float)}
        with self._or_without():
            if self._run:
                self._run.log({**figures, "best_isolation": self._best})

    @contextmanager
    def _or_without(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._run = None
            text = f"the study goes on without W&B: {str(error).splitlines()[0]}"
            self._console.print(text, style="yellow", markup=False, highlight=False)
