"""The figures that the notebooks share. Each takes a study's data and returns a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution

from excolor import Setting

# Okabe and Ito's palette, which colour-blind readers can tell apart; grays are for what is not the point
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
INK, FAINT = "#222222", "#B0B0B0"


def schedules(settings: Mapping[str, Setting], reference: Setting | None = None) -> Figure:
    """Every property of the settings' dopesheets over the steps, keyframes marked; the reference dashed in black."""
    labelled = {name: (setting, color) for (name, setting), color in zip(settings.items(), PALETTE, strict=False)}
    names = list(dict.fromkeys(p.name for setting in settings.values() for p in setting.schedule.properties))
    figure, axes = _panels(len(names))
    for axis, name in zip(axes, names, strict=True):
        for label, (setting, color) in labelled.items():
            _schedule_line(axis, setting, name, label=label, color=color, linewidth=1.6)
        if reference is not None:
            _schedule_line(axis, reference, name, label="the seed's", color=INK, linewidth=1.6, linestyle="--")
        axis.set(title="learning rate" if name == "lr" else f"weight of {name}", xlabel="step", yscale="log")
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.yaxis.set_major_locator(LogLocator(numticks=4))
        if name == "lr":
            axis.set_ylim(bottom=1e-4)
        _mark_phases(axis, next(iter(settings.values())))
    _legend(figure, axes[0])
    return figure


def learning_curves(trials: pd.DataFrame, replicas: pd.DataFrame, best: Sequence[int]) -> Figure:
    """Mean isolation of every trial at its rungs: the best in colour, other complete ones dark, stopped ones faint."""
    curves = replicas.groupby(["trial", "step"]).isolation.mean().unstack("trial")
    states = trials.set_index("trial").state
    figure = Figure(figsize=(9, 4), layout="constrained")
    axis = figure.subplots()
    for other in curves.columns.difference(list(best)):
        complete = states[other] == "complete"
        axis.plot(curves[other].dropna(), color=INK if complete else FAINT, alpha=0.5, linewidth=0.8)
        if not complete:
            last = curves[other].dropna()
            axis.plot(last.index[-1], last.iloc[-1], "x", color=FAINT, markersize=5)
    for trial, color in zip(best, PALETTE, strict=False):
        axis.plot(curves[trial].dropna(), color=color, linewidth=2, marker="o", markersize=4, label=f"trial {trial}")
    axis.plot([], [], color=INK, alpha=0.5, linewidth=0.8, label="other complete trials")
    axis.plot([], [], color=FAINT, marker="x", linewidth=0.8, label="stopped early")
    axis.set(xlabel="step", ylabel="isolation, mean over replicas", ylim=(0, 1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    plain(axis)
    return figure


def responses(trials: pd.DataFrame, distributions: Mapping[str, BaseDistribution], names: Sequence[str]) -> Figure:
    """Isolation against each named parameter: complete trials with their replicas' sd, others as faint crosses."""
    figure, axes = _panels(len(names), sharey=True)
    complete, others = trials[trials.state == "complete"], trials[trials.state != "complete"]
    for axis, name in zip(axes, names, strict=True):
        column, distribution = f"param.{name}", distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            axis.set_xticks(range(len(distribution.choices)), [str(choice) for choice in distribution.choices])
            axis.set_xlim(-0.5, len(distribution.choices) - 0.5)
        elif getattr(distribution, "log", False):
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.xaxis.set_major_locator(LogLocator(numticks=4))
        axis.plot(_places(others[column], distribution), others["isolation.mean"], "x", color=FAINT, markersize=4)
        axis.errorbar(
            _places(complete[column], distribution),
            complete["isolation.mean"],
            complete["isolation.sd"],
            fmt="o",
            color=PALETTE[0],
            markersize=4,
            elinewidth=0.8,
        )
        axis.set(xlabel=name, ylim=(0, 1))
    axes[0].set_ylabel("isolation")
    return figure


def _places(values: pd.Series, distribution: BaseDistribution) -> pd.Series:
    """Where values of a parameter are on an axis: choices at their index."""
    if isinstance(distribution, CategoricalDistribution):
        return values.map({choice: place for place, choice in enumerate(distribution.choices)})
    return values


def _schedule_line(axis: Axes, setting: Setting, name: str, **style: Any) -> None:
    for column in setting.schedule.properties:
        if column.name == name:
            values = np.where((table := column.tabulate(len(setting.schedule))) > 0, table, np.nan)
            (line,) = axis.plot(values, **style)
            keys = [(step, value) for step, value in zip(column.steps, column.values, strict=True) if value > 0]
            axis.plot([step for step, _ in keys], [key for _, key in keys], "o", color=line.get_color(), markersize=4)


def _mark_phases(axis: Axes, setting: Setting) -> None:
    """A faint line where each phase but the first begins, with its name."""
    for row in setting.schedule.rows:
        if row.phase and row.step:
            axis.axvline(row.step, color=FAINT, linewidth=0.8, zorder=0)
            axis.text(
                row.step, 0.99, f" {row.phase}", transform=axis.get_xaxis_transform(), va="top", color=INK, size=8
            )


def _panels(count: int, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, three in a row."""
    rows, columns = -(-count // 3), min(count, 3)
    figure = Figure(figsize=(3.6 * columns, 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey).flatten()
    for axis in grid[count:]:
        axis.remove()
    for axis in grid[:count]:
        plain(axis)
    return figure, list(grid[:count])


def plain(axis: Axes) -> None:
    """Only the axes that are read."""
    axis.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
