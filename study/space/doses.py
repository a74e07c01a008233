"""What a schedule gave, not only how it was set: each property's dose, and when on average it was given."""

from __future__ import annotations

import math

import numpy as np

from anchoring.dopesheet import Dopesheet

RATE = "lr"
"""The property that is the learning rate: a weight acts in proportion to it."""


def doses(sheet: Dopesheet) -> dict[str, tuple[float, float]]:
    """The dose and the centroid of each property but the learning rate.

    The dose is the sum over training steps of value times learning rate (of the values, if the sheet has no learning
    rate). The centroid is the mean step, weighted by the dose that each step gives; NaN if the dose is 0.

    Args:
        sheet: a dopesheet. Its last row is where training ends: no step is taken with its values.

    Examples:
        >>> rows = [["STEP", "lr", "pull:linear:linear"], ["0", "0.5", "0"], ["2", "", "1"], ["4", "", "1"]]
        >>> doses(Dopesheet.parse(rows))
        {'pull': (1.25, 2.2)}
    """
    table = sheet.table()
    taken = slice(0, max(len(sheet) - 1, 1))
    rate = table.pop(RATE, np.ones(len(sheet)))[taken]
    found = {}
    for name, values in table.items():
        given = values[taken] * rate
        total = float(given.sum())
        centroid = float((given * np.arange(len(given))).sum() / total) if total else math.nan
        found[name] = (total, centroid)
    return found


def dose_columns(sheet: Dopesheet) -> dict[str, float]:
    """A trial's columns `dose.<property>` and `centroid.<property>`, from its dopesheet."""
    given = doses(sheet).items()
    return {f"dose.{name}": dose for name, (dose, _) in given} | {f"centroid.{name}": at for name, (_, at) in given}


def level(sheet: Dopesheet, name: str, kind: str) -> float:
    """The constant that stands for a property: its `peak`, its `mean`, or the one of the same `dose`.

    Examples:
        >>> rows = [["STEP", "lr", "pull:linear:linear"], ["0", "0.5", "0"], ["2", "", "1"], ["4", "", "1"]]
        >>> [level(Dopesheet.parse(rows), "pull", kind) for kind in ("peak", "mean", "dose")]
        [1.0, 0.625, 0.625]
    """
    table = sheet.table()
    values = table[name][: max(len(sheet) - 1, 1)]
    if kind == "peak":
        return float(values.max())
    rate = table.get(RATE, np.ones(len(sheet)))[: len(values)]
    if kind == "mean" or not rate.sum():
        return float(values.mean())
    return float((values * rate).sum() / rate.sum())
