"""What work costs, by how much there is of it: a figure of trials, workers at a time, and replicas.

`python -m benchmarks.costs` measures 1 to 4,096 replicas in two minutes, then draws benchmarks/costs.png from that and
from what `python -m benchmarks.driver` wrote.
"""

from __future__ import annotations

import os

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.axes import Axes

from benchmarks.driver import DATA, HERE
from benchmarks.rates import ours
from benchmarks.settings import RACED, read

STEPS = 500
REPLICAS = [4**k for k in range(7)]
COLORS = ("#0072B2", "#D55E00", "#009E73")  # Okabe and Ito's, which colour-blind people tell apart


def by_replicas() -> pd.DataFrame:
    """Microseconds a replica-step, from a call of `train` to its return, on one core: the median of five."""
    rows = []
    for name, path in RACED.items():
        setting = read(path, STEPS)
        for replicas in REPLICAS:
            rate = ours(setting, replicas)
            rate()
            seconds = sorted(1e6 / rate() for _ in range(5))[2]
            rows.append({"setting": name, "replicas": replicas, "us_a_replica_step": seconds})
    return pd.DataFrame(rows)


def draw() -> None:
    """Draw the three panels."""
    figure, (trials, workers, replicas) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    _trials(trials)
    _workers(workers)
    _replicas(replicas)
    figure.savefig(HERE / "costs.png", dpi=150)


def _trials(axes: Axes) -> None:
    table = pd.read_csv(DATA / "driver-trials.csv")
    for column, label, color in (
        ("ms_first_hundred", "first hundred", COLORS[0]),
        ("ms_last_hundred", "last hundred", COLORS[1]),
    ):
        axes.plot(table.trials, table[column], "o-", color=color, label=label)
    axes.set(xscale="log", xlabel="trials in the study", ylabel="driver's CPU time a trial (ms)", ylim=(0, None))
    axes.set_title("A trial late in a study costs as much")
    axes.legend(frameon=False)


def _workers(axes: Axes) -> None:
    table = pd.read_csv(DATA / "driver-workers.csv")
    axes.plot(table.workers, 100 * table.busy, "o-", color=COLORS[0])
    axes.axhline(90, color="0.6", linewidth=1, linestyle="--")
    axes.set(
        xscale="log", xlabel="trials of one second at a time", ylabel="time that workers are busy (%)", ylim=(0, 103)
    )
    axes.set_title("One driver on 2 cores feeds many workers")


def _replicas(axes: Axes) -> None:
    for (name, table), color in zip(
        pd.read_csv(DATA / "replicas.csv").groupby("setting", sort=False), COLORS, strict=True
    ):
        axes.plot(table.replicas, table.us_a_replica_step, "o-", color=color, label=name)
    axes.set(xscale="log", yscale="log", xlabel="replicas that train together", ylabel="time a replica-step (µs)")
    axes.set_title("Replicas share what a training costs anyway")
    axes.legend(frameon=False)


def main() -> None:
    torch.set_num_threads(1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    by_replicas().to_csv(DATA / "replicas.csv", index=False, float_format="%.4g")
    draw()


if __name__ == "__main__":
    main()
