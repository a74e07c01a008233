"""Figures of early stopping: what was stopped when, and how well the end could be foreseen by then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.style import FAINT, INK, PALETTE, drawing, interval, legend
from analysis.words import score_of
from study import StudyFolder
from study.record.trial_state import TrialState


def endings(folder: StudyFolder, ended: pd.DataFrame) -> Figure:
    """The scores at the end of the complete and of the exempted trials (`audit.whole`), a dot for each trial."""
    exempted = ended.audited
    rows = {"complete": ended[~exempted].value, "exempted": ended[exempted].value}
    rows = {name: values.dropna() for name, values in rows.items() if len(values)}
    figure, axis = drawing(9, 0.9 + 0.8 * len(rows))
    random = np.random.default_rng(0)
    for place, (values, color) in enumerate(zip(rows.values(), PALETTE, strict=False)):
        height = place + random.uniform(-0.28, 0.28, len(values))
        axis.scatter(values, height, s=14, color=color, alpha=0.5, linewidth=0)
    axis.axvline(ended.value[~exempted & ended.feasible].max(), color=INK, linewidth=0.8, linestyle="--")
    axis.set_yticks(range(len(rows)), [f"{len(values)} {name}" for name, values in rows.items()])
    axis.set(xlabel=f"{score_of(folder)} at the end; dashed: the best complete trial", ylim=(len(rows) - 0.5, -0.5))
    return figure


def rank_correlations(ranks: pd.DataFrame) -> Figure:
    """How well the order of trials at each rung predicts that at the end: Spearman's correlation with 95% intervals."""
    figure, axis = drawing(9, 3)
    interval(axis, "y", ranks.index, ranks["rank correlation"], ranks["low"], ranks["high"], PALETTE[0], "o-")
    axis.axhline(0, color=FAINT, linewidth=0.8)
    axis.set(xlabel="step", ylabel="rank correlation with the end", ylim=(min(0, ranks["low"].min()) - 0.05, 1.05))
    return figure


def early_and_late(folder: StudyFolder, ended: pd.DataFrame, rung: int) -> Figure:
    """The score at a rung against the score at the end, for the trials that were trained to the end."""
    rows = folder.replicas()
    rows = rows[(rows.step == rung) & rows.trial.isin(ended.trial)]
    early = ended.trial.map({trial: folder.goal.score(part) for trial, part in rows.groupby("trial")})
    figure, axis = drawing(6.5, 4.5)
    kinds: tuple[tuple[str, pd.Series, dict[str, Any]], ...] = (
        ("complete", ~ended.audited, {"color": PALETTE[0], "alpha": 0.5, "s": 16}),
        ("exempted", ended.audited, {"color": PALETTE[1], "s": 28, "edgecolors": INK}),
    )
    for name, chosen, style in kinds:
        axis.scatter(early[chosen], ended.value[chosen], linewidth=0.5 * (name == "exempted"), label=name, **style)
    metric = score_of(folder)
    axis.set(xlabel=f"{metric} after {rung:,} steps", ylabel=f"{metric} at the end")
    legend(figure, axis)
    return figure


def steps_taken(folder: StudyFolder) -> Figure:
    """How many trials were still training at each step: those trained to the end, and those stopped later."""
    trials = folder.trials()
    stopped = trials[(trials.state == TrialState.STOPPED) & ~trials.audited]
    others = len(trials) - len(stopped)
    steps = np.array([0, *sorted(stopped.steps.unique()), trials.steps.max()])
    going = np.array([(stopped.steps > step).sum() for step in steps])
    figure, axis = drawing(9, 3.2)
    axis.fill_between(steps, others, step="post", color=PALETTE[0], alpha=0.85, linewidth=0, label="trained to the end")
    axis.fill_between(steps, others, others + going, step="post", color=FAINT, linewidth=0, label="stopped later")
    axis.set(xlabel="step", ylabel="trials in training", xlim=(0, steps[-1]), ylim=(0, None))
    legend(figure, axis)
    return figure
