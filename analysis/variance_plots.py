"""Figures of seed noise: which part of a seed each metric follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.style import INK, PALETTE, drawing, panels, plain
from study.evidence.components import REST


def shares(found: pd.DataFrame) -> Figure:
    """Each metric's variance, divided by what it follows, with intervals.

    Args:
        found: `study.evidence.components.components`.
    """
    metrics, factors = found.metric.unique().tolist(), found.factor.unique().tolist()
    figure, axis = drawing(9, 1.3 + 0.42 * len(metrics))
    height = 0.8 / len(factors)
    for place, (factor, color) in enumerate(zip(factors, [*PALETTE[: len(factors) - 1], "#808080"], strict=True)):
        rows = found[found.factor == factor].set_index("metric").loc[metrics]
        at = np.arange(len(metrics)) + (place - (len(factors) - 1) / 2) * height
        label = "only their combination" if factor == REST else factor.replace("+", " and ")
        axis.barh(at, rows.share, height=height * 0.9, color=color, label=label)
        axis.hlines(at, rows.low, rows.high, color=INK, linewidth=1)
    axis.set_yticks(range(len(metrics)), metrics)
    axis.set(xlim=(0, 1), ylim=(len(metrics) - 0.4, -0.6), xlabel="share of the variance over replicas")
    axis.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=len(factors), frameon=False)
    return figure


def crossed(rows: pd.DataFrame, factors: Sequence[tuple[str, ...]], metric: str) -> Figure:
    """A metric over the levels of each pair of factors, averaged over the others. Both are sorted by their means.

    Args:
        rows: `StudyFolder.varied`.
        factors: `study.evidence.components.factors_of`.
        metric: the metric.
    """
    parts = [factor[0] for factor in factors]
    names = {factor[0]: " and ".join(factor) for factor in factors}
    pairs = [(a, b) for place, a in enumerate(parts) for b in parts[place + 1 :]]
    figure, axes = panels(len(pairs))
    figure.set_size_inches(4.6 * min(len(pairs), 3), 3.8)
    low, high = np.nanquantile(rows[metric], (0.02, 0.98)) if rows[metric].notna().any() else (0, 1)
    for axis, (first, second) in zip(axes, pairs, strict=True):
        grid = rows.pivot_table(index=second, columns=first, values=metric, aggfunc="mean", dropna=False)
        grid = grid.loc[grid.mean(axis=1).sort_values().index, grid.mean().sort_values().index]
        image = axis.imshow(grid, cmap="cividis", vmin=low, vmax=high, origin="lower", aspect="auto")
        axis.set(xlabel=f"seeds of {names[first]}, sorted", ylabel=f"seeds of {names[second]}, sorted")
        axis.set(xticks=[], yticks=[])
        plain(axis)
    figure.colorbar(image, ax=axes, label=metric)
    return figure
