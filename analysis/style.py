"""How figures look: colours, panels, and axes of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution

# Okabe and Ito's palette, which colour-blind readers can tell apart; grays are for the background
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
INK, FAINT = "#222222", "#B0B0B0"


def panels(count: int, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, three in a row."""
    rows, columns = -(-count // 3), min(count, 3)
    figure = Figure(figsize=(3.6 * columns, 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey).flatten()
    for axis in grid[count:]:
        axis.remove()
    for axis in grid[:count]:
        plain(axis)
    return figure, list(grid[:count])


def drawing(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one panel, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    plain(axis)
    return figure, axis


def plain(axis: Axes) -> None:
    """Hide the top and right edges."""
    axis.spines[["top", "right"]].set_visible(False)


def legend(figure: Figure, axis: Axes) -> None:
    """Put one legend below the figure, with each label of an axis once, in as many columns as fit."""
    once = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    widest = 0.7 + 0.08 * max(map(len, once))  # inches
    columns = max(1, min(len(once), int(figure.get_figwidth() / widest)))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=columns, frameon=False)


def interval(
    axis: Axes, letter: str, at: Any, estimate: Any, low: Any, high: Any, color: str, marker: str = "o", **style: Any
) -> None:
    """Draw estimates with their intervals along "x" or "y". A bootstrap's interval need not hold its estimate."""
    middle, bar = (low + high) / 2, {f"{letter}err": (high - low) / 2, "fmt": "none", "ecolor": color, "capsize": 4}
    if letter == "x":
        axis.errorbar(middle, at, **bar)
        axis.plot(estimate, at, marker, color=color, **style)
    else:
        axis.errorbar(at, middle, **bar)
        axis.plot(at, estimate, marker, color=color, **style)


def span(axis: Axes, letter: str, distribution: Any) -> None:
    """Make "x" or "y" the axis of a parameter: logarithmic if it is searched so, or with a tick for each choice."""
    if isinstance(distribution, CategoricalDistribution):
        names = [str(choice) for choice in distribution.choices]
        axis.set(**{f"{letter}ticks": range(len(names)), f"{letter}ticklabels": names})
        axis.set(**{f"{letter}lim": (-0.5, len(names) - 0.5)})
    elif getattr(distribution, "log", False):
        axis.set(**{f"{letter}scale": "log", f"{letter}lim": (distribution.low / 1.1, distribution.high * 1.1)})
        log_ticks(axis, letter)


def log_ticks(axis: Axes, letter: str) -> None:
    """Set few and plain ticks on a logarithmic axis with known limits: powers of ten, or 1, 2 and 5 times them."""
    ticks = axis.xaxis if letter == "x" else axis.yaxis
    ticks.set_minor_formatter(NullFormatter())
    low, high = ticks.get_view_interval()
    if high < 100 * low:
        ticks.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ticks.set_major_formatter("{x:g}")
    else:
        ticks.set_major_locator(LogLocator(numticks=4))


def places(values: pd.Series, distribution: BaseDistribution) -> pd.Series:
    """The places of a parameter's values on its axis: a choice is at its index."""
    if isinstance(distribution, CategoricalDistribution):
        return values.map({choice: place for place, choice in enumerate(distribution.choices)})
    return values


def edges(distribution: Any, cells: int) -> np.ndarray:
    """The edges of cells that divide a parameter's range evenly, on the scale on which it is searched."""
    if isinstance(distribution, CategoricalDistribution):
        return np.arange(cells + 1) - 0.5
    spaced = np.geomspace if getattr(distribution, "log", False) else np.linspace
    return spaced(distribution.low, distribution.high, cells + 1)
