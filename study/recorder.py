"""Turns trials that have ended into rows and files of the study's folder, as they end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd

from study.folder import StudyFolder
from study.trial import Row, Trial


class Recorder:
    """Keeps the folder up to date with the trials, and tells `listeners` each new row."""

    def __init__(self, folder: StudyFolder, listeners: list[Callable[[Row], None]]):
        self.rows: list[Row] = []
        self._folder = folder
        self._listeners = listeners
        self._write_again = 0.0

    def record(self, trial: Trial) -> None:
        """Write an ended trial's replicas and model, then its row."""
        last = trial.reports[-1]
        replicas = [report.replicas for report in trial.reports if len(report.replicas)]
        if replicas:
            self._folder.add_replicas(trial.number, pd.concat(replicas, ignore_index=True))
        if last.model is not None:
            self._folder.add_model(trial.number, last.model)
        self.rows.append(trial.row())
        self._write_trials()
        for listener in self._listeners:
            listener(self.rows[-1])

    def close(self) -> None:
        """Write the table a last time."""
        self._write_again = 0.0
        self._write_trials()

    def _write_trials(self) -> None:
        """Write trials.parquet, whose rewriting grows with it, as often as takes at most a twentieth of the time."""
        start = time.monotonic()
        if start >= self._write_again:
            self._folder.write_trials(self.rows)
            end = time.monotonic()
            self._write_again = end + 20 * (end - start)
