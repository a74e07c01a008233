"""Figures of a study: its schedules, its confirmation and its search. Each function takes data and returns a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.style import FAINT, INK, PALETTE, drawing, interval, legend, log_ticks, panels, plain
from study import StudyFolder
from study.experiment import Setting
from study.record.trial_state import TrialState

_HALO = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # behind text over lines


def moving(settings: Mapping[str, Setting]) -> list[str]:
    """The properties of the settings' dopesheets that are not constant in all of them."""
    columns = [column for setting in settings.values() for column in setting.schedule.properties]
    return list(dict.fromkeys(column.name for column in columns if len(set(column.values)) > 1))


def schedules(settings: Mapping[str, Setting], references: Mapping[str, Setting] | None = None) -> Figure:
    """Every `moving` property of the settings over the steps, with keyframes as dots. References are dashed or dotted.

    A reference's weight is drawn in the panel of the same name, or of the same term on other layers.
    """
    names = moving(settings)
    figure, axes = panels(len(names))
    for axis, name in zip(axes, names, strict=True):
        for (label, setting), color in zip(settings.items(), PALETTE, strict=False):
            _schedule_line(axis, setting, name, label=label, color=color, linewidth=1.6)
        for (label, setting), style in zip((references or {}).items(), ("--", ":", "-."), strict=False):
            same = _counterpart(next(iter(settings.values())), name, setting)
            _schedule_line(axis, setting, same, label=label, color=INK, linewidth=1.6, linestyle=style)
        terms = [term for setting in settings.values() for term in _terms(setting)]
        title = "learning rate" if name == "lr" else f"weight of {name}" if name in terms else name
        axis.set(title=title, xlabel="step", yscale="log")
        keyed = [value for setting in settings.values() for value in _keys(setting, name) if value > 0]
        if keyed:  # a weight that fades to 0 would stretch the axis
            axis.set_ylim(bottom=1e-4 if name == "lr" else min(keyed) / 2)
        log_ticks(axis, "y")
        _mark_phases(axis, next(iter(settings.values())))
    legend(figure, axes[0])
    return figure


def _counterpart(setting: Setting, name: str, reference: Setting) -> str:
    """The name in a reference of a setting's property: the same name, or that of the same term on other layers."""
    terms = _terms(reference)
    if name in terms or name not in _terms(setting):
        return name
    like = _terms(setting)[name].model_dump(exclude={"layers"})
    return next((other for other, term in terms.items() if term.model_dump(exclude={"layers"}) == like), name)


def _terms(setting: Setting) -> Mapping[str, Any]:
    """The regularizers of a setting by name. An experiment's settings need not have any."""
    return getattr(setting, "regularizers", {})


def confirmation(rows: pd.DataFrame, ranked: pd.DataFrame, metric: str) -> Figure:
    """Every confirmed setting: a dot for each held-out seed, the mean and its 95% interval. The best is on top."""
    names = ranked.setting.tolist()
    figure, axis = drawing(9, 0.9 + 0.6 * len(names))
    spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(rows))
    places = rows.setting.map({name: place for place, name in enumerate(names)}) + spread
    trials = rows.trial.notna().to_numpy()
    for chosen, color in ((trials, PALETTE[0]), (~trials, INK)):
        axis.scatter(rows[metric][chosen], places[chosen], s=12, color=color, alpha=0.35, linewidth=0)
    for place, (_, row) in enumerate(ranked.iterrows()):
        color = PALETTE[0] if pd.notna(row.trial) else INK
        figures = row["mean"], row["mean.low"], row["mean.high"]
        interval(axis, "x", place, *figures, color, "D", markersize=5, markeredgecolor="white")
    axis.set(yticks=range(len(names)), yticklabels=names, xlabel=f"{metric} on held-out seeds, a dot for each")
    axis.invert_yaxis()
    return figure


def pareto(folder: StudyFolder) -> Figure:
    """The first two objectives of the complete trials, their front, and the hypervolume of the front as trials end.

    The hypervolume is the share of a box that the front dominates. The box spans the worst and the best values seen.
    """
    complete, front = folder.trials()[folder.trials().state == TrialState.COMPLETE], folder.front()
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
    """The area of the unit square that points [N, 2] dominate, if less is better."""
    area, lowest = 0.0, 1.0
    for x, y in sorted(map(tuple, losses)):
        if y < lowest:
            area, lowest = area + (1 - x) * (lowest - y), y
    return area


def learning_curves(trials: pd.DataFrame, replicas: pd.DataFrame, best: Sequence[int], metric: str) -> Figure:
    """The mean of a metric at the rungs of every trial.

    The best trials are in colour, other complete ones dark, stopped ones faint. A cross marks where one was stopped.
    """
    curves = replicas.groupby(["trial", "step"])[metric].mean().unstack("trial")
    states, exempted = trials.set_index("trial").state, set(trials.trial[trials.audited])
    figure, axis = drawing(9, 4)
    for other in curves.columns.difference(list(best)):
        complete = states[other] == TrialState.COMPLETE
        axis.plot(
            curves[other].dropna(), color=INK if complete else FAINT, alpha=0.2 if complete else 0.5, linewidth=0.8
        )
        if not complete and other not in exempted:
            last = curves[other].dropna()
            axis.plot(last.index[-1], last.iloc[-1], "x", color=FAINT, markersize=5)
    for trial, color in zip(best, PALETTE, strict=False):
        axis.plot(curves[trial].dropna(), color=color, linewidth=2, marker="o", markersize=4, label=f"trial {trial}")
    axis.plot([], [], color=INK, alpha=0.9, linewidth=0.8, label="other complete trials")
    axis.plot([], [], color=FAINT, marker="x", linewidth=0.8, label="stopped early")
    if exempted:
        axis.plot([], [], color=FAINT, linewidth=0.8, label="exempted")
    axis.set(xlabel="step", ylabel=f"{metric}, mean over replicas")
    if replicas[metric].dropna().between(0, 1).all():
        axis.set_ylim(0, 1)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def _schedule_line(axis: Axes, setting: Setting, name: str, **style: Any) -> None:
    for column in setting.schedule.properties:
        if column.name == name:
            values = np.where((table := column.tabulate(len(setting.schedule))) > 0, table, np.nan)
            (line,) = axis.plot(values, **style)
            keys = [(step, value) for step, value in zip(column.steps, column.values, strict=True) if value > 0]
            axis.plot([step for step, _ in keys], [key for _, key in keys], "o", color=line.get_color(), markersize=4)


def _keys(setting: Setting, name: str) -> list[float]:
    return [value for column in setting.schedule.properties if column.name == name for value in column.values]


def _mark_phases(axis: Axes, setting: Setting) -> None:
    """Draw a faint line, with the phase's name, where each phase but the first begins."""
    for row in setting.schedule.rows:
        if row.phase and row.step:
            axis.axvline(row.step, color=FAINT, linewidth=0.8, zorder=0)
            axis.text(
                row.step,
                0.99,
                f" {row.phase}",
                transform=axis.get_xaxis_transform(),
                va="top",
                color=INK,
                size=8,
                bbox=_HALO,
            )


def trade_off(
    trials: pd.DataFrame, parts: Sequence[str], best: Sequence[int], tooltips: Sequence[str], product: str = ""
) -> Figure:
    """Two metrics against each other: a point with a tooltip for each complete trial, the best in colour.

    The worst tenth in either metric may lie beyond the axes, and is then drawn at their edge.

    Args:
        trials: the complete trials.
        parts: the two metrics.
        best: the numbers of the trials in colour.
        tooltips: a text for each trial.
        product: the name of a metric that is the product of the two, if curves of equal product are to be drawn.
    """
    figure, axis = drawing(9, 5.5)
    colors = dict(zip(best, PALETTE, strict=False))
    shown: list[pd.Series] = []
    limits: list[tuple[float, float]] = []
    for values in (trials[f"{name}.mean"] for name in parts):
        low, high = float(values.quantile(0.1)), float(values.max())
        margin = 0.04 * (high - low) or 0.01
        shown.append(values.clip(lower=low - margin))
        limits.append((low - margin, high + margin))
    for chosen, size in ((~trials.trial.isin(best), 22), (trials.trial.isin(best), 70)):
        points = shown[0][chosen], shown[1][chosen]
        texts = [text for text, is_chosen in zip(tooltips, chosen, strict=True) if is_chosen]
        of_each: dict[str, Any] = {"c": trials.trial[chosen].map(colors).fillna(FAINT), "urls": texts}
        axis.scatter(*points, s=size, linewidth=0, alpha=0.8, clip_on=False, zorder=3, **of_each)
    for trial, color in colors.items():
        axis.scatter([], [], s=70, color=color, label=f"trial {trial}")
    if product:
        grid = np.meshgrid(*(np.linspace(*limit, 50) for limit in limits))
        lines = axis.contour(*grid, grid[0] * grid[1], levels=8, colors=INK, linewidths=0.5, alpha=0.5)
        for text in axis.clabel(lines, fontsize=8, zorder=4):
            text.set_bbox(_HALO)
        axis.plot([], [], color=INK, linewidth=0.5, alpha=0.5, label=f"equal {product}")
    axis.set(xlim=limits[0], ylim=limits[1], xlabel=parts[0].replace("_", " "), ylabel=parts[1].replace("_", " "))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def is_product(replicas: pd.DataFrame, metric: str, parts: Sequence[str]) -> bool:
    """Whether a metric is the product of two others, clipped at 0, in every replica that has not diverged."""
    rows = replicas[~replicas["diverged"].astype(bool)]
    return len(parts) == 2 and np.allclose(rows[metric], rows[list(parts)].clip(lower=0).prod(axis=1), atol=1e-4)
