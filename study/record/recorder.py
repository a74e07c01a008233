"""Recording trials: when one ends, its row and its files are written to the study's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa

from study.record.tables import trials_table
from study.record.trial_state import TrialState
from study.record.writer import Writer
from study.search.trial import Report, Row, TrialRecord


class Listener(Protocol):
    """An object that follows a search while it runs, such as a progress display or W&B."""

    def started(self, trial: int) -> None:
        """A trial starts, or starts again because its worker died."""

    def reported(self, trial: int, report: Report) -> None:
        """A trial has reached a rung."""

    def ended(self, row: Row) -> None:
        """A trial has ended and is recorded. `row` is its row of trials.parquet."""


class Recorder:
    """Writes ended trials to the study's folder, and notifies the listeners."""

    def __init__(self, folder: Path, listeners: list[Listener]):
        self.trials = trials_table(folder)
        self.listeners = listeners
        self._writer = Writer(folder)

    def record(self, trial: TrialRecord) -> None:
        """Write an ended trial's replicas and model, then its row."""
        replicas = [report.replicas for report in trial.reports if len(report.replicas)]
        if replicas:
            self._writer.add_replicas(trial.number, pd.concat(replicas, ignore_index=True))
        last = trial.reports[-1]
        if last.model is not None and trial.state is TrialState.COMPLETE:
            self._writer.add_model(trial.number, last.model)
        row = trial.row()
        # appending to a table is ten times faster than making it from all rows
        grown = pa.concat_tables([self.trials, pa.Table.from_pylist([row])], promote_options="permissive")
        self.trials = grown.combine_chunks()
        self._writer.write_trials(self.trials)
        for listener in self.listeners:
            listener.ended(row)
