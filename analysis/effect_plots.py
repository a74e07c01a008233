"""Figures of effects: the responses to parameters, their plateaus, and the pairs that interact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.effects import unit
from analysis.style import FAINT, INK, PALETTE, drawing, edges, interval, legend, panels, places, span
from study.record.trial_state import TrialState
from study.watch.live import format_value


def responses(
    trials: pd.DataFrame,
    distributions: Mapping[str, BaseDistribution],
    names: Sequence[str],
    curves: Mapping[str, Mapping[str, pd.DataFrame]],
    free: pd.DataFrame,
    best: pd.Series,
    value: str = "value",
    label: str = "score",
) -> Figure:
    """The trials' value against each named parameter, with curves and their bands.

    Complete trials are dots, others are crosses. The worst tenth of the trials may lie below the axis.

    Args:
        trials: the study's trials, each with its `value`.
        distributions: the ranges of the parameters.
        names: the parameters to draw, a panel each.
        curves: the `Responses.curves` of each set of trials, by the set's name.
        free: `effects.plateaus`, to be shaded.
        best: the row of one trial, to be marked.
        value: the column of the value.
        label: the label of the vertical axis.
    """
    figure, axes = panels(len(names), sharey=True)
    complete, style = trials.state == TrialState.COMPLETE, dict[str, Any]()
    for axis, name in zip(axes, names, strict=True):
        column, distribution = f"param.{name}", distributions[name]
        chosen = isinstance(distribution, CategoricalDistribution)
        span(axis, "x", distribution)
        if name in free.index and not chosen:
            axis.axvspan(
                free["low"][name], free["high"][name], color=PALETTE[4], alpha=0.2, linewidth=0, label="plateau"
            )
        x = places(trials[column], distribution).astype(float)
        if chosen:  # spread the trials of a choice
            x = x + np.random.default_rng(0).uniform(-0.15, 0.15, len(x))
        for state, shown, marker in (("complete", complete, "o"), ("stopped or diverged", ~complete, "x")):
            style = {"marker": marker, "s": 7, "color": FAINT, "alpha": 0.6, "linewidth": 0.7}
            axis.scatter(x[shown], trials[value][shown], label=state, **style)
        for (of, by_name), color in zip(curves.items(), PALETTE, strict=False):
            if name in by_name:
                _curve(axis, by_name[name], distribution, color, f"expected, {of}")
        at_best = places(pd.Series([best[column]]), distribution)
        style = {"color": PALETTE[4], "markeredgecolor": INK, "markersize": 6, "label": f"trial {best.trial}"}
        axis.plot(at_best, [best[value]], "D", **style)
        axis.set(xlabel=name)
    drawn = [by_name[name] for by_name in curves.values() for name in names if name in by_name]
    lowest = min([trials[value].quantile(0.1), *(curve["low"].min() for curve in drawn)])
    highest = max([trials[value].max(), *(curve["mean"].max() for curve in drawn)])
    margin = 0.06 * (highest - lowest) or 0.01
    axes[0].set_ylim(max(lowest, trials[value].min()) - margin, highest + margin)
    for axis in axes[::3]:
        axis.set_ylabel(label)
    legend(figure, axes[0])
    return figure


def _curve(axis: Axes, curve: pd.DataFrame, distribution: BaseDistribution, color: str, label: str) -> None:
    """Draw an expected value with its band, or with an error bar at each choice."""
    at = places(curve.index.to_series(), distribution).to_numpy(float)
    if isinstance(distribution, CategoricalDistribution):
        style: dict[str, Any] = {"marker": "_", "markersize": 16, "markeredgewidth": 2}
        interval(axis, "y", at, curve["mean"], curve["low"], curve["high"], color, label=label, **style)
    else:
        axis.fill_between(at, curve["low"], curve["high"], color=color, alpha=0.25, linewidth=0)
        axis.plot(at, curve["mean"], color=color, linewidth=2, label=label)


def costs(tables: Mapping[str, pd.DataFrame], label: str = "score") -> Figure:
    """What leaving each parameter's plateau costs, with 95% intervals, the dearest first.

    Args:
        tables: the `Responses.costs` of each set of trials, by the set's name. The first one gives the order.
        label: the name of the score.
    """
    names = list(dict.fromkeys(name for table in tables.values() for name in table.index))
    figure, axis = drawing(9, 1.2 + 0.36 * len(names))
    axis.axvline(0, color=INK, linewidth=0.8)
    for shift, ((of, table), color) in enumerate(zip(tables.items(), PALETTE, strict=False)):
        heights = [names.index(name) + 0.26 * (shift - (len(tables) - 1) / 2) for name in table.index]
        interval(axis, "x", heights, table["mean"], table["low"], table["high"], color, markersize=5, label=of)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel=f"{label} lost outside the plateau", ylim=(len(names) - 0.4, -0.6))
    axis.grid(axis="y", color=FAINT, alpha=0.3)
    legend(figure, axis)
    return figure


def plateaus(
    table: pd.DataFrame, trials: pd.DataFrame, distributions: Mapping[str, BaseDistribution], best: pd.Series
) -> Figure:
    """How far each parameter may move without loss.

    Args:
        table: `effects.plateaus`, a row per parameter.
        trials: the study's trials; the complete ones are drawn.
        distributions: the ranges of the parameters.
        best: the row of one trial, to be marked.
    """
    complete = trials[trials.state == TrialState.COMPLETE]
    figure, axis = drawing(9, 1.4 + 0.33 * len(table))
    bar = {"linewidth": 8, "solid_capstyle": "butt"}
    for height, (name, row) in enumerate(table.iterrows()):
        distribution = distributions[str(name)]
        choices = isinstance(distribution, CategoricalDistribution)
        values = row["choices"] if choices else [row["low"], row["high"]]
        kinds: dict[str, tuple[Any, dict[str, Any]]] = {
            "complete trials": (complete[f"param.{name}"], {"marker": "|", "color": FAINT, "alpha": 0.5}),
            "as good as the best": (values, {"marker": "s", "markersize": 8} if choices else bar),
            f"trial {best.trial}": (
                [best[f"param.{name}"]],
                {"marker": "D", "markeredgecolor": INK, "color": PALETTE[4]},
            ),
        }
        for label, (shown, style) in kinds.items():
            places = unit(pd.Series(shown), distribution)
            axis.plot(places, [height] * len(places), **{"color": PALETTE[0], "linewidth": 0, "label": label, **style})
        text = (", " if choices else " to ").join(format_value(value) for value in values)
        axis.text(1.04, height, text, va="center", color=INK, size=9)
    axis.set_yticks(range(len(table)), [str(name) for name in table.index])
    axis.set(xlim=(-0.03, 1.03), ylim=(len(table) - 0.4, -0.6))
    axis.set_xlabel("place in the parameter's range, 0 to 1; on a logarithmic scale if it is searched so")
    legend(figure, axis)
    return figure


def interaction(
    surface: pd.DataFrame,
    trials: pd.DataFrame,
    distributions: Mapping[str, BaseDistribution],
    value: str = "value",
    label: str = "score",
) -> Figure:
    """What a forest expects over two parameters (`effects.surface`), with the complete trials in the same colours."""
    first, second = str(surface.columns.name), str(surface.index.name)
    x, y = distributions[first], distributions[second]
    figure = Figure(figsize=(6.5, 4.8), layout="constrained")
    axis = figure.subplots()
    colors: dict[str, Any] = {"cmap": "cividis", "vmin": surface.min(axis=None), "vmax": trials[value].max()}
    mesh = axis.pcolormesh(edges(x, surface.shape[1]), edges(y, surface.shape[0]), surface.to_numpy(), **colors)
    shown = trials[trials.state == TrialState.COMPLETE]
    across, up = places(shown[f"param.{first}"], x), places(shown[f"param.{second}"], y)
    axis.scatter(across, up, c=shown[value], s=9, linewidths=0.2, edgecolors="white", **colors)
    span(axis, "x", x)
    span(axis, "y", y)
    axis.set(xlabel=first, ylabel=second)
    figure.colorbar(mesh, label=label, extend="min")
    return figure
