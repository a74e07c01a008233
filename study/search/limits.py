"""Limits of a trial: its minutes, which the driver watches, and its memory, which the operating system limits."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback

from study import surroundings

GIB = 2**30


class TimeLimit(Callback):
    """Kills the worker of a trial that takes longer than `seconds`, even if it hangs. The trial is not retried."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._since: dict[Any, float] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._since[trial] = time.monotonic()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        now = time.monotonic()
        for trial, since in [*self._since.items()]:
            if trial.status != "RUNNING":
                self._since.pop(trial)
            elif now - since > self._seconds:
                trial.max_failures = 0
                trial.overdue = f"it took longer than {self._seconds / 60:g} minutes (--limit)"
                ray.kill(trial.temporary_state.ray_actor)


def limit_memory(gib: float | None, workers: int | None) -> None:
    """Limit the memory that this process can allocate, beyond which NumPy and PyTorch raise an error.

    Args:
        gib: the limit. None allows an equal share of the machine, or its container.
        workers: the number of processes that share the machine, at most one for each CPU.
    """
    cpus = surroundings.cpus()
    share = surroundings.memory() / min(workers or cpus, cpus)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = int(gib * GIB if gib else share)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def why_it_died(trial: Any) -> str:
    """Why Tune gave up a trial, in one line."""
    if hasattr(trial, "overdue"):
        return trial.overdue
    _, _, last = Path(trial.error_file).read_text().rpartition("Failure # ")
    memory = ", the last time because the machine was low on memory" if "low on memory" in last else ""
    return f"its worker died {trial.run_metadata.num_failures} times{memory}"
