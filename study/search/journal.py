"""A study's search as Optuna stores it: the journal in the study's folder."""

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
    """The folder's journal, which begins to be if there is none. Raises InputError if it is damaged."""
    path = folder.resolve() / NAME  # its lock is a link to it
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except ValueError as error:
        raise InputError(
            f"{path}: is no journal: {error}, expected Optuna's (remove it, and `study resume` makes it anew)"
        ) from None


def search(folder: Path, sampler: optuna.samplers.BaseSampler, directions: Sequence[Any]) -> optuna.Study:
    """The folder's search as Optuna's own Study, to go on with; begins the journal if there is none."""
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
    """The folder's search as Optuna's own Study, to look at. Raises InputError if the folder has none."""
    if not (folder / NAME).is_file():
        raise InputError(f"{folder}: found no {NAME}, expected a study that was run here (use `trials`)")
    if names := optuna.get_all_study_names(journal := storage(folder)):
        return optuna.load_study(study_name=names[0], storage=journal)  # whatever the folder is called now
    raise InputError(f"{folder}: found nothing in {NAME}, expected a search (`study resume` mends it)")
