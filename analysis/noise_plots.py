"""Figures of the noise floor: how much larger differences between settings are than what seeds make of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.noise_floor import BETTER, COMPLETE, CONFIRMED
from analysis.style import FAINT, INK, PALETTE, drawing, legend

COLORS = {COMPLETE: PALETTE[0], BETTER: PALETTE[1], CONFIRMED: PALETTE[2]}
MARKERS = {COMPLETE: "o", BETTER: "s", CONFIRMED: "D"}


def floors(found: pd.DataFrame) -> Figure:
    """The typical difference of each metric between two trials of each set, in bands, with intervals.

    What is beyond the axis, which goes from a tenth of a band to ten, is drawn at its edge as an arrow.

    Args:
        found: `noise_floor.floors`.
    """
    metrics, sets = list(dict.fromkeys(found.metric)), list(dict.fromkeys(found.set))
    figure, axis = drawing(9, 1.5 + 0.42 * len(metrics))
    low, high = 0.1, 10.0
    for place, name in enumerate(sets):
        rows = found[found.set == name]
        at = [metrics.index(metric) + 0.24 * (place - (len(sets) - 1) / 2) for metric in rows.metric]
        label = f"{_which(name, int(rows.trials.max()))}, {rows.seeds.max()} seeds each"
        axis.hlines(at, rows["ratio.low"].clip(low, high), rows["ratio.high"].clip(low, high), color=COLORS[name])
        axis.plot([], [], MARKERS[name], color=COLORS[name], label=label)
        for ratio, height in zip(rows.ratio, at, strict=True):
            marker = "<" if ratio < low else ">" if ratio > high else MARKERS[name]
            axis.plot(np.clip(ratio, low, high), height, marker, color=COLORS[name], clip_on=False)
    axis.axvspan(low, 1, color=FAINT, alpha=0.25, linewidth=0, label="smaller than the band")
    axis.axvline(1, color=INK, linewidth=0.8)
    axis.set_yticks(range(len(metrics)), metrics)
    axis.set(xscale="log", xlim=(low, high), ylim=(len(metrics) - 0.4, -0.6))
    axis.set_xlabel("typical difference between two settings, in bands of seed noise (logarithmic)")
    ticks = (0.1, 0.2, 0.5, 1, 2, 5, 10)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    legend(figure, axis)
    return figure


def _which(name: str, trials: int) -> str:
    return {COMPLETE: f"all {trials} complete trials", BETTER: f"the better {trials}"}.get(name, f"{trials} confirmed")
