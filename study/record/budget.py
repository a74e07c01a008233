"""A study's minutes: how many of them its searches have used, by what is recorded."""

from __future__ import annotations

from datetime import datetime, timedelta

from study.record.folder import StudyFolder
from study.record.writer import Writer
from study.search import journal
from study.search.plan import Plan


def minutes_used(folder: StudyFolder) -> float:
    """The minutes that all searches of a study took.

    A search records them when it ends. If its driver was killed, they are the time in which trials ran, by the journal.
    """
    return max(folder.manifest().get("minutes_used", 0.0), _in_journal(folder))


def minutes_left(folder: StudyFolder, plan: Plan) -> float | None:
    """The minutes that a plan leaves for the next search of a study. None if the plan has no limit of minutes."""
    return None if plan.minutes is None else max(0.0, plan.minutes - minutes_used(folder))


def record_minutes(folder: StudyFolder, minutes: float) -> None:
    """Record the minutes that all searches of a study took."""
    Writer(folder.path).write_manifest({**folder.manifest(), "minutes_used": minutes})


def _in_journal(folder: StudyFolder) -> float:
    """The minutes in which at least one of the trials that have ended was running."""
    trials = folder.optuna().get_trials(deepcopy=False) if (folder.path / journal.NAME).is_file() else []
    total, until = timedelta(), datetime.min
    ended = [(t.datetime_start, t.datetime_complete) for t in trials if t.datetime_start and t.datetime_complete]
    for start, end in sorted(ended):
        total += max(end - max(start, until), timedelta())
        until = max(end, until)
    return total / timedelta(minutes=1)
