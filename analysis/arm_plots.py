"""Figures of arms: what each change does, beside the band of seed noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.style import FAINT, INK, PALETTE, plain
from study.evidence.verdicts import BETTER, WORSE

COLORS = {BETTER: PALETTE[2], WORSE: PALETTE[1]}


def differences(judged: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """A panel for each metric: every arm's difference from the setting as it is, its interval, and its band.

    Arms far away are drawn at the edge, as arrows.

    Args:
        judged: `study.evidence.verdicts.verdicts`.
        metrics: the metrics to draw.
    """
    arms = judged.arm.unique().tolist()
    figure = Figure(figsize=(3.2 + 2.4 * len(metrics), 0.9 + 0.24 * len(arms)), layout="constrained")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        rows = judged[judged.metric == metric].set_index("arm").loc[arms]
        limit = _limit(rows)
        axis.barh(range(len(arms)), 2 * rows.band, left=-rows.band, height=0.7, color=FAINT, alpha=0.35, linewidth=0)
        axis.axvline(0, color=INK, linewidth=0.8)
        for place, (_, row) in enumerate(rows.iterrows()):
            color = COLORS.get(row.verdict, INK)
            if abs(row["difference"]) > limit:
                side = np.sign(row["difference"])
                axis.plot(
                    side * limit * 0.97, place, ">" if side > 0 else "<", color=color, markersize=6, clip_on=False
                )
                axis.annotate(
                    f"{row['difference']:+.2g}",
                    (side * limit * 0.9, place),
                    ha="right" if side > 0 else "left",
                    va="center",
                    size=8,
                    color=color,
                )
            else:
                axis.plot([row.low, row.high], [place, place], color=color, linewidth=1.5)
                axis.plot(row["difference"], place, "o", color=color, markersize=5)
        axis.set(xlim=(-limit, limit), xlabel=f"difference in {metric.replace('_', ' ')}")
        axis.locator_params(axis="x", nbins=5)
        plain(axis)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
    axes[0].set(yticks=range(len(arms)), yticklabels=arms, ylim=(len(arms) - 0.4, -0.6))
    for label, color in {"better": COLORS[BETTER], "worse": COLORS[WORSE], "not resolved": INK}.items():
        axes[0].plot([], [], "o-", color=color, markersize=5, label=label)
    axes[0].barh([0], [0], color=FAINT, alpha=0.35, label="band of seed noise")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _limit(rows: pd.DataFrame) -> float:
    """How far an axis reaches: to most of the intervals, so that one broken arm does not flatten the others."""
    reach = np.nanmax(np.abs(rows[["low", "high", "band"]].to_numpy(dtype=float)), axis=1)
    reach = reach[np.isfinite(reach)]
    return 1.1 * float(np.quantile(reach, 0.75)) if len(reach) and reach.max() > 0 else 1.0
