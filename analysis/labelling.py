"""What a study's answer costs in labels: the best trials by how many samples carried one."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.style import FAINT, INK, PALETTE, drawing, legend, log_ticks
from study import StudyFolder
from study.watch.live import format_figure

LABELLED = "labelled"
SPAN = 3.0
"""How many times as many labels as the least of all trials the most must have, for their cost to be worth a section."""


def complete(folder: StudyFolder) -> pd.DataFrame:
    """The complete trials that keep the constraints, with their `labels` and `score`, if labels cost different amounts.

    The table is empty if the experiment does not count labels, or all trials used about as many.
    """
    trials = folder.complete()
    if f"{LABELLED}.mean" not in trials:
        return trials.iloc[:0]
    trials = trials.assign(labels=trials[f"{LABELLED}.mean"], score=folder.goal.sign * trials.value)
    trials = trials[trials.feasible & (trials.labels > 0)]
    return trials if len(trials) and trials.labels.max() >= SPAN * trials.labels.min() else trials.iloc[:0]


def front(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that no trial with as few labels beats, by rising numbers of labels."""
    ordered = trials.sort_values(["labels", "score"], ascending=[True, False])
    return ordered[ordered.score > ordered.score.cummax().shift(fill_value=-float("inf"))]


def table(folder: StudyFolder, trials: pd.DataFrame) -> pd.DataFrame:
    """The best trial with at most as many labels: for the most of all, a third, a tenth, a thirtieth and so on."""
    metric, rows, most = folder.goal.objectives[0], {}, trials.labels.max()
    for share, name in ((1, "any number"), (3, "a third"), (10, "a tenth"), (30, "1 in 30"), (100, "1 in 100")):
        affordable = trials[trials.labels <= most / share]
        if len(affordable):
            best = affordable.loc[affordable.score.idxmax()]
            rows[name] = {
                "trial": f"{best.trial:.0f}",
                "labelled samples": format_figure(best.labels),
                metric: format_figure(best.value),
                "trials": f"{len(affordable)}",
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("labels, of the most that a trial had")


def curve(folder: StudyFolder, trials: pd.DataFrame, confirmed: pd.DataFrame) -> Figure:
    """The objective of the trials over the number of labelled samples, their front, and the confirmed trials."""
    metric, best = folder.goal.objectives[0], front(trials)
    figure, axis = drawing(9, 4)
    axis.plot(trials.labels, trials.value, "o", color=FAINT, markersize=4, linewidth=0, label="complete trials")
    axis.plot(
        [*best.labels, trials.labels.max()],
        [*best.value, best.value.iloc[-1]],
        color=PALETTE[0],
        drawstyle="steps-post",
        label="the best with as many labels or fewer",
    )
    if LABELLED in confirmed:
        means = confirmed[confirmed.trial.notna()].groupby("trial")[[LABELLED, metric]].mean()
        axis.plot(means[LABELLED], means[metric], "D", color=INK, markersize=5, label="confirmed on held-out seeds")
    usual = trials.value.clip(*trials.value.quantile([0.05, 0.95]))  # a few hopeless trials would stretch the axis
    low, high = sorted((usual[best.index[0]], best.value.iloc[-1]))
    margin = 0.05 * (high - low) or 0.01
    axis.set(xscale="log", xlabel="samples that carried a label, mean over the replicas", ylabel=f"mean {metric}")
    axis.set_ylim(low - margin, high + margin)
    log_ticks(axis, "x")
    legend(figure, axis)
    return figure
