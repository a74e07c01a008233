"""Dopesheets: tables of keyframes that say how the learning rate and the regularizers' weights move over training.

The columns STEP, PHASE and ACTION are reserved. Each other column is a property, `name[:space[:timing]]`, which moves
from one key to the next. A STEP is absolute (`1000`), an offset from the nearest absolute row before or after it
(`+10`, `-10`), or a fraction of the gap between the absolute rows around it (`+0.5`, `-0.25`).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from anchoring.errors import InputError
from anchoring.motion import TIMINGS, Motion

RESERVED = ("STEP", "PHASE", "ACTION")
LAST_STEP = 10_000_000  # tables hold a value for every step, so a typo could fill the memory

SPACES = ("linear", "log")


@dataclass(frozen=True)
class Property:
    """One column: its keys, and how it moves between them."""

    name: str
    space: str
    timing: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.space not in SPACES or self.timing not in TIMINGS:
            raise ValueError(f"{self.name}: found {self.space}:{self.timing}, expected {SPACES} and {TIMINGS}")

    def motion(self, step: int) -> tuple[int, Motion]:
        """The step at which the transition under way at `step` began, and the transition, in the property's space."""
        known = self._known()
        i = bisect_right(self.steps, step) - 1
        if i < 0:
            return step, Motion(known[0], known[0], 0, self.timing)
        end = min(i + 1, len(self.steps) - 1)
        return self.steps[i], Motion(known[i], known[end], self.steps[end] - self.steps[i], self.timing)

    def tabulate(self, length: int) -> np.ndarray:
        """The value at each step from 0 to length - 1: [length].

        Before the first key it is the first key's value, and after the last key the last one's.
        """
        table = np.full(length, self._known()[0])
        for start, end in zip(self.steps, [*self.steps[1:], length], strict=True):
            table[start:end] = self.motion(start)[1].values(np.arange(end - start))[: max(length - start, 0)]
        return self.from_space(table)

    def to_space(self, values: np.ndarray | float) -> np.ndarray:
        """Convert values to the space in which they are interpolated: in log space, ln(max(v, 1e-10))."""
        return np.log(np.maximum(values, 1e-10)) if self.space == "log" else np.asarray(values)

    def from_space(self, values: np.ndarray) -> np.ndarray:
        """Convert interpolated values back."""
        return np.exp(values) if self.space == "log" else values

    def _known(self) -> np.ndarray:
        return self.to_space(np.asarray(self.values))


@dataclass(frozen=True)
class Row:
    """A row of the sheet, with its STEP resolved. Rows are sorted by step."""

    step: int
    phase: str
    actions: tuple[str, ...]


@dataclass(frozen=True)
class Dopesheet:
    """A parsed sheet. `text` has its cells as they were written, header first.

    Examples:
        >>> sheet = Dopesheet.parse([["STEP", "lr:linear:linear"], ["0", "0"], ["+0.5", "0.1"], ["4", ""]])
        >>> sheet.table()["lr"].tolist()
        [0.0, 0.05, 0.1, 0.1, 0.1]
    """

    rows: tuple[Row, ...]
    properties: tuple[Property, ...]
    text: tuple[tuple[str, ...], ...] = field(repr=False)
    file: str = field(default="dopesheet", compare=False)

    def __len__(self) -> int:
        """How many steps a training by this sheet has: from 0 to the last row's step, inclusive."""
        return self.rows[-1].step + 1

    def table(self) -> dict[str, np.ndarray]:
        """Every property's value at every step: name to [steps]."""
        return {p.name: p.tabulate(len(self)) for p in self.properties}

    def phase(self, step: int) -> str:
        """The phase of a step: the one that was named last, in a row at or before the step."""
        return next((row.phase for row in reversed(self.rows) if row.step <= step and row.phase), "")

    def actions(self) -> dict[int, tuple[str, ...]]:
        """The actions by step, for each step that has any."""
        found: dict[int, tuple[str, ...]] = {}
        for row in self.rows:
            if row.actions:
                found[row.step] = found.get(row.step, ()) + row.actions
        return found

    @classmethod
    def parse(cls, text: Sequence[Sequence[str]], file: str = "dopesheet") -> Dopesheet:
        """Read the cells of a sheet.

        Args:
            text: rows of cells, the header first.
            file: the name that messages start with.

        Raises:
            InputError: the sheet is wrong. The message names file, row and column; rows count from 1, the header.
        """
        header, *body = [[cell.strip() for cell in row] for row in text] or [[]]
        for number, row in enumerate([header, *body], start=1):
            if odd := [cell for cell in row if not cell.isprintable()]:
                raise InputError(f"{file}: row {number}: found {odd[0]!r}, expected printable text")
        columns = _columns(header, file)
        numbered = [(number, row) for number, row in enumerate(body, start=2) if any(row)]
        for number, row in numbered:
            if len(row) != len(header):
                raise InputError(
                    f"{file}: row {number}: found {len(row)} cells, expected {len(header)} "
                    "(a range needs quotes, since it has commas)"
                )
        if not numbered:
            raise InputError(f"{file}: found no rows below the header, expected at least one")
        steps = resolve_steps([row[header.index("STEP")] for _, row in numbered], file, [n for n, _ in numbered])
        ordered = sorted(zip(steps, numbered, strict=True), key=lambda pair: pair[0])

        def cell(row: list[str], column: str) -> str:
            return row[header.index(column)] if column in header else ""

        rows = tuple(
            Row(step, cell(row, "PHASE"), tuple(a.strip() for a in cell(row, "ACTION").split(",") if a.strip()))
            for step, (_, row) in ordered
        )
        properties = []
        for index, (name, space, timing) in columns.items():
            keys = {}  # if several rows have one step, the last row wins
            for step, (number, row) in ordered:
                if row[index]:
                    keys[step] = _number(row[index], f"{file}: row {number}, column {name}")
            if not keys:
                raise InputError(
                    f"{file}: column {name}: found no values, expected at least one (or leave the column out)"
                )
            properties.append(Property(name, space, timing, tuple(keys), tuple(keys.values())))
        return cls(rows, tuple(properties), tuple(tuple(row) for row in text), file)


def resolve_steps(cells: Sequence[str], file: str = "dopesheet", numbers: Sequence[int] | None = None) -> list[int]:
    """The absolute steps of a STEP column, in the column's order.

    Relative steps count from absolute rows only. Fractions are of the gap around them, rounded half to even.
    """
    numbers = numbers or range(2, len(cells) + 2)
    absolute = [int(cell) if re.fullmatch(r"\d{1,15}", cell) else None for cell in cells]
    befores = list(accumulate(absolute, _last))
    afters = list(accumulate(reversed(absolute), _last))[::-1]
    resolved = []
    for cell, number, here, before, after in zip(cells, numbers, absolute, befores, afters, strict=True):
        where = f"{file}: row {number}, column STEP: found {cell!r}, expected "
        if here is not None:
            step = here
        elif re.fullmatch(r"[+-]\d{1,15}", cell):
            start = before if cell[0] == "+" else after
            if start is None:
                raise InputError(f"{where}a row {'above' if cell[0] == '+' else 'below'} with an absolute step")
            step = start + int(cell)
        else:
            if not re.fullmatch(r"[+-](\d*\.\d+|\d+\.)(e-?\d{1,3})?", cell) or not 0 < abs(float(cell)) < 1:
                raise InputError(f"{where}a step (1000), an offset (+10, -10) or a fraction between 0 and 1 (+0.5)")
            if before is None or after is None:
                raise InputError(f"{where}rows above and below with absolute steps")
            step = round((before if cell[0] == "+" else after) + float(cell) * (after - before))
        if not 0 <= step <= LAST_STEP:
            raise InputError(f"{where}a step from 0 to {LAST_STEP:,}: this is step {step:,}")
        resolved.append(step)
    return resolved


def rescale(text: Sequence[Sequence[str]], length: int, file: str = "dopesheet") -> list[list[str]]:
    """Stretch or shrink a sheet to `length` steps, by scaling its absolute steps and whole offsets.

    Raises InputError if the sheet is wrong, or if rounding makes that length impossible.
    """
    before = len(Dopesheet.parse(text, file))
    scale = (length - 1) / max(before - 1, 1)
    rows = [list(row) for row in text]
    column = [cell.strip() for cell in rows[0]].index("STEP")
    for row in rows[1:]:
        match = re.fullmatch(r"\s*([+-]?)(\d+)\s*", row[column]) if any(row) else None
        if match:
            row[column] = match[1] + str(max(round(int(match[2]) * scale), 1 if match[1] else 0))
    after = len(Dopesheet.parse(rows, file))
    if after != length:
        raise InputError(
            f"{file}: found {before} steps, which can be rescaled to {after}, expected {length}: ask for another number"
        )
    return rows


def _columns(header: list[str], file: str) -> dict[int, tuple[str, str, str]]:
    """The name, space and timing of each property's column, by the column's index."""
    if "STEP" not in header:
        raise InputError(f"{file}: row 1: found no column STEP, expected a header such as STEP,PHASE,ACTION,lr")
    columns = {}
    for index, cell in enumerate(header):
        if cell in RESERVED:
            continue
        name, space, timing, *more = [*cell.split(":"), "", ""]
        space, timing = space or "linear", timing or "minjerk"
        where = f"{file}: row 1, column {cell or index + 1}: found "
        if not name or any(more):
            raise InputError(f"{where}{cell!r}, expected name, name:space or name:space:timing")
        if space not in SPACES:
            raise InputError(f"{where}space {space!r}, expected one of {', '.join(SPACES)}")
        if timing not in TIMINGS:
            raise InputError(f"{where}timing {timing!r}, expected one of {', '.join(TIMINGS)}")
        columns[index] = (name, space, timing)
    names = [name for name, _, _ in columns.values()] + [cell for cell in header if cell in RESERVED]
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{file}: row 1: found column {name} twice, expected it once")
    return columns


def _last(before: int | None, step: int | None) -> int | None:
    return before if step is None else step


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: found {cell!r}, expected a number")
    return number
