"""What is on the disk of a study at any moment, and that a kill at any of them loses no trial that had ended."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.samplers import RandomSampler

import study
from anchoring.dopesheet import Dopesheet
from study.record.folder import StudyFolder
from study.record.recorder import Recorder
from study.record.recovery import clean, reconcile
from study.record.trial_state import TrialState
from study.record.writer import Writer
from study.search import journal
from study.search.trial import Reached, Report, TrialRecord
from study.space.doses import dose_columns

TRIALS, STEPS = 4, (5, 10)
STATES = (TrialState.COMPLETE, TrialState.STOPPED, TrialState.FAILED, TrialState.DIVERGED)


class KilledError(BaseException):
    """What a kill is to the process that it ends."""


def reports(folder: StudyFolder, number: int, parameters: dict[str, Any]) -> list[Report]:
    """The reports of a trial, which ends in one of the ways by its number."""
    state, random = STATES[number % len(STATES)], np.random.default_rng(number)
    if state is TrialState.FAILED:
        return [Report.failed("it fell over", 2.5)]
    gone = np.full(2, state is TrialState.DIVERGED)
    rungs = []
    for step in STEPS:
        metrics = {
            name: np.where(gone, np.nan, random.random(2)) for name, m in folder.metrics.items() if not m.examined
        }
        columns = {"seed": np.arange(2), "step": np.full(2, step), "diverged": gone, **metrics}
        rungs.append(Reached(state, step, columns, b"weights"))
    schedule = folder.space.document(parameters)["schedule"]
    return [Report.of(rungs, folder.goal, 1.5 + number, dose_columns(Dopesheet.parse(schedule["rows"])))]


def drive(folder: StudyFolder, order: Sequence[int] = range(TRIALS), together: bool = False) -> None:
    """A search of a few trials, which end in an order, without training and without Ray.

    Each is written when it ends, or all of them at the end.
    """
    search = journal.search(folder.path, RandomSampler(seed=0), folder.goal.directions)
    with Recorder(folder.path, journal.of(search), []) as recorder:
        asked = [TrialRecord(search.ask(folder.space.distributions), folder.goal) for _ in order] if together else []
        for number in order:
            trial = asked[number] if together else TrialRecord(search.ask(folder.space.distributions), folder.goal)
            if not together:
                recorder.commit()
            for report in reports(folder, number, trial.optuna_trial.params):
                trial.add(report)
            recorder.record(trial)
            trial.finish(search)
            if not together:
                recorder.commit()
                recorder._writing.result()


@pytest.fixture
def empty(hue: StudyFolder, tmp_path: Path) -> StudyFolder:
    """A study that nothing has happened in."""
    path = shutil.copytree(hue.path, tmp_path / "study")
    for name in ("replicas.parquet", "models"):
        shutil.rmtree(path / name)
        (path / name).mkdir()
    for name in ("trials.parquet", "optuna.journal", "confirmation.parquet", "leave-one-out.parquet"):
        (path / name).unlink()
    return study.load(path)


def mended(folder: StudyFolder, whole: StudyFolder) -> optuna.Study:
    """Mend what is left of a search: whole files, and each trial that the journal knows to have ended, once."""
    before = folder.trials()
    clean(folder)
    search = journal.search(folder.path, RandomSampler(), folder.goal.directions)
    ended = [trial.number for trial in search.trials if trial.state.is_finished()]
    reconcile(search, folder)
    after = folder.trials()
    assert after.trial.tolist() == sorted({*ended, *before.trial})
    if len(after):
        pd.testing.assert_frame_equal(after, whole.trials().head(len(after))[after.columns])
    assert not list(folder.path.rglob("*.partial"))
    return search


def test_a_kill_at_any_moment_loses_nothing_that_the_journal_knows(
    empty: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.record.recorder.SPARED", 0)  # the table is written each time
    whole = study.load(shutil.copytree(empty.path, tmp_path / "whole"))
    drive(whole)
    assert whole.trials().state.tolist() == [STATES[number % len(STATES)] for number in range(TRIALS)]
    write, append = Writer.write, journal.DriversJournal.write
    for moment in range(100):
        left = moment

        def countdown() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError

        def killed_write(writer: Writer, *what: Any) -> Path:
            countdown()
            return write(writer, *what)

        def killed_append(log: journal.DriversJournal, entries: list[journal.Entry]) -> None:
            countdown()
            append(log, entries)

        path = shutil.copytree(empty.path, tmp_path / f"killed-{moment}")
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "write", killed_write)
            patch.setattr(journal.DriversJournal, "write", killed_append)
            try:
                drive(study.load(path))
            except KilledError:
                pass
            else:
                break
        search = mended(study.load(path), whole)
        for trial, same in zip(search.trials, whole.optuna().trials, strict=False):
            assert trial.params == same.params or not trial.state.is_finished()
    assert moment >= 3 * TRIALS  # the positive control: the last one was not killed, and there were many moments


def test_a_journal_that_cannot_be_written_leaves_a_table_of_all_that_it_knows(
    empty: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.record.recorder.SPARED", 1e9)  # after the first time the table is left alone
    write, room = journal.DriversJournal.write, 5

    def fill(log: journal.DriversJournal, entries: list[journal.Entry]) -> None:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(empty.path / journal.NAME))
        room -= 1
        write(log, entries)

    monkeypatch.setattr(journal.DriversJournal, "write", fill)
    with pytest.raises(OSError, match=r"No space left on device: '.*optuna.journal'"):
        drive(empty)
    ended = [trial.number for trial in empty.optuna().trials if trial.state.is_finished()]
    assert empty.trials().trial.tolist() == ended
    assert len(ended) >= 2  # so that one of them was not in the table before


def test_trials_that_end_together_are_written_as_if_each_had_ended_alone(empty: StudyFolder, tmp_path: Path) -> None:
    one_by_one, together = (study.load(shutil.copytree(empty.path, tmp_path / name)) for name in ("one", "all"))
    drive(one_by_one)
    drive(together, [2, 0, 3, 1], together=True)  # the failed one, which has no metrics, is first
    pd.testing.assert_frame_equal(together.trials()[one_by_one.trials().columns], one_by_one.trials(), check_exact=True)
    pd.testing.assert_frame_equal(together.replicas(), one_by_one.replicas(), check_exact=True)


def test_an_entry_is_in_the_file_when_it_is_written_and_not_before(empty: StudyFolder) -> None:
    search = journal.search(empty.path, RandomSampler(seed=0), empty.goal.directions)
    log, file = journal.of(search), empty.path / journal.NAME
    before = file.read_bytes()
    log.pending = []
    asked = search.ask(empty.space.distributions)
    assert file.read_bytes() == before
    assert search.trials[0].params == asked.params  # the driver knows it at once
    log.write(log.pending)
    assert file.read_bytes().startswith(before)
    assert empty.optuna().trials[0].params == asked.params


def test_what_a_dashboard_notes_meanwhile_is_kept(empty: StudyFolder) -> None:
    search = journal.search(empty.path, RandomSampler(seed=0), empty.goal.directions)
    first = search.ask(empty.space.distributions)
    empty.optuna().set_user_attr("note", "look here")
    second = search.ask(empty.space.distributions)
    read = empty.optuna()
    assert read.user_attrs == {"note": "look here"}
    assert [trial.params for trial in read.trials] == [first.params, second.params]


def test_the_journal_needs_no_links_which_some_file_systems_lack(
    empty: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "symlink", refuse)
    drive(empty)
    assert len(empty.trials()) == TRIALS


@pytest.mark.parametrize("call", ["rename", "unlink"])
def test_a_lock_that_cannot_be_removed_is_an_error_of_the_system(
    empty: StudyFolder, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*paths: Any) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), *paths[:1])

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Stale file handle"):
        drive(empty)
