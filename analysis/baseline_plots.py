"""The figures, tables and words of the notebook `controls`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.style import INK, PALETTE, drawing, legend


def compared(rows: pd.DataFrame) -> Figure:
    """Isolation of every replica under each control (`baselines.compared`), with means. Each model has a colour."""
    groups = {f"{m}: {c}": part for (m, c), part in rows.groupby(["model", "control"], sort=False)}
    colors = dict(zip(rows.model.unique(), PALETTE, strict=False))
    figure, axis = drawing(9, 0.9 + 0.42 * len(groups))
    random = np.random.default_rng(0)
    for place, part in enumerate(groups.values()):
        color = colors[part.model.iloc[0]]
        axis.scatter(
            part.isolation, place + random.uniform(-0.2, 0.2, len(part)), s=14, color=color, alpha=0.4, linewidth=0
        )
        axis.plot(part.isolation.mean(), place, "D", color=color, markeredgecolor="white", markersize=8)
    axis.set_yticks(range(len(groups)), list(groups))
    axis.set(
        xlabel="isolation, a dot for each replica; diamonds: means", xlim=(-0.02, 1.02), ylim=(len(groups) - 0.4, -0.6)
    )
    axis.grid(axis="x", color="#ddd", linewidth=0.6)
    return figure


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A table of the controls: isolation and, where they were measured, its parts and the literature's r²."""
    shown = [
        name
        for name in map(str, rows)
        if name in ("isolation", "utility", "vibrancy_r2") or name.endswith("_blindness")
    ]
    return spread(rows.set_index(rows.model + ": " + rows.control)[shown]).join(
        rows.groupby(rows.model + ": " + rows.control).size().rename("replicas")
    )


def spread(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean ± standard deviation of every column, as text, over the rows that share an index."""
    groups = rows.groupby(level=0, sort=False)
    text = groups.mean().map("{:.3f} ± ".format) + groups.std().map("{:.3f}".format)
    return text.where(groups.count() > 0, "-")


def in_words(rows: pd.DataFrame, trial: int) -> str:
    """What the controls say of a trial, in a paragraph of Markdown."""
    means = rows.groupby(["model", "control"]).isolation.mean()
    own, bare = means[f"trial {trial}"], means["no regularizers"]
    best = max(own["best other dims"], own["random subspaces"], bare["its dims"], bare["best other dims"])
    verdict = "far above all of these" if own["its dims"] - best > 0.2 else "**not far above these**"
    text = (
        f"Ablating trial {trial}'s dims isolates {own['its dims']:.3f}, on average over its replicas. They have the "
        "seeds that the search chose by, so a confirmed figure would be lower. In the same models, the best other "
        f"choice of as many dims isolates {own['best other dims']:.3f}, and a random subspace "
        f"{own['random subspaces']:.3f}. In models trained without regularizers, the same dims isolate "
        f"{bare['its dims']:.3f}, the best other choice, made with hindsight, {bare['best other dims']:.3f}, and a "
        f"random subspace {bare['random subspaces']:.3f}. The trial is {verdict}."
    )
    if "LEACE" in bare:
        more = own["its dims"] - bare["LEACE"]
        text += (
            f" LEACE, which is fitted to the true hues after training, reaches {bare['LEACE']:.3f} without any "
            f"regularizer. That is {abs(more):.3f} {'less' if more > 0 else 'more'} than the trial. In the trial's own "
            f"models it reaches {own['LEACE']:.3f}."
        )
    return text


def r2_and_isolation(rows: pd.DataFrame, answers: pd.DataFrame) -> Figure:
    """vibrancy_r2 and isolation of every replica, and of answers that need no model.

    Fixed settings have a colour each; the replicas of all trials share one.
    """
    figure, axis = drawing(9, 5)
    names = rows.setting.where(rows.trial.isna(), "replicas of trials")
    for (name, part), color in zip(rows.groupby(names, sort=False), PALETTE, strict=False):
        axis.scatter(part.vibrancy_r2, part.isolation, s=12, color=color, alpha=0.4, linewidth=0, label=name)
    axis.plot(answers.vibrancy_r2, answers.isolation, "D", color=INK, markersize=6, label="answers without a model")
    halo = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    below = 1
    for label, row in answers.iterrows():
        right = row.vibrancy_r2 > 0.5
        below = -below if right and row.isolation < 0.01 else below  # their labels would overlap
        offset = (-9 if right else 9, 14 * below if right and row.isolation < 0.01 else 0)
        style: dict[str, Any] = {"ha": "right" if right else "left", "va": "center", "fontsize": 9, "bbox": halo}
        at = (row.vibrancy_r2, row.isolation)
        axis.annotate(str(label), at, xytext=offset, textcoords="offset points", zorder=2, **style)
    axis.set(xlabel="vibrancy_r2, the literature's measure", ylabel="isolation", xlim=(-0.04, 1.04), ylim=(-0.1, 1.05))
    legend(figure, axis)
    return figure
