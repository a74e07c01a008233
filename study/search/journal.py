"""The journal in a study's folder, in which Optuna stores the search."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from anchoring.errors import InputError
from study import private

NAME = "optuna.journal"

WAITING = (TrialState.WAITING,)

Entry = dict[str, Any]
"""A line of the journal."""


class _Lock(JournalFileOpenLock):
    """Optuna's lock that needs no symbolic links, which some file systems lack."""

    def release(self) -> None:
        """Remove the lock. If that fails, raise the OSError itself, not a RuntimeError as Optuna does."""
        try:
            super().release()
        except RuntimeError as error:
            raise error.__context__ or error from None


class DriversJournal(JournalFileBackend):
    """The journal of a study's driver, which remembers its own entries and so reads the file only once.

    Others append nothing but a dashboard's notes, which a search does not need.

    Args:
        path: the journal's file.
        lock: what a process holds while it writes to the file.
    """

    def __init__(self, path: str, lock: JournalFileOpenLock):
        super().__init__(path, lock)
        self.pending: list[Entry] | None = None
        """Entries that `write` is still to write. None: each is written at once."""
        self._unread: deque[Entry] | None = None  # None: the file is not read yet

    def read_logs(self, log_number_from: int) -> Iterator[Entry]:  # type: ignore[override]
        if self._unread is None:
            self._unread = deque()
            yield from super().read_logs(log_number_from)
        while self._unread:
            yield self._unread.popleft()

    def append_logs(self, logs: list[Entry]) -> None:
        if self.pending is None:
            self.write(logs)
        else:
            self.pending += logs
        if self._unread is not None:
            self._unread.extend(logs)

    def write(self, entries: list[Entry]) -> None:
        """Append entries to the file, and wait until they are on the disk."""
        super().append_logs(entries)


class DriversStorage(JournalStorage):
    """The storage of a study's driver, which remembers when no trial waits. At each proposal Optuna looks through all
    trials for one that does."""

    _none_waits = False

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states != WAITING:
            return super().get_all_trials(study_id, deepcopy, states)
        waiting = [] if self._none_waits else super().get_all_trials(study_id, deepcopy, states)
        self._none_waits = not waiting
        return waiting

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self._none_waits &= template_trial is None
        return super().create_new_trial(study_id, template_trial)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        self._none_waits &= state is not TrialState.WAITING
        return super().set_trial_state_values(trial_id, state, values)


def storage(folder: Path, kind: type[JournalStorage] = JournalStorage) -> JournalStorage:
    """The folder's journal; a new one if there is none. Raises InputError if it is damaged."""
    return _storage(folder, JournalFileBackend, kind)


def search(folder: Path, sampler: optuna.samplers.BaseSampler, directions: Sequence[Any]) -> optuna.Study:
    """The folder's search as an `optuna.Study` that can ask for trials, for its driver. Makes the journal if there is
    none."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = _storage(folder, DriversJournal, DriversStorage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.create_study(
            study_name=next(iter(optuna.get_all_study_names(journal)), folder.name),  # the folder may be renamed
            storage=journal,
            directions=directions,
            sampler=sampler,
            load_if_exists=True,
        )


def of(study: optuna.Study) -> DriversJournal:
    """The journal of a study that `search` has opened."""
    return private.backend(study)


def read(folder: Path) -> optuna.Study:
    """The folder's search as an `optuna.Study` to look at. Raises InputError if the folder has none."""
    if not (folder / NAME).is_file():
        raise InputError(f"{folder}: found no {NAME}, expected one; published studies have none (use `trials`)")
    if names := optuna.get_all_study_names(journal := storage(folder)):
        return optuna.load_study(study_name=names[0], storage=journal)  # the folder may be renamed
    raise InputError(f"{folder}: {NAME} is empty, expected a search (`study resume` repairs it)")


def _storage(
    folder: Path, backend: type[JournalFileBackend], kind: type[JournalStorage] = JournalStorage
) -> JournalStorage:
    path = str(folder.resolve() / NAME)
    try:
        return kind(backend(path, _Lock(path)))
    except ValueError as error:
        raise InputError(
            f"{path}: damaged: {error}, expected an Optuna journal (remove it, then `study resume` makes a new one)"
        ) from None
