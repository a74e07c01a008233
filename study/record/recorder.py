"""Recording trials: when one ends, its files, its end in the journal and its row are written to the study's folder."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Protocol

import pyarrow as pa

from study.record.tables import trials_table
from study.record.trial_state import TrialState
from study.record.writer import Writer
from study.search.journal import DriversJournal, Entry
from study.search.trial import Report, Row, TrialRecord

SPARED = 100
"""How many times as long as it takes to write the table of trials it is left alone. It is written whole each time."""

LATEST = 5.0
"""The seconds after which it is written in any case, so that it is up to date on a slow disk, too."""


class Listener(Protocol):
    """An object that follows a search while it runs, such as a progress display or W&B."""

    def started(self, trial: int) -> None:
        """A trial starts, or starts again because its worker died."""

    def reported(self, trial: int, report: Report) -> None:
        """A trial has reported one or more rungs."""

    def ended(self, row: Row) -> None:
        """A trial has ended. `row` is its row of trials.parquet."""


class Recorder:
    """Writes ended trials to the study's folder, on a thread of its own, and notifies the listeners.

    A trial's replicas and model are on the disk before the journal says that it has ended, and its row of
    trials.parquet comes last. The journal has what it takes to make that row anew, so a kill at any moment loses no
    trial that the journal knows to have ended. What ends while files are written is written together afterwards.

    On leaving its context, everything is written. If something could not be written, then only the rows of trials that
    the journal knows to have ended.

    Args:
        folder: the study's folder.
        journal: the journal of its search.
        listeners: whom to notify.
    """

    def __init__(self, folder: Path, journal: DriversJournal, listeners: list[Listener]):
        self.listeners = listeners
        self._table = trials_table(folder)
        self._writer = Writer(folder)
        self._journal = journal
        self._ended: list[tuple[TrialRecord, Row]] = []
        self._rows: list[Row] = []  # not in the table yet
        self._table_due = 0.0
        self._thread = ThreadPoolExecutor(1, "recorder")
        self._writing: Future[None] = self._thread.submit(lambda: None)

    def __enter__(self) -> Recorder:
        self._journal.pending = []
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if error is None or self._writing.exception() is None:
                self._writing.result()
                self.commit()
                self._writing.result()
        finally:
            self._journal.pending = None
            self._thread.shutdown()
            if self._rows:
                self._write_table()

    def record(self, trial: TrialRecord) -> None:
        """Take in a trial that has ended. `commit` writes it."""
        row = trial.row()
        self._ended.append((trial, row))
        for listener in self.listeners:
            listener.ended(row)

    def commit(self) -> None:
        """Begin to write the trials and entries that have come in, unless writing goes on.

        Raises the OSError of a file that could not be written.
        """
        if not self._writing.done():
            return
        self._writing.result()
        table_is_due = self._rows and time.monotonic() >= self._table_due
        if self._ended or self._journal.pending or table_is_due:
            ended, self._ended = self._ended, []
            entries, self._journal.pending = self._journal.pending or [], []
            self._writing = self._thread.submit(self._write, ended, entries)

    def _write(self, ended: list[tuple[TrialRecord, Row]], entries: list[Entry]) -> None:
        for trial, _ in ended:
            replicas = [report.replicas for report in trial.reports if len(report.replicas)]
            if replicas:
                self._writer.add_replicas(trial.number, replicas)
            last = trial.reports[-1]
            if last.model is not None and trial.state is TrialState.COMPLETE:
                self._writer.add_model(trial.number, last.model)
        if entries:
            self._journal.write(entries)
        self._rows += [row for _, row in ended]
        if self._rows and time.monotonic() >= self._table_due:
            self._write_table()

    def _write_table(self) -> None:
        start = time.monotonic()
        new = [pa.Table.from_pylist([row]) for row in self._rows]  # a row of a failed trial has fewer columns
        self._table = pa.concat_tables([self._table, *new], promote_options="permissive").combine_chunks()
        self._writer.write_trials(self._table)
        self._rows = []
        self._table_due = time.monotonic() + min(SPARED * (time.monotonic() - start), LATEST)
