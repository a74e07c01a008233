"""How training scales with replicas on a GPU, if there is one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from anchoring.training import train
from benchmarks.figures import Row, Runs, race, seconds
from benchmarks.settings import read
from excolor.experiment import experiment

STEPS = 200


def gpu(seed: Path, full: int) -> list[Row]:
    """Rows for 16 to 16,384 replicas, and for how many trials of 16 seeds and `full` steps fit into a minute."""
    if not torch.cuda.is_available():
        return []
    setting = read(seed, STEPS)
    sizes = [2**power for power in range(4, 15, 2)]

    def rate(replicas: int) -> float:
        def one() -> None:
            train(experiment, setting, range(replicas), rungs=1, accelerator="cuda")

        return replicas * STEPS / seconds(one)

    rate(sizes[0])  # warms up
    ran = race({str(size): partial(rate, size) for size in sizes})
    rows = [Row(f"GPU, replica-steps/s, {int(size):,} replicas", run) for size, run in ran.items()]
    trials = Runs(tuple(60 * rate / full / 16 for rate in max(ran.values(), key=lambda run: run.median).values))
    return [*rows, Row("GPU, trials of 16 seeds that a minute holds", trials)]
