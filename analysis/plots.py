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

from analysis.effects import unit
from excolor import Setting
from study import StudyFolder
from study.live import format_value

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


def confirmation(rows: pd.DataFrame, ranked: pd.DataFrame, metric: str) -> Figure:
    """Every confirmed setting's replicas on held-out seeds as dots, with the mean and its 95% interval; best on top."""
    names = ranked.setting.tolist()
    figure = Figure(figsize=(9, 0.9 + 0.6 * len(names)), layout="constrained")
    axis = figure.subplots()
    spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(rows))
    places = rows.setting.map({name: place for place, name in enumerate(names)}) + spread
    trials = rows.trial.notna().to_numpy()
    for chosen, color in ((trials, PALETTE[0]), (~trials, INK)):
        axis.scatter(rows[metric][chosen], places[chosen], s=12, color=color, alpha=0.35, linewidth=0)
    for place, (_, row) in enumerate(ranked.iterrows()):
        color = PALETTE[0] if pd.notna(row.trial) else INK
        ends = [[row["mean"] - row["mean.low"]], [row["mean.high"] - row["mean"]]]
        axis.errorbar(
            row["mean"], place, xerr=ends, fmt="D", color=color, markersize=7, capsize=5, markeredgecolor="white"
        )
    axis.set(yticks=range(len(names)), yticklabels=names, xlabel=f"{metric} on held-out seeds, a dot for each")
    axis.invert_yaxis()
    plain(axis)
    return figure


def pareto(folder: StudyFolder) -> Figure:
    """The first two objectives of the complete trials with their front, and the hypervolume it dominates as trials end:
    against the worst values seen, in units of the box between those and the best."""
    complete, front = folder.trials[folder.trials.state == "complete"], folder.front()
    names = folder.goal.objectives
    signs = np.array([1 if direction == "minimize" else -1 for direction in folder.goal.directions])
    losses = complete[[f"value.{name}" for name in names]].to_numpy() * signs
    scaled = (losses - losses.min(0)) / np.maximum(np.ptp(losses, 0), 1e-12)
    volume = [_dominated_area(scaled[: n + 1, :2]) for n in range(len(scaled))]
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    x, y = (f"value.{name}" for name in names[:2])
    left.plot(complete[x], complete[y], "o", color=FAINT, markersize=5, label="complete trials")
    left.plot(front[x], front[y], "o-", color=PALETTE[0], drawstyle="steps-post", label="Pareto front")
    left.set(xlabel=names[0], ylabel=names[1])
    left.legend(frameon=False)
    right.step(complete.trial, volume, where="post", color=PALETTE[0])
    right.set(xlabel="trial", ylabel="share of the box that the front dominates", ylim=(0, 1.02))
    for axis in (left, right):
        plain(axis)
    return figure


def _dominated_area(losses: np.ndarray) -> float:
    """The area of the unit square that points [N, 2] dominate, towards (1, 1)."""
    area, lowest = 0.0, 1.0
    for x, y in sorted(map(tuple, losses)):
        if y < lowest:
            area, lowest = area + (1 - x) * (lowest - y), y
    return area


def rank_correlations(ranks: pd.DataFrame) -> Figure:
    """How well each rung's order of trials is that of the end: Spearman's correlation and its 95% interval."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    axis = figure.subplots()
    ends = [ranks["rank correlation"] - ranks["low"], ranks["high"] - ranks["rank correlation"]]
    axis.errorbar(ranks.index, ranks["rank correlation"], yerr=ends, color=PALETTE[0], marker="o", capsize=4)
    axis.axhline(0, color=FAINT, linewidth=0.8)
    axis.set(xlabel="step", ylabel="rank correlation with the end", ylim=(min(-0.1, ranks["low"].min()), 1.05))
    plain(axis)
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
    once = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=3, frameon=False)
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
    mesh = axis.pcolormesh(_edges(x, surface.shape[1]), _edges(y, surface.shape[0]), surface.to_numpy(), **colors)
    complete = trials.state == "complete"
    for name, shown, marker in (("complete", trials[complete], "o"), ("other", trials[~complete], "X")):
        if len(shown):
            across, up = _places(shown[f"param.{first}"], x), _places(shown[f"param.{second}"], y)
            style: dict[str, Any] = {"marker": marker, "s": 40, "edgecolors": "white", "label": f"{name} trials"}
            axis.scatter(across, up, c=shown[value], **style, **colors)
    for letter, distribution in (("x", x), ("y", y)):
        if isinstance(distribution, CategoricalDistribution):
            labels = [str(choice) for choice in distribution.choices]
            axis.set(**{f"{letter}ticks": range(len(labels)), f"{letter}ticklabels": labels})
        elif getattr(distribution, "log", False):
            axis.set(**{f"{letter}scale": "log"})
    axis.set(xlabel=first, ylabel=second)
    figure.colorbar(mesh, label=label, extend="min")
    _legend(figure, axis)
    return figure


def _edges(distribution: Any, cells: int) -> np.ndarray:
    """Where cells begin and end that divide a parameter's range evenly, as it is searched."""
    if isinstance(distribution, CategoricalDistribution):
        return np.arange(cells + 1) - 0.5
    spaced = np.geomspace if getattr(distribution, "log", False) else np.linspace
    return spaced(distribution.low, distribution.high, cells + 1)
