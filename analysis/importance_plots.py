"""The figure of importances: parameters by what they explain, in all and in feasible trials, and at each rung."""

from __future__ import annotations

import re
import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.importance import mattering

LEAST = 0.05  # the smallest share that is written


def heat_map(found: pd.DataFrame, most: int = 16) -> Figure:
    """Shares of importance, a row for each parameter that matters somewhere; under each column, what it rests on.

    What was left out is blank and marked with a dash.

    Args:
        found: `importance.importances`.
        most: the most parameters.
    """
    names = mattering(found, LEAST)[:most]
    whole, rungs = found[found.step.isna()], found[found.step.notna()]
    parts = [part for part in (whole, rungs) if len(part)]
    widths = [len(whole), 0.52 * len(rungs)][: len(parts)]
    figure = Figure(figsize=(1.9 + sum(widths), 1.7 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(parts), sharey=True, squeeze=False, width_ratios=widths)[0]
    for axis, part in zip(axes, parts, strict=True):
        image = axis.imshow(part[names].to_numpy(float).T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        _write(axis, part[names].to_numpy(float).T)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    labels = ["\n".join([*_wrapped(row.of), _basis(row)]) for _, row in whole.iterrows()]
    axes[0].set_xticks(range(len(whole)), labels, size=8)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_title("in complete trials", size=9)
    if len(rungs):
        labels = [f"{row.step:,.0f}\n{_basis(row)}" for _, row in rungs.iterrows()]
        axes[-1].set_xticks(range(len(rungs)), labels, size=8)
        axes[-1].set_title(f"rank by {rungs.of.iloc[0]} at the rung of this step", size=9)
    bar = figure.colorbar(image, ax=list(axes), label="share of importance", aspect=30)
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return figure


def _wrapped(name: str) -> list[str]:
    """The lines of a name, its bound in one piece."""
    return textwrap.wrap(re.sub(r"([<>]=) ", "\\1\u00a0", name), 16)


def _basis(row: pd.Series) -> str:
    r2 = "" if np.isnan(row.r2) else "\nR² < 0" if row.r2 < 0 else f"\nR² {row.r2:.2f}"
    return f"n = {row.trials}{r2}"


def _write(axis: Axes, shares: np.ndarray) -> None:
    """The shares as text, white on dark cells; a dash where there are none."""
    for (y, x), share in np.ndenumerate(shares):
        if np.isnan(share) or share >= LEAST:
            text = "-" if np.isnan(share) else f"{100 * share:.0f}"
            axis.text(x, y, text, ha="center", va="center", size=8, color="white" if share > 0.55 else "#222222")
