"""What a study's driver costs, by how much it has to do: 100 to 10,000 trials that only sleep, 1 to 64 at a time.

`python -m benchmarks.driver` measures all of it in an hour and writes benchmarks/data/driver-trials.csv and
driver-workers.csv. `python -m benchmarks.driver trials 300 1000` measures two sizes, and keeps the others' rows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.figures import Row, Target, once
from benchmarks.searches import search
from benchmarks.settings import ROOT

HERE = ROOT / "benchmarks"
DATA = HERE / "data"
SLEEPER = ("--experiment", str(HERE / "sleeper.py"), "--seeds", "1", "--rungs", "10", "--scheduler", "none")

TRIALS = (100, 300, 1000, 3000, 10_000)
WORKERS = (1, 2, 4, 8, 16, 32, 64)
ROUNDS = 30  # trials for each worker, as those that start first have many before the last one starts


def driver() -> list[Row]:
    """Rows for a study of 1,000 trials that take no time, and for one of trials that sleep, 32 at a time."""
    many, at_once = by_trials(1000), by_workers(32)
    each, slowing, memory = many["ms_a_trial"], many["last_over_first"], many["kb_a_trial"]
    return [
        once("driver's CPU time a trial", each, ".1f", " ms", Target("< 15 ms", each < 15)),
        once("the same, last hundred of 1,000 over first", slowing, ".2f", "x", Target("≤ 1.2x", slowing <= 1.2)),
        once("driver's memory grows by, a trial", memory, ".0f", " KB", Target("< 50 KB", memory < 50)),
        once("32 workers, busy", at_once["busy"], ".0%", "", Target("≥ 90%", at_once["busy"] >= 0.9)),
    ]


def by_trials(trials: int) -> dict[str, float]:
    """The driver's memory and CPU time for a trial: the mean over all trials, the first hundred and the last hundred.

    The trials take no time and run 2 at a time. The first ten are left out, as the driver also starts then.
    """
    found = search(HERE / "sleeper.toml", trials, *SLEEPER, "--cpus", "2")
    last, hundred = trials - 1, min(100, trials - 11)
    first = 1000 * found.driver_cpu(10, 10 + hundred)
    late = 1000 * found.driver_cpu(last - hundred, last)
    return {
        "trials": trials,
        "ms_a_trial": 1000 * found.driver_cpu(10, last),
        "ms_first_hundred": first,
        "ms_last_hundred": late,
        "last_over_first": late / first,
        "kb_a_trial": found.bytes_per_trial / 1000,
        "seconds": found.ends[last] - found.ends[10],
    }


def by_workers(workers: int) -> dict[str, float]:
    """The share of the workers' time in which they sleep, in a study of trials that sleep for a second.

    The time begins when every worker's process has ended a trial, and ends when the last trial starts.
    """
    trials = ROUNDS * workers
    found = search(HERE / "sleeper-second.toml", trials, *SLEEPER, "--cpus", str(workers))
    first = np.unique(found.trials["process.mean"], return_index=True)[1].max()
    begin, end = found.ends[first], found.starts.max()
    slept = np.minimum(found.starts + 1, end) - np.maximum(found.starts, begin)
    return {
        "workers": workers,
        "trials": trials,
        "seconds": end - begin,
        "busy": slept.clip(0).sum() / (workers * (end - begin)),
        "ms_a_trial": 1000 * found.driver_cpu(first, trials - workers),
    }


def measured(name: str, key: str, rows: Iterable[dict[str, Any]]) -> None:
    """Put rows into a table of benchmarks/data as they are measured, each in place of the one with the same key."""
    DATA.mkdir(exist_ok=True)
    for row in rows:
        new, file = pd.DataFrame([row]), DATA / name
        if file.is_file():
            old = pd.read_csv(file)
            new = pd.concat([old[old[key] != row[key]], new])
        new.sort_values(key, kind="stable").to_csv(file, index=False, float_format="%.4g")
        print(", ".join(f"{name} {figure:.4g}" for name, figure in row.items()), flush=True)


def main() -> None:
    what, numbers = sys.argv[1:2] or ["trials", "workers"], [int(word) for word in sys.argv[2:]]
    if "trials" in what:
        measured("driver-trials.csv", "trials", map(by_trials, numbers or TRIALS))
    if "workers" in what:
        measured("driver-workers.csv", "workers", map(by_workers, numbers or WORKERS))


if __name__ == "__main__":
    main()
