"""The figure of a path between two settings: what each change bought."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.arm_plots import COLORS
from analysis.style import FAINT, INK, drawing
from study.evidence.paths import TOTAL


def path(bought: pd.DataFrame, start: str, mean: float, metric: str) -> Figure:
    """The mean after each change, as steps from the path's start to its end; lines are 95% intervals of the gains.

    Args:
        bought: `study.evidence.paths.gains`.
        start: the name of the setting at the start.
        mean: its mean.
        metric: the objective.
    """
    changes = bought[bought.change != TOTAL].reset_index(drop=True)
    figure, axis = drawing(9, 1.3 + 0.36 * (len(changes) + 1))
    axis.plot(mean, 0, "o", color=INK, markersize=5)
    before = mean
    for place, row in enumerate(changes.to_dict("records"), start=1):
        color, after = COLORS.get(row["verdict"], INK), before + row["difference"]
        axis.barh(place, 2 * row["band"], left=before - row["band"], height=0.8, color=FAINT, alpha=0.35, linewidth=0)
        axis.barh(place, row["difference"], left=before, height=0.45, color=color, alpha=0.8, linewidth=0)
        axis.plot([before + row["low"], before + row["high"]], [place, place], color=INK, linewidth=1.2)
        axis.plot([before, before], [place - 1, place + 0.4], color=INK, linewidth=0.7)
        axis.annotate(
            f"{row['difference']:+.3f}",
            (max(after, before + row["high"], before + row["band"]), place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            size=8,
            color=color,
        )
        before = after
    names = [start, *changes.change]
    axis.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6), xlabel=f"mean {metric}")
    axis.margins(x=0.1)
    for label, color in {**COLORS, "not resolved": INK}.items():
        axis.barh([0], [0], left=mean, color=color, alpha=0.8, label=label)
    axis.barh([0], [0], left=mean, color=FAINT, alpha=0.35, label="band of seed noise")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure
