"""Figures of a map: where requirements are kept, how free the parameters are, and what margins cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from analysis.maps import Map, fails, panel
from analysis.style import FAINT, INK, PALETTE, drawing, edges, panels, places, plain, span

MARKERS = ("x", "+", "1", "2", "3")
FEASIBLE = "keeps all"


def regions(known: Map, names: Sequence[str], marked: Mapping[str, int]) -> Figure:
    """Each pair of parameters: the probability that all requirements are kept, with the trials and what each misses.

    What no trial is near is left blank.

    Args:
        known: the map.
        names: the parameters, at most four.
        marked: trials to mark, by their labels.
    """
    pairs = list(combinations(names, 2))
    figure, axes = panels(len(pairs))
    missed = fails(known)
    seen = [name for name in known.inside if (missed == name).any()]
    for axis, pair in zip(axes, pairs, strict=True):
        likely, covered = panel(known, pair)
        first, second = (known.distributions[name] for name in pair)
        cells = edges(first, likely.shape[1]), edges(second, likely.shape[0])
        axis.pcolormesh(*cells, np.where(covered, likely, np.nan), cmap="Blues", vmin=0, vmax=1, shading="flat")
        span(axis, "x", first)
        span(axis, "y", second)
        x, y = (_spread(known, name) for name in pair)
        for place, name in enumerate(seen):
            there = missed == name
            style: dict[str, Any] = {"s": 14, "color": PALETTE[(place + 1) % 5], "linewidth": 0.9, "alpha": 0.8}
            axis.scatter(x[there], y[there], marker=MARKERS[place % 5], label=f"misses {name}", **style)
        there = missed == ""
        axis.scatter(x[there], y[there], s=16, color="white", edgecolor=INK, linewidth=0.8, label=FEASIBLE, zorder=3)
        _mark(axis, known, pair, marked)
        axis.set(xlabel=pair[0], ylabel=pair[1])
    _legend_and_bar(figure, axes)
    return figure


def _spread(known: Map, name: str) -> pd.Series:
    """The trials' places on a parameter's axis; those of one choice beside each other."""
    distribution = known.distributions[name]
    x = places(known.trials[f"param.{name}"], distribution).astype(float)
    return x + np.random.default_rng(0).uniform(-0.3, 0.3, len(x)) * hasattr(distribution, "choices")


def _mark(axis: Axes, known: Map, pair: tuple[str, str], marked: Mapping[str, int]) -> None:
    for (label, trial), marker in zip(marked.items(), "Ds*", strict=False):
        row = known.trials.loc[[trial]]
        x, y = (places(row[f"param.{name}"], known.distributions[name]) for name in pair)
        style: dict[str, Any] = {"color": PALETTE[4], "markeredgecolor": INK, "markersize": 8, "zorder": 4}
        axis.plot(x, y, marker, linestyle="none", label=f"{label} (trial {trial})", **style)


def _legend_and_bar(figure: Figure, axes: Sequence[Axes]) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    columns = max(1, min(len(labels), int(figure.get_figwidth() / 2.8)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    scale = ScalarMappable(cmap="Blues")
    scale.set_clim(0, 1)
    figure.colorbar(scale, ax=list(axes), label="probability that all are kept", shrink=0.8, aspect=30)


def freedoms(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """How far each parameter may move by itself, from each of some settings, and what ends it there.

    Args:
        tables: `maps.freedom` from each setting, by its label.
    """
    names = list(dict.fromkeys(name for table in tables.values() for name in table.index))
    figure, axis = drawing(9, 1.4 + 0.5 * len(names))
    height = 0.7 / max(len(tables), 1)
    for shift, ((label, table), color) in enumerate(zip(tables.items(), (PALETTE[0], PALETTE[2]), strict=False)):
        for name, row in table.iterrows():
            place = names.index(str(name)) + (shift - (len(tables) - 1) / 2) * height
            axis.barh(place, row.high - row.low, left=row.low, height=height * 0.85, color=color, alpha=0.45)
            axis.plot(row["at"], place, "D", color=color, markersize=5, markeredgecolor="white")
            for end, side, of in ((row.low, "right", row.below), (row.high, "left", row.above)):
                if of:
                    nudge = -0.006 if side == "right" else 0.006
                    axis.text(end + nudge, place, of, ha=side, va="center", size=7, color=INK)
        axis.barh([0], [0], color=color, alpha=0.45, label=f"from {label}")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlim=(-0.3, 1.3), xticks=[0, 0.5, 1], xticklabels=["lower end", "middle", "upper end"])
    axis.set(xlabel="place in the parameter's range, on the scale of its search", ylim=(len(names) - 0.4, -0.6))
    for end in (0, 1):
        axis.axvline(end, color=FAINT, linewidth=0.8, zorder=0)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def trade_offs(trials: pd.DataFrame, constraints: Sequence[str], label: str, marked: Mapping[str, int]) -> Figure:
    """The objective against each constraint's margin, in bands.

    Args:
        trials: complete trials, by number, with a column `margin.<constraint>` for each.
        constraints: the constraints.
        label: the name of the objective.
        marked: trials to mark, by their labels.
    """
    bottom, top = float(trials["value"].quantile(0.25)), float(trials["value"].max())
    figure, axes = panels(len(constraints), sharey=True)
    figure.set_figheight(3.6)
    for axis, name in zip(axes, constraints, strict=True):
        margin = trials[f"margin.{name}"]
        finite = margin[np.isfinite(margin)]
        low, high = (np.quantile(finite, share) for share in (0.1, 0.98)) if len(finite) else (-1, 1)
        low, high = min(low, -1.0), max(high, 1.0)
        kept = trials.feasible.astype(bool)
        shown, value = margin.clip(low, high), trials["value"].clip(lower=bottom)
        style: dict[str, Any] = {"s": 12, "linewidth": 0.8, "clip_on": False}
        axis.scatter(shown[~kept], value[~kept], marker="x", color=FAINT, label="breaks a constraint", **style)
        axis.scatter(shown[kept], value[kept], color=PALETTE[0], alpha=0.7, label=FEASIBLE, **style)
        axis.axvline(0, color=INK, linewidth=0.8)
        for (text, trial), marker in zip(marked.items(), "Ds*", strict=False):
            at = (shown[trial], value[trial])
            axis.plot(*at, marker, color=PALETTE[4], markeredgecolor=INK, markersize=8, label=f"{text} (trial {trial})")
        axis.set(xlabel=f"margin from\n{name}, in bands", xlim=(low - 0.05 * (high - low), high + 0.05 * (high - low)))
    axes[0].set(ylabel=label, ylim=(bottom, top + 0.05 * (top - bottom)))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def stages(told: pd.DataFrame, label: str) -> Figure:
    """The value of each promoted trial on the seeds of each stage.

    Args:
        told: `study.evidence.rounds.history`.
        label: the name of the objective.
    """
    figure, axis = drawing(9, 4)
    last = told.stage.max()
    final = told[told.stage == last].sort_values("value", ascending=False).trial.tolist()
    colors = dict(zip(final, PALETTE, strict=False))
    for trial, rows in sorted(told.groupby("trial"), key=lambda item: item[0] in colors):
        named = trial in colors
        color = colors.get(trial, FAINT)
        text = f"trial {trial}" if named else None
        style: dict[str, Any] = {"color": color, "zorder": 2 + named}
        axis.plot(rows.stage, rows["value"], "-", linewidth=2 if named else 1, label=text, **style)
        for feasible, marker in ((True, "o"), (False, "x")):
            part = rows[rows.feasible == feasible]
            axis.plot(part.stage, part["value"], marker, markersize=6, **style)
    seeds = told.groupby("stage").seeds.first()
    names = ["search", *(f"round {stage}" for stage in seeds.index[1:-1]), *(["confirmation"] if last else [])]
    axis.set_xticks(seeds.index, [f"{name}\n{n} seeds" for name, n in zip(names, seeds, strict=True)])
    axis.plot([], [], "o", color=INK, label="keeps the constraints there")
    axis.plot([], [], "x", color=INK, label="breaks one there")
    axis.set(ylabel=label)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    plain(axis)
    return figure
