"""All benchmarks, in one table. `make bench` runs them."""

from __future__ import annotations

import logging
import os
import time
import warnings

import torch
from rich.console import Console

from benchmarks.answer import answer
from benchmarks.compiling import compiling
from benchmarks.driver import driver
from benchmarks.figures import Runs, table
from benchmarks.floors import floors
from benchmarks.gpu import gpu
from benchmarks.overheads import overheads
from benchmarks.rates import rates
from benchmarks.settings import SUBSPACE_ABLATION, read
from benchmarks.studies import studies

CORES = 2


def main() -> None:
    start = time.monotonic()
    progress = Console(stderr=True)
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    _quiet()
    torch.set_num_threads(1)
    setting = read(SUBSPACE_ABLATION)

    def say(what: str) -> None:
        progress.print(f"{time.monotonic() - start:4.0f} s  {what}", highlight=False)

    os.sched_setaffinity(0, cores[-1:])
    say("steps: ours, the baseline's and JAX's, one core")
    rows = rates()
    say("Lightning, evaluation and bounds, one core")
    rows += overheads(setting)
    assert isinstance(rows[0].ours, Runs)
    rows += floors(rows[0].ours)
    say("compiling, one core")
    rows += compiling()
    rows += gpu(SUBSPACE_ABLATION, len(setting.schedule))
    os.sched_setaffinity(0, cores)
    say(f"studies, {len(cores)} cores")
    rows += studies()
    say("the driver: 1,000 trials, 32 workers")
    rows += driver()
    say("how long a user waits")
    rows += answer()
    say("done")
    Console(width=max(160, progress.width)).print(table(rows))


def _quiet() -> None:
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


if __name__ == "__main__":
    main()
