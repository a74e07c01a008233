"""Turns trials that have ended into rows and files of the study's folder, as they end."""

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
    """Who hears of trials as they begin, report at their rungs, and end."""

    def started(self, trial: int) -> None: ...

    def reported(self, trial: int, report: Report) -> None: ...

    def ended(self, row: Row) -> None: ...


class Recorder:
    """Keeps the folder up to date with the trials that have ended, and tells the listeners."""

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
        # a table that grows by a row costs a tenth of one made of all rows anew
        grown = pa.concat_tables([self.trials, pa.Table.from_pylist([row])], promote_options="permissive")
        self.trials = grown.combine_chunks()
        self._writer.write_trials(self.trials)
        for listener in self.listeners:
            listener.ended(row)
