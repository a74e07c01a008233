"""Arms: a reference setting with one named change each, such as a term left out or a schedule held constant."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anchoring.dopesheet import RESERVED, Dopesheet
from anchoring.errors import InputError
from study.experiment import Document
from study.space.document import rescaled, without_term
from study.space.doses import RATE, level

REFERENCE = "reference"
"""The name of the setting as it is."""

TOGETHER = "every weight at its dose"
"""The name of the standard arm that holds all scheduled weights constant."""

SHARES = {"half": 0.5, "quarter": 0.25, "twice": 2.0}

SHORTEST = 8
"""Fewer steps are not halved."""

Change = Callable[[Document], Document]


@dataclass(frozen=True)
class Arm:
    """A named change to a setting.

    Args:
        name: what it is called in tables.
        change: makes the changed document. It returns an equal one if there is nothing to change.
    """

    name: str
    change: Change


def standard(document: Document, trained: Mapping[str, Any]) -> list[Arm]:
    """The standard arms of a setting: those of its changes that change something.

    They are: each term left out; each scheduled weight held constant at its peak, at its mean and at its dose; all of
    them at their doses; straight lines in place of minimum jerk; half and a quarter of the steps; half the labels.

    Args:
        document: the setting.
        trained: its terms by name.
    """
    scheduled = [name for name in _columns(document) if name != RATE]
    arms = [Arm(f"without {term}", _without(term)) for term in trained]
    arms += [Arm(f"{name} at its {kind}", _held(name, kind)) for name in scheduled for kind in ("peak", "mean", "dose")]
    arms += [Arm(TOGETHER, _all([_held(name, "dose") for name in scheduled]))]
    arms += [Arm("straight lines", _straight)]
    if len(_sheet(document)) > SHORTEST:
        arms += [Arm("half the steps", _steps("half")), Arm("a quarter of the steps", _steps("quarter"))]
    arms += [Arm("half the labels", _half_the_labels)]
    return [arm for arm in arms if arm.change(document) != document]


def read_arms(path: Path, document: Document) -> list[Arm]:
    """Arms from a TOML file, a table `[arms.<name>]` each.

    Its keys are those of a setting, with their new values; a number may become "half", "quarter" or "twice" of what it
    was. Besides, `without` names a term or a list of them, `steps` is a number or a share, and `schedule.<property>` is
    "constant(peak)", "constant(mean)", "constant(dose)", "straight", or a number.

    Args:
        path: the file.
        document: the setting.

    Raises:
        InputError: if the file cannot be read, or an arm does not fit the setting or changes nothing. The message
            starts with the file and the key.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}), expected TOML with tables such as [arms.flat]") from None
    arms = tables.get("arms")
    if tables.keys() - {"arms"} or not isinstance(arms, dict) or not arms:
        raise InputError(f"{path}: found {', '.join(tables) or 'nothing'}, expected tables such as [arms.flat]")
    found = []
    for name, table in arms.items():
        where = f"{path}: arms.{name}"
        if not isinstance(table, dict) or not table:
            raise InputError(f"{where}: found {table!r}, expected a table of changes")
        if name == REFERENCE:
            raise InputError(f"{where}: found the name of the setting as it is, expected another one")
        arm = Arm(name, _all(list(_changes(table, document, where))))
        if arm.change(document) == document:
            raise InputError(f"{where}: found no change, expected one")
        found.append(arm)
    return found


def _changes(table: Mapping[str, Any], document: Document, where: str) -> Iterator[Change]:
    for key, value in table.items():
        here = f"{where}.{key}"
        if key == "without":
            for term in value if isinstance(value, list) else [value]:
                if term not in document.get("regularizers", {}):
                    terms = ", ".join(document.get("regularizers", {})) or "a setting with terms"
                    raise InputError(f"{here}: found {term!r}, expected one of {terms}")
                yield _without(term)
        elif key == "steps":
            if str(value) not in SHARES and not (isinstance(value, int) and value > 1):
                raise InputError(f"{here}: found {value!r}, expected {', '.join(SHARES)} or a number of steps")
            yield _steps(value)
        elif key == "schedule":
            if not isinstance(value, dict):
                raise InputError(f"{here}: found {value!r}, expected a property, as in schedule.lr = 0.01")
            yield from (_scheduled(document, name, to, f"{here}.{name}") for name, to in value.items())
        else:
            yield from _set(document, (key,), value, here)


def _scheduled(document: Document, name: str, to: Any, where: str) -> Change:
    if name not in _columns(document):
        raise InputError(f"{where}: found no such property, expected one of {', '.join(_columns(document))}")
    if isinstance(to, int | float) and not isinstance(to, bool):
        return _constant(name, float(to))
    constant = re.fullmatch(r"constant\((peak|mean|dose)\)", str(to))
    if constant:
        return _held(name, constant[1])
    if to == "straight":
        return lambda document: _with_timing(document, name)
    raise InputError(
        f"{where}: found {to!r}, expected constant(peak), constant(mean), constant(dose), straight, or a number"
    )


def _set(document: Document, keys: tuple[str, ...], value: Any, where: str) -> Iterator[Change]:
    """The changes that set a key, or each key below it, to another value."""
    node: Any = document
    for key in keys[:-1]:
        node = node[key]
    if not isinstance(node, dict) or (keys[-1] not in node and len(keys) == 1):
        raise InputError(f"{where}: unknown key, expected without, steps, schedule, or one of {', '.join(document)}")
    if isinstance(value, dict) and isinstance(node.get(keys[-1]), dict):
        for key, of in value.items():
            yield from _set(document, (*keys, key), of, f"{where}.{key}")
        return
    before = node.get(keys[-1])
    if isinstance(value, str) and value in SHARES and isinstance(before, int | float) and not isinstance(before, bool):
        value = before * SHARES[value]

    def change(document: Document) -> Document:
        changed = copy.deepcopy(document)
        node: Any = changed
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = value
        return changed

    yield change


def _all(changes: list[Change]) -> Change:
    def change(document: Document) -> Document:
        for one in changes:
            document = one(document)
        return document

    return change


def _columns(document: Document) -> list[str]:
    return [cell.partition(":")[0].strip() for cell in document["schedule"]["rows"][0] if cell.strip() not in RESERVED]


def _sheet(document: Document) -> Dopesheet:
    return Dopesheet.parse(document["schedule"]["rows"], document["schedule"]["file"])


def _with_rows(document: Document, rows: list[list[str]]) -> Document:
    return {**document, "schedule": {**document["schedule"], "rows": rows}}


def _without(term: str) -> Change:
    return lambda document: without_term(document, term) if term in document.get("regularizers", {}) else document


def _held(name: str, kind: str) -> Change:
    """Hold a property constant, unless it is."""

    def change(document: Document) -> Document:
        if name not in _columns(document):
            return document
        sheet = _sheet(document)
        (column,) = (p for p in sheet.properties if p.name == name)
        return document if len(set(column.values)) == 1 else _constant(name, level(sheet, name, kind))(document)

    return change


def _constant(name: str, value: float) -> Change:
    def change(document: Document) -> Document:
        place = [cell.partition(":")[0].strip() for cell in document["schedule"]["rows"][0]].index(name)
        rows = [list(row) for row in document["schedule"]["rows"]]
        filled = [row for row in rows[1:] if any(cell.strip() for cell in row)]
        for number, row in enumerate(filled):
            row[place] = "" if number else repr(value)
        return _with_rows(document, rows)

    return change


def _straight(document: Document) -> Document:
    """Straight lines in place of every minimum jerk."""
    for column in _sheet(document).properties:
        if len(set(column.values)) > 1:
            document = _with_timing(document, column.name)
    return document


def _with_timing(document: Document, name: str) -> Document:
    header, *rows = document["schedule"]["rows"]
    columns = {p.name: p for p in _sheet(document).properties}
    changed = [
        f"{name}:{columns[name].space}:linear"
        if cell.partition(":")[0].strip() == name and columns[name].timing == "minjerk"
        else cell
        for cell in header
    ]
    return _with_rows(document, [changed, *rows])


def _steps(wanted: str | int) -> Change:
    def change(document: Document) -> Document:
        sheet = _sheet(document)
        share = SHARES.get(str(wanted))
        steps = int(wanted) if share is None else round((len(sheet) - 1) * share) + 1
        return rescaled(document, steps)

    return change


def _half_the_labels(document: Document) -> Document:
    """Labels half as probable, where a setting has labels with a `scale`."""
    labels = document.get("labels", {})
    scaled = {
        name: {**table, "scale": table["scale"] / 2}
        for name, table in labels.items()
        if isinstance(table, dict) and isinstance(table.get("scale"), int | float)
    }
    return {**document, "labels": {**labels, **scaled}} if scaled else document
