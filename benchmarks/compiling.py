"""How long a kind of step takes to compile, and to load once it is compiled. Each is measured in a fresh process.

Run as a program, this file prints the seconds until the first compiled step of subspace ablation has been taken.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import torch

from anchoring.training import Training
from benchmarks.figures import Row, Runs, less_than, seconds
from benchmarks.settings import SUBSPACE_ABLATION, read
from excolor.experiment import experiment


def compiling() -> list[Row]:
    """A row for an empty cache, and one for a cache that holds the step."""
    with tempfile.TemporaryDirectory() as cache:
        compiled = Runs((_in_fresh_process(cache),), ".1f", " s")
        loaded = Runs(tuple(1000 * _in_fresh_process(cache) for _ in range(5)), ".0f", " ms")
    return [
        Row("a kind of step: compiled", compiled, targets=(less_than(compiled, 8, "< 8 s"),)),
        Row("a kind of step: loaded", loaded, targets=(less_than(loaded, 10, "< 10 ms"),)),
    ]


def _in_fresh_process(cache: str) -> float:
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    command = [sys.executable, "-m", "benchmarks.compiling"]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def _first_step() -> float:
    setting = read(SUBSPACE_ABLATION)
    training = Training(experiment, setting, range(16), rungs=len(setting.schedule), compiled=True)
    segment = next(training.segments())  # one step, since every step has a rung
    return seconds(lambda: training.advance(segment))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(_first_step())
