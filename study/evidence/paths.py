"""The path from one setting to another: single changes, made one after another, the one that helps most first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anchoring.dopesheet import Dopesheet, Property
from anchoring.errors import InputError
from study.evidence.comparing import difference
from study.evidence.leading import leading
from study.experiment import Document, Metric
from study.record.folder import StudyFolder, reference_files
from study.search.goal import Goal, counted
from study.space.document import rescaled
from study.space.doses import RATE
from study.space.space import Space

TOTAL = "all changes"
"""The name of the last row of `gains`, which compares the path's ends."""

GROUPS = ("regularizers", "labels")
"""Tables of a document whose entries are changed one by one."""

NAMES = ("title", "experiment")
"""Keys of a document that change nothing."""

Key = tuple[str, str]
"""A part of a document: the table it is in, or "", and its name there."""

STEPS, ACTIONS = ("", "steps"), ("", "phases and actions")
SCHEDULE = "schedule"

Train = Callable[[Mapping[str, Document]], pd.DataFrame]
"""Trains documents on common seeds, and returns their rows, in which `setting` is the document's name."""


def differences(start: Document, target: Document) -> dict[str, set[Key]]:
    """The changes that lead from one setting to another, by name, each with the parts of a document that it changes.

    They are: the learning rate; the weight of each term over training; each other key of a term; terms that only one
    of the settings has; each label; the number of steps; and each other key of the settings' files.

    Args:
        start: a setting.
        target: another one.
    """
    ours, theirs = (_parts(document, _length(start)) for document in (start, target))
    unequal = [key for key in {**ours, **theirs} if not _equal(ours.get(key), theirs.get(key))]
    if _length(start) != _length(target):
        unequal.append(STEPS)
    found: dict[str, set[Key]] = {}
    for key in unequal:
        found.setdefault(_name(key, ours, theirs), set()).add(key)
    return found


def between(start: Document, target: Document, taken: Collection[str]) -> Document:
    """The setting at which some of the changes from one setting to another are made.

    If the number of steps has not been taken over, but a schedule has, the schedule is rescaled.

    Args:
        start: a setting.
        target: another one.
        taken: names of `differences`.
    """
    changes = differences(start, target)
    if not set(taken) & changes.keys():
        return start
    if set(taken) >= changes.keys():
        return target
    changed = {key for name in taken for key in changes[name]}
    length = _length(target if STEPS in changed else start)
    ours, theirs = (_parts(document, length) for document in (start, target))
    source = {key: theirs if key in changed else ours for key in {**ours, **theirs}}
    parts = {key: of[key] for key, of in source.items() if key in of}
    document: Document = {key: start[key] for key in NAMES if key in start}
    document |= {name: value for (group, name), value in parts.items() if not group and name != ACTIONS[1]}
    for group in GROUPS:
        if named := {name: value for (of, name), value in parts.items() if of == group}:
            document[group] = named
    columns = [value for (group, _), value in parts.items() if group == SCHEDULE]
    rows = _rows(columns, parts.get(ACTIONS, ()), length)
    return {**document, SCHEDULE: {**start[SCHEDULE], "rows": rows}}


def walk(
    start: Document, target: Document, goal: Goal, is_valid: Callable[[Document], bool], train: Train
) -> tuple[list[str], pd.DataFrame]:
    """Find the order in which changes are made: in each round, the change whose setting is best comes next.

    This is the ablation between two configurations of Fawcett and Hoos (2016, J. Heuristics 22:431). A change that is
    not a valid setting without another one waits for it. Changes that are valid only together are made together.

    Args:
        start: the setting at the beginning.
        target: the setting at the end.
        goal: its first objective decides.
        is_valid: whether a document is a valid setting.
        train: how settings are measured.

    Returns:
        The names of the changes in their order, those made together joined by " + "; and the rows of all settings that
        were tried, with a column `round`, from 1 on. A round with a single choice is not tried.
    """
    left, taken, order = list(differences(start, target)), list[str](), list[str]()
    tried: list[pd.DataFrame] = []
    while left:
        made = {name: between(start, target, [*taken, name]) for name in left}
        choices = {name: document for name, document in made.items() if is_valid(document)}
        if not choices:
            order.append(" + ".join(left))
            break
        name = next(iter(choices))
        if len(choices) > 1:
            rows = train(choices)
            tried.append(rows.assign(round=len(order) + 1))
            by_name = dict(list(rows.groupby("setting")))
            name = max(choices, key=lambda choice: goal.score(by_name[choice]))
        order.append(name)
        taken.append(name)
        left.remove(name)
    return order, pd.concat(tried, ignore_index=True) if tried else pd.DataFrame(columns=_TRIED)


_TRIED = ["setting", "trial", "seed", "round"]
"""Columns of what was tried, if nothing was."""


def gains(rows: pd.DataFrame, name: str, metric: Metric) -> pd.DataFrame:
    """What each change on a path bought, seed by seed; the gains add up to the difference between the path's ends.

    Args:
        rows: the rows of the settings on the path in their order, on common seeds; `setting` names the change that led
            to each.
        name: the metric's name.
        metric: its declaration. A diverged replica needs a value.

    Returns:
        A row for each change and a last one for the whole path: `change`; `mean` and `worst` replica after it;
        and the columns of `study.evidence.comparing.difference`, from the setting before.

    Examples:
        >>> rows = pd.DataFrame({"setting": ["start"] * 2 + ["learning rate"] * 2 + ["with norm"] * 2,
        ...     "seed": [0, 1] * 3, "diverged": False, "utility": [0.1, 0.2, 0.6, 0.7, 0.7, 0.9]})
        >>> found = gains(rows, "utility", Metric("how well it works", diverged=0.0))
        >>> found[["change", "mean", "difference"]].round(2)
                  change  mean  difference
        0  learning rate  0.65        0.50
        1      with norm  0.80        0.15
        2    all changes  0.80        0.65
    """
    settings = list(rows.groupby("setting", sort=False))
    pairs = [(change, before, after) for (_, before), (change, after) in itertools.pairwise(settings)]
    pairs.append((TOTAL, settings[0][1], settings[-1][1]))
    table = []
    for change, before, after in pairs:
        values = counted(after, name, metric)
        worst = values.min() if metric.higher_is_better else values.max()
        found = {"change": change, "mean": float(values.mean()), "worst": float(worst)}
        table.append(found | difference(after, before, name, metric))
    return pd.DataFrame(table)


def ending(folder: StudyFolder) -> int:
    """The trial where a path ends: the study's confirmed answer or, if none is confirmed, its leading trial.

    Raises InputError if no trial is complete.
    """
    if folder.confirmation().trial.notna().any():
        return int(folder.answer().trial)
    if (ahead := leading(folder, 1)).empty:
        raise InputError(f"{folder.path}: found no complete trial, expected one for the path to end at")
    return int(ahead.trial.iloc[0])


def nearest_reference(folder: StudyFolder, target: Document) -> Path:
    """The reference of a study's experiment that the fewest `differences` lead from. Raises InputError without any."""
    files = list(reference_files(folder.space))
    if not files:
        raise InputError(f"{folder.path}: found no reference of its experiment, expected a fixed setting (--from)")
    return min(files, key=lambda file: len(differences(Space.read(file, None, folder.source).document(), target)))


def alone(tried: pd.DataFrame, start: pd.DataFrame, name: str, metric: Metric) -> dict[str, float]:
    """How much each change of the first round differs from the start by itself, on the seeds that chose.

    Args:
        tried: the rows of `walk`.
        start: those of the setting at the beginning, on the same seeds.
        name: the metric's name.
        metric: its declaration.
    """
    if tried.empty:
        return {}
    first = tried[tried["round"] == 1]
    return {
        str(change): difference(rows, start, name, metric)["difference"] for change, rows in first.groupby("setting")
    }


def _length(document: Document) -> int:
    return len(_sheet(document))


def _sheet(document: Document, length: int | None = None) -> Dopesheet:
    """A document's dopesheet, perhaps rescaled to a length."""
    rows, file = document[SCHEDULE]["rows"], document[SCHEDULE]["file"]
    sheet = Dopesheet.parse(rows, file)
    return sheet if length is None or length == len(sheet) else _sheet(rescaled(document, length))


def _parts(document: Document, length: int) -> dict[Key, Any]:
    """The parts of a document, with its schedule rescaled to a length."""
    sheet = _sheet(document, length)
    groups = [group for group in GROUPS if isinstance(document.get(group), dict)]
    parts: dict[Key, Any] = {
        ("", key): value for key, value in document.items() if key not in (SCHEDULE, *NAMES, *groups)
    }
    parts |= {(group, name): table for group in groups for name, table in document[group].items()}
    parts |= {(SCHEDULE, column.name): column for column in sheet.properties}
    actions = tuple((row.step, row.phase, row.actions) for row in sheet.rows if row.phase or row.actions)
    return parts | {ACTIONS: actions} if actions else parts


def _equal(ours: Any, theirs: Any) -> bool:
    """Whether parts are the same: schedules if their values are, at every step; phases do not count, actions do."""
    if isinstance(ours, Property) and isinstance(theirs, Property):
        length = max(*ours.steps, *theirs.steps) + 1
        return bool(np.array_equal(ours.tabulate(length), theirs.tabulate(length)))
    if isinstance(ours, tuple) or isinstance(theirs, tuple):
        return [row for row in ours or () if row[2]] == [row for row in theirs or () if row[2]]
    return bool(ours == theirs)


def _name(key: Key, ours: Mapping[Key, Any], theirs: Mapping[Key, Any]) -> str:
    """What a change is called. A term that only one setting has comes and goes with its weight."""
    group, name = key
    term = (GROUPS[0], name)
    if group in (GROUPS[0], SCHEDULE) and (term in ours) != (term in theirs):
        return f"with {name}" if term in theirs else f"without {name}"
    if group == SCHEDULE:
        return "learning rate" if name == RATE else f"weight of {name}"
    return {GROUPS[0]: f"settings of {name}", GROUPS[1]: f"label {name}"}.get(group, name)


def _rows(columns: list[Property], marks: Collection[tuple[int, str, tuple[str, ...]]], length: int) -> list[list[str]]:
    """The cells of a dopesheet with these columns, phases and actions, every step absolute."""
    keys = [dict(zip(column.steps, column.values, strict=True)) for column in columns]
    named = {step: (phase, ", ".join(actions)) for step, phase, actions in marks}
    steps = sorted({length - 1, *named, *(step for of in keys for step in of)})
    header = ["STEP", "PHASE", "ACTION", *(f"{column.name}:{column.space}:{column.timing}" for column in columns)]
    body = [
        [str(step), *named.get(step, ("", "")), *(repr(of[step]) if step in of else "" for of in keys)]
        for step in steps
    ]
    return [header, *body]
