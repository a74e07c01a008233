"""The figure of studies side by side: the best so far over work."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from analysis.style import PALETTE, drawing, interval, legend

_LINES = ("-", "--", ":", "-.")  # of studies beyond the palette's end


def progress(best: Mapping[str, pd.DataFrame], answers: pd.DataFrame, metric: str) -> Figure:
    """Each study's best so far over the work of its search, with bands; its answer on held-out seeds is a diamond.

    Args:
        best: `study.evidence.comparing.best_so_far` of each study, by its name.
        answers: `study.evidence.comparing.answers`.
        metric: the first objective.
    """
    figure, axis = drawing(9, 4.6)
    end = max(int(of.work.iloc[-1]) for of in best.values())
    start = min(int(of.work.iloc[0]) for of in best.values())
    logarithmic = end > 20 * start > 0
    for place, (name, of) in enumerate(best.items()):
        color, line = PALETTE[place % len(PALETTE)], _LINES[place // len(PALETTE) % len(_LINES)]
        axis.step(of.work, of["mean"], where="post", color=color, linestyle=line, linewidth=1.8, label=name)
        low, high = of["mean"] - of.band, of["mean"] + of.band
        axis.fill_between(of.work, low, high, step="post", color=color, alpha=0.2, linewidth=0)
        for _, row in answers[(answers.study == name) & answers.trial.notna()].iterrows():
            apart = 1 + 0.06 * (place + 1)
            at = end * (apart**1.5 if logarithmic else apart)
            figures = row["mean"], row["mean.low"], row["mean.high"]
            interval(axis, "y", at, *figures, color, "D", markersize=5, markeredgecolor="white")
    if logarithmic:
        axis.set_xscale("log")
    axis.set(xlabel="replica-steps of the search", ylabel=f"{metric} of the best trial so far")
    legend(figure, axis)
    return figure
