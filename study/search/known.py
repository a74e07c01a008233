"""What is known before a study: settings to start from, and another study's trials to learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from anchoring.errors import InputError
from study.evidence.leading import leading
from study.record.folder import StudyFolder
from study.record.loading import load
from study.record.trial_state import TrialState
from study.registry import Source
from study.search.goal import Goal
from study.search.points import Point
from study.space.document import read_document
from study.space.ranges import Value, described, number, within
from study.space.space import Slot, Space, at, located
from study.surroundings import expanded

CLOSE = 1e-9


def point_of(space: Space, start: str, out: Path) -> Point:
    """The point of a space at a known setting.

    Args:
        space: the space.
        start: a fixed setting's TOML file; or a study, by its name in `out` or its folder, for its leading trial; or
            one of its trials, after a colon: `mine-001:12`.
        out: the folder of studies.

    Raises:
        InputError: if there is no such setting, it is not in the space, or it differs from the space where that has no
            range.
    """
    file = located(expanded(start))
    if file.suffix == ".toml":
        return _point_of_file(space, file)
    folder, trial = _study(start, out, space.source)
    if trial is None:
        ahead = leading(folder, 1)
        if ahead.empty:
            raise InputError(f"--start: {start}: found no complete trial, expected one to start from")
        trial = int(ahead.trial.iloc[0])
    row = folder.row(trial).iloc[0]
    values = {name: row.get(f"param.{name}") for name in space.distributions}
    return _expect_within(space, {name: _plain(value) for name, value in values.items()}, f"--start: {start}")


def prior(space: Space, goal: Goal, studies: Sequence[str], out: Path) -> pd.DataFrame:
    """The complete trials of other studies, as far as their parameters are those of a space.

    A value outside the space's range, and one that is missing, is NaN or None. Trials without any value are left out.

    Args:
        space: the space.
        goal: the goal, whose first objective the other studies must have, too.
        studies: names in `out`, or folders.
        out: the folder of studies.

    Raises:
        InputError: if a study cannot be read, has another objective, or shares no parameter with the space.
    """
    parts = []
    for name in studies:
        folder, _ = _study(name, out, space.source)
        if folder.goal.objectives[0] != goal.objectives[0] or folder.goal.aggregate != goal.aggregate:
            found = f"found the {folder.goal.aggregate} of {folder.goal.objectives[0]}"
            raise InputError(f"--learn-from: {name}: {found}, expected the {goal.aggregate} of {goal.objectives[0]}")
        trials = folder.trials()
        trials = trials[(trials.state == TrialState.COMPLETE) & trials["value"].notna()]
        columns: dict[str, Any] = {}
        for parameter, distribution in space.distributions.items():
            values = [_plain(value) for value in trials.get(f"param.{parameter}", [None] * len(trials))]
            columns[parameter] = [value if within(value, distribution) else None for value in values]
        part = pd.DataFrame(columns, index=trials.index).assign(score=trials["value"])
        part = part[part[list(columns)].notna().any(axis=1)]
        if part.empty:
            found = "found no complete trial that shares a parameter, with a value in its range"
            raise InputError(f"--learn-from: {name}: {found}, expected some of {', '.join(space.distributions)}")
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def as_trials(table: pd.DataFrame, space: Space, seed: int) -> list[FrozenTrial]:
    """The rows of `prior` as Optuna's trials. What a row lacks is drawn at random, and so says nothing on average."""
    random = np.random.default_rng((seed, 2))
    made = []
    for place, row in enumerate(table.to_dict("records")):
        values = {
            name: _plain(row[name]) if not pd.isna(row[name]) else at(space.distributions[name], random.random())
            for name in space.distributions
        }
        trial = optuna.trial.create_trial(params=values, distributions=space.distributions, value=float(row["score"]))
        trial.number = place - len(table)  # older than any of the study's own
        made.append(trial)
    return made


def _study(name: str, out: Path, source: Source) -> tuple[StudyFolder, int | None]:
    path, colon, trial = name.rpartition(":")
    if not (colon and trial.isdigit()):
        path, trial = name, ""
    here = expanded(path)
    folder = load(here if (here / "manifest.json").is_file() else out / path, source if source.file else None)
    return folder, int(trial) if trial else None


def _point_of_file(space: Space, file: Path) -> Point:
    """A fixed setting's point: values that make the space's document equal to the file's."""
    document = read_document(file)
    values: dict[str, Value] = {}
    pairs = _pairs(space.template, document)
    places = [(slot, leaf) for _, slot, leaf in pairs if isinstance(slot, Slot) and leaf is not None]
    for slot, leaf in sorted(places, key=lambda place: bool(place[0].times or place[0].factor != 1)):
        text = str(leaf).removeprefix(slot.sign)
        value = leaf if not isinstance(leaf, str) else number(text)
        value = text if value is None else value
        if slot.parameter not in values and not slot.times:
            plain = isinstance(value, bool | str) or slot.factor == 1
            values[slot.parameter] = value if plain else cast(float, value) / slot.factor
        elif slot.times and slot.parameter not in values and slot.times in values:
            values[slot.parameter] = cast(float, value) / cast(float, values[slot.times])
    point = _expect_within(space, _as_declared(space, values), f"--start: {file}")
    made = Space(space.file, space.template, space.distributions, space.source).document(point)
    for where, ours, theirs in _pairs(made, document):
        if not _same(ours, theirs):
            raise InputError(f"--start: {file}: {where}: found {theirs!r}, expected {ours!r}, as in {space.file}")
    return point


def _as_declared(space: Space, values: Mapping[str, Value]) -> dict[str, Value]:
    """Values with the types of their ranges: a choice of words may look like a number."""
    declared = dict(values)
    for name, distribution in space.distributions.items():
        if isinstance(distribution, CategoricalDistribution) and name in declared:
            found = [choice for choice in distribution.choices if str(choice) == str(declared[name])]
            declared[name] = cast(Value, found[0]) if found else declared[name]
    return declared


def _expect_within(space: Space, values: Mapping[str, Any], where: str) -> Point:
    for name, distribution in space.distributions.items():
        if not within(values.get(name), distribution):
            found = "none" if values.get(name) is None else repr(values[name])
            raise InputError(f"{where}: {name}: found {found}, expected {described(distribution)}")
    return {name: values[name] for name in space.distributions}


def _pairs(ours: Any, theirs: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """The leaves of two documents, side by side; None where one has nothing. Titles and files' names do not count."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [key for key in {**ours, **theirs} if key not in ("title", "file", "experiment")]
        return [pair for key in keys for pair in _pairs(ours.get(key), theirs.get(key), f"{where}.{key}".strip("."))]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        sides = enumerate(zip(ours, theirs, strict=True))
        return [pair for place, (a, b) in sides for pair in _pairs(a, b, f"{where}.{place}")]
    return [(where, ours, theirs)]


def _same(ours: Any, theirs: Any) -> bool:
    numbers = [number(str(side).strip()) for side in (ours, theirs)]
    if None not in numbers and not isinstance(ours, bool):
        return math.isclose(*cast(list[float], numbers), rel_tol=CLOSE, abs_tol=1e-15)
    return bool(ours == theirs)


def _plain(value: Any) -> Any:
    """A table's value as a parameter has it."""
    return value.item() if isinstance(value, np.generic) else value
