"""The figures of what matters: responses to parameters, how free these are and what goes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.effects import unit
from analysis.style import FAINT, INK, PALETTE, edges, legend, panels, places, plain, span
from study.live import format_value


def responses(
    trials: pd.DataFrame,
    distributions: Mapping[str, BaseDistribution],
    names: Sequence[str],
    curves: Mapping[str, pd.DataFrame],
    free: pd.DataFrame,
    value: str = "value",
    label: str = "isolation",
) -> Figure:
    """The value of trials that were trained to the end against each named parameter, with the curve of `Responses` and
    its band, the plateau shaded (a row of `effects.plateaus`), and the best trial. The worst tenth may lie below."""
    figure, axes = panels(len(names), sharey=True)
    best = trials.loc[trials[value].idxmax()]
    for axis, name in zip(axes, names, strict=True):
        column, distribution = f"param.{name}", distributions[name]
        chosen = isinstance(distribution, CategoricalDistribution)
        span(axis, "x", distribution)
        if name in free.index and not chosen:
            axis.axvspan(
                free["low"][name], free["high"][name], color=PALETTE[2], alpha=0.12, linewidth=0, label="plateau"
            )
        x = places(trials[column], distribution).astype(float)
        if chosen:  # side by side
            x += np.random.default_rng(0).uniform(-0.15, 0.15, len(x))
        axis.scatter(x, trials[value], s=7, color=FAINT, alpha=0.6, linewidth=0, label="a trial")
        if name in curves:
            curve = curves[name]
            at = places(curve.index.to_series(), distribution).to_numpy(float)
            if chosen:
                ends = [curve["mean"] - curve["low"], curve["high"] - curve["mean"]]
                style = {"fmt": "_", "markersize": 16, "markeredgewidth": 2, "capsize": 4}
                axis.errorbar(at, curve["mean"], yerr=ends, color=PALETTE[0], **style)
            else:
                axis.fill_between(at, curve["low"], curve["high"], color=PALETTE[0], alpha=0.25, linewidth=0)
                axis.plot(at, curve["mean"], color=PALETTE[0], linewidth=2, label="expected, with 95% interval")
        at_best = places(pd.Series([best[column]]), distribution)
        axis.plot(
            at_best, [best[value]], "D", color=PALETTE[4], markeredgecolor=INK, markersize=6, label="the best trial"
        )
        axis.set(xlabel=name)
    shown = [trials[value].quantile(0.1), *(curves[name]["low"].min() for name in names if name in curves)]
    lowest, highest = max(min(shown), trials[value].min()), trials[value].max()
    margin = 0.06 * (highest - lowest) or 0.01
    axes[0].set_ylim(lowest - margin, highest + margin)
    for axis in axes[::3]:
        axis.set_ylabel(label)
    legend(figure, axes[0])
    return figure


def costs(table: pd.DataFrame, label: str = "isolation") -> Figure:
    """What leaving each parameter's plateau costs, with its 95% interval: a row of `Responses.costs` each."""
    figure = Figure(figsize=(9, 1.1 + 0.3 * len(table)), layout="constrained")
    axis = figure.subplots()
    heights = np.arange(len(table))
    sure = ((table["low"] > 0) | (table["high"] < 0)).to_numpy()
    axis.axvline(0, color=INK, linewidth=0.8)
    for chosen, color, text in ((sure, PALETTE[0], "surely not 0"), (~sure, FAINT, "may be 0")):
        part = table[chosen]
        ends = [part["mean"] - part["low"], part["high"] - part["mean"]]
        axis.errorbar(part["mean"], heights[chosen], xerr=ends, fmt="o", color=color, capsize=3, label=text)
    axis.set_yticks(heights, [str(name) for name in table.index])
    axis.set(xlabel=f"{label} lost outside the plateau", ylim=(len(table) - 0.5, -0.5))
    legend(figure, axis)
    plain(axis)
    return figure


def plateaus(table: pd.DataFrame, trials: pd.DataFrame, distributions: Mapping[str, BaseDistribution]) -> Figure:
    """How far each parameter may go for free, a row each of `effects.plateaus`, and where the complete trials were."""
    complete = trials[trials.state == "complete"]
    figure = Figure(figsize=(9, 1.4 + 0.33 * len(table)), layout="constrained")
    axis = figure.subplots()
    bar = {"linewidth": 8, "solid_capstyle": "butt"}
    for height, (name, row) in enumerate(table.iterrows()):
        distribution = distributions[str(name)]
        choices = isinstance(distribution, CategoricalDistribution)
        values = row["choices"] if choices else [row["low"], row["high"]]
        kinds: dict[str, tuple[Any, dict[str, Any]]] = {
            "as good as the best": (values, {"marker": "s", "markersize": 8} if choices else bar),
            "complete trials": (complete[f"param.{name}"], {"marker": "|", "color": INK}),
            "the best trial": ([row["best"]], {"marker": "D", "markeredgecolor": INK, "color": PALETTE[4]}),
        }
        for label, (shown, style) in kinds.items():
            places = unit(pd.Series(shown), distribution)
            axis.plot(places, [height] * len(places), **{"color": PALETTE[0], "linewidth": 0, "label": label, **style})
        text = (", " if choices else " to ").join(format_value(value) for value in values)
        axis.text(1.04, height, text, va="center", color=INK, size=9)
    axis.set_yticks(range(len(table)), [str(name) for name in table.index])
    axis.set(xlim=(-0.03, 1.03), ylim=(len(table) - 0.4, -0.6))
    axis.set_xlabel("place in the parameter's range, 0 to 1; of its logarithms, if it is searched by them")
    legend(figure, axis)
    plain(axis)
    return figure


def interaction(
    surface: pd.DataFrame,
    trials: pd.DataFrame,
    distributions: Mapping[str, BaseDistribution],
    value: str = "value",
    label: str = "isolation, mean over replicas",
) -> Figure:
    """What a forest expects over two parameters (`effects.surface`), under the trials, which have their own colours."""
    first, second = str(surface.columns.name), str(surface.index.name)
    x, y = distributions[first], distributions[second]
    figure = Figure(figsize=(6.5, 4.8), layout="constrained")
    axis = figure.subplots()
    colors: dict[str, Any] = {"cmap": "cividis", "vmin": surface.min(axis=None), "vmax": trials[value].max()}
    mesh = axis.pcolormesh(edges(x, surface.shape[1]), edges(y, surface.shape[0]), surface.to_numpy(), **colors)
    complete = trials.state == "complete"
    for name, shown, marker in (("complete", trials[complete], "o"), ("other", trials[~complete], "X")):
        if len(shown):
            across, up = places(shown[f"param.{first}"], x), places(shown[f"param.{second}"], y)
            style: dict[str, Any] = {"marker": marker, "s": 40, "edgecolors": "white", "label": f"{name} trials"}
            axis.scatter(across, up, c=shown[value], **style, **colors)
    span(axis, "x", x)
    span(axis, "y", y)
    axis.set(xlabel=first, ylabel=second)
    figure.colorbar(mesh, label=label, extend="min")
    legend(figure, axis)
    return figure
