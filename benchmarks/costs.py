"""What work costs, by how much there is of it: a figure of trials, workers at a time, and replicas.

`python -m benchmarks.costs` draws benchmarks/costs.png from the tables in benchmarks/data. Each is measured by
itself: `python -m benchmarks.costs replicas` trains 1 to 1,024 in some five minutes, and
`python -m benchmarks.driver` runs studies.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import NullLocator

from benchmarks.driver import DATA, HERE, measured
from benchmarks.rates import ours
from benchmarks.settings import RACED, read

STEPS = 500
REPLICAS = [4**k for k in range(6)]
COLORS = ("#0072B2", "#D55E00", "#009E73")  # Okabe and Ito's, which colour-blind people tell apart


def by_replicas(replicas: int) -> dict[str, float]:
    """Microseconds a replica-step by setting, from a call of `train` to its return, on one core: the median of five."""
    row: dict[str, float] = {"replicas": replicas}
    for name, path in RACED.items():
        rate = ours(read(path, STEPS), replicas)
        rate()
        row[name] = sorted(1e6 / rate() for _ in range(5))[2]
    return row


def _trials(axes: Axes, table: pd.DataFrame) -> None:
    for column, label, color in (
        ("ms_first_hundred", "first hundred", COLORS[0]),
        ("ms_last_hundred", "last hundred", COLORS[1]),
    ):
        axes.plot(table.trials, table[column], "o-", color=color, label=label)
    axes.set(xscale="log", ylim=(0, None))
    _ticks(axes.xaxis, table.trials)
    axes.legend(frameon=False)


def _workers(axes: Axes, table: pd.DataFrame) -> None:
    axes.plot(table.workers, 100 * table.busy, "o-", color=COLORS[0])
    axes.axhline(90, color="0.6", linewidth=1, linestyle="--")
    axes.set_xscale("log", base=2)
    axes.set_xticks(table.workers, [str(workers) for workers in table.workers])
    axes.set_ylim(0, 103)


def _replicas(axes: Axes, table: pd.DataFrame) -> None:
    for name, color in zip(table.columns[1:], COLORS, strict=True):
        axes.plot(table.replicas, table[name], "o-", color=color, label=name)
    axes.set(xscale="log", yscale="log")
    _ticks(axes.xaxis, table.replicas)
    _ticks(axes.yaxis, [10, 20, 40, 80])
    axes.legend(frameon=False)


def _ticks(axis: Axis, ticks: Iterable[int]) -> None:
    axis.set_ticks([*ticks], [f"{tick:,}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


PANELS: tuple[tuple[str, str, str, Callable[[Axes, pd.DataFrame], None]], ...] = (
    ("driver-trials.csv", "trials in the study", "driver's CPU time a trial (ms)", _trials),
    ("driver-workers.csv", "trials of one second at a time", "time that workers are busy (%)", _workers),
    ("replicas.csv", "replicas that train together", "time a replica-step (µs)", _replicas),
)


def draw() -> None:
    """Draw a panel for each table. One that is not measured yet says so."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(11, 3.4), layout="constrained")
    for panel, (file, x, y, plot) in zip(axes, PANELS, strict=True):
        panel.set(xlabel=x, ylabel=y)
        if (DATA / file).is_file():
            plot(panel, pd.read_csv(DATA / file))
        else:
            panel.text(0.5, 0.5, "not measured", ha="center", transform=panel.transAxes)
    figure.savefig(HERE / "costs.png", dpi=150)


def main() -> None:
    if "replicas" in sys.argv[1:]:
        torch.set_num_threads(1)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
        measured("replicas.csv", "replicas", map(by_replicas, REPLICAS))
    draw()


if __name__ == "__main__":
    main()
