"""Settings that a study tries first, in the order of a list: a survey's plan, what a user starts from, a whole grid."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from anchoring.errors import InputError
from study.search.plan import Plan
from study.space.ranges import Value, described, within
from study.space.space import Space, at

SOBOL, LISTED, GRID, STARTED = "sobol", "list", "grid", "start"
"""Where a study's list comes from, as its manifest says: Sobol' points, a user's file, every setting there is, or
settings that come before those which the sampler proposes."""

NAME = "points.csv"
"""The list in a study's folder."""

Point = Mapping[str, Value]
"""A value for each parameter of a space, by name."""

LARGEST_GRID = 10_000


def sobol(space: Space, n: int, seed: int) -> list[Point]:
    """The first n points of a scrambled Sobol' sequence in a space, evenly spread on the scales of its ranges.

    The first points of a longer sequence of the same seed are the same.
    """
    from scipy.stats import qmc  # half a second

    sequence = qmc.Sobol(len(space.distributions), scramble=True, rng=np.random.default_rng(seed))
    shares = sequence.random_base2(math.ceil(math.log2(max(n, 1))))[:n]
    names = space.distributions.items()
    return [{name: at(d, share) for (name, d), share in zip(names, row, strict=True)} for row in shares.tolist()]


def settings_in(space: Space) -> int | None:
    """How many settings a space has, if it is finite and has at most 10,000."""
    sizes = [_size(distribution) for distribution in space.distributions.values()]
    return found if all(sizes) and (found := math.prod(cast(list[int], sizes))) <= LARGEST_GRID else None


def grid(space: Space, seed: int) -> list[Point]:
    """Every setting of a finite space, in random order."""
    options = [_options(distribution) for distribution in space.distributions.values()]
    every = [dict(zip(space.distributions, values, strict=True)) for values in itertools.product(*options)]
    return [every[place] for place in np.random.default_rng(seed).permutation(len(every))]


def as_csv(points: Sequence[Point], space: Space) -> str:
    """Points as CSV: a column for each parameter, a row for each point. No digit is lost."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(space.distributions)
    rows.writerows([_written(point[name]) for name in space.distributions] for point in points)
    return text.getvalue()


def read(path: Path, space: Space) -> list[Point]:
    """Read what `as_csv` wrote, or a person. Columns may have any order.

    Raises:
        InputError: if a column is missing or unknown, a value is not in its range, or the setting is not valid. The
            message starts with the file, the row and the column.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}), expected CSV (`study survey --plan` writes it)") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    if sorted(header) != sorted(space.distributions):
        found, expected = ", ".join(header) or "nothing", ", ".join(space.distributions)
        raise InputError(f"{path}: row 1: found the columns {found}, expected those of {space.file}: {expected}")
    points: list[Point] = []
    for number, row in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in row):
            if len(row) != len(header):
                raise InputError(f"{path}: row {number}: found {len(row)} cells, expected {len(header)}")
            point = {
                name: _value(cell.strip(), space.distributions[name], f"{path}: row {number}, column {name}")
                for name, cell in zip(header, row, strict=True)
            }
            points.append({name: point[name] for name in space.distributions})
            try:
                space.setting(points[-1])
            except InputError as error:
                raise InputError(f"{path}: row {number}: {error}") from None
    if not points:
        raise InputError(f"{path}: found no row, expected one for each setting")
    return points


def grown(points: list[Point], origin: str, plan: Plan, space: Space) -> list[Point]:
    """A study's list, as long as its plan asks for. Raises InputError if the list cannot grow."""
    if origin == STARTED or plan.trials is None or plan.trials <= len(points):
        return points
    if origin == SOBOL:
        return sobol(space, plan.trials, plan.seed)
    kind = "its list has" if origin == LISTED else "its space has"
    raise InputError(f"--trials: found {plan.trials}, expected at most {len(points)}: {kind} no more settings")


def enqueue(search: optuna.Study, points: Iterable[Point]) -> None:
    """Make a search try points first, in their order, unless it has asked for them before."""
    known = sum("point" in trial.user_attrs for trial in search.get_trials(deepcopy=False))
    for number, point in enumerate(itertools.islice(points, known, None), start=known):
        search.enqueue_trial(dict(point), user_attrs={"point": number})


def _size(distribution: BaseDistribution) -> int | None:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    return distribution.high - distribution.low + 1 if isinstance(distribution, IntDistribution) else None


def _options(distribution: BaseDistribution) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, IntDistribution)
    return range(distribution.low, distribution.high + 1)


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(cell: str, distribution: BaseDistribution, where: str) -> Value:
    """The value of a range that a cell says."""
    value: Any = cell
    if isinstance(distribution, CategoricalDistribution):
        value = next((choice for choice in distribution.choices if _written(cast(Value, choice)) == cell), cell)
    else:
        kind = float if isinstance(distribution, FloatDistribution) else int
        with suppress(ValueError):
            value = kind(cell)
    if not within(value, distribution):
        raise InputError(f"{where}: found {cell!r}, expected {described(distribution)}")
    return cast(Value, value)
