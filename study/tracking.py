"""The study as one Weights & Biases run: offline in the study's folder, unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
from types import TracebackType

import wandb

from study.folder import StudyFolder
from study.trial import Row


class Tracker:
    """Logs each trial as it ends with the best isolation so far, and the table of trials at the end."""

    def __init__(self, folder: StudyFolder):
        self._folder = folder
        self._best = 0.0

    def __enter__(self) -> Tracker:
        quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True, disable_code=True)
        self._run = wandb.init(
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            project=os.environ.get("WANDB_PROJECT", "hue-study"),
            name=self._folder.name,
            dir=self._folder.path,
            config=self._folder.manifest,
            settings=quiet,
        )
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._run.log({"table": wandb.Table(dataframe=self._folder.trials)})
        self._run.finish(exit_code=0 if error is None else 1)

    def ended(self, row: Row) -> None:
        """A trial has ended."""
        if row["state"] == "complete":
            self._best = max(self._best, row["isolation.mean"])
        figures = {key: value for key, value in row.items() if isinstance(value, int | float)}
        self._run.log({**figures, "best_isolation": self._best})
