"""The journal in a study's folder, in which Optuna stores the search."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from anchoring.errors import InputError

NAME = "optuna.journal"


def storage(folder: Path) -> JournalStorage:
    """The folder's journal; a new one if there is none. Raises InputError if it is damaged."""
    path = folder.resolve() / NAME  # Optuna's lock is a symbolic link to this path
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except ValueError as error:
        raise InputError(
            f"{path}: damaged: {error}, expected an Optuna journal (remove it, then `study resume` makes a new one)"
        ) from None


def search(folder: Path, sampler: optuna.samplers.BaseSampler, directions: Sequence[Any]) -> optuna.Study:
    """The folder's search as an `optuna.Study` that can ask for trials. Makes the journal if there is none."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = storage(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.create_study(
            study_name=next(iter(optuna.get_all_study_names(journal)), folder.name),  # the folder may be renamed
            storage=journal,
            directions=directions,
            sampler=sampler,
            load_if_exists=True,
        )


def read(folder: Path) -> optuna.Study:
    """The folder's search as an `optuna.Study` to look at. Raises InputError if the folder has none."""
    if not (folder / NAME).is_file():
        raise InputError(f"{folder}: found no {NAME}, expected one; published studies have none (use `trials`)")
    if names := optuna.get_all_study_names(journal := storage(folder)):
        return optuna.load_study(study_name=names[0], storage=journal)  # the folder may be renamed
    raise InputError(f"{folder}: {NAME} is empty, expected a search (`study resume` repairs it)")
