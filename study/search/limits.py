"""Limits of a trial: its minutes, which the driver watches, and its memory, which the operating system limits."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback
from ray.util.placement_group import placement_group_table

from study import surroundings
from study.watch.screen import console

GIB = 2**30


STARTS_IN = 20
"""Seconds that a worker may take to start before a study asks what it waits for."""

SAY_EVERY = 10
"""Seconds after which it is said again what a study waits for."""

STOPPED = 30
"""If this process does nothing for as many seconds, it was stopped (Ctrl-Z), or the machine slept."""


class Clock:
    """The seconds for which this process has run. Time in which it was stopped does not count."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._seconds = 0.0

    def __call__(self) -> float:
        """Read the clock. While work is timed, it must be read often."""
        now = time.monotonic()
        passed, self._last = now - self._last, now
        self._seconds += passed if passed < STOPPED else 0
        return self._seconds


class TimeLimit(Callback):
    """Kills the worker of a trial that takes longer than `seconds`, even if it hangs. The trial is not retried."""

    def __init__(self, seconds: float, clock: Clock):
        self._seconds = seconds
        self._clock = clock
        self._since: dict[Any, float] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._since[trial] = self._clock()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        now = self._clock()
        for trial, since in [*self._since.items()]:
            if trial.status != "RUNNING":
                self._since.pop(trial)
            elif now - since > self._seconds:
                trial.max_failures = 0
                trial.overdue = f"it took longer than {self._seconds / 60:g} minutes (--limit)"
                ray.kill(trial.temporary_state.ray_actor)


class Waiting(Callback):
    """Says that no trial can begin because others took a cluster's CPUs, and gives up when the minutes are over."""

    def __init__(self, clock: Clock, is_over: Callable[[], bool], give_up: Callable[[], None]):
        self._clock = clock
        self._is_over = is_over
        self._give_up = give_up
        self._since = self._next = 0.0

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        now = self._clock()
        if any(trial.status == "RUNNING" for trial in reversed(trials)) or not trials:
            self._since, self._next = now, now + STARTS_IN
        elif now >= self._next and not has_a_cpu():
            self._next = now + SAY_EVERY
            taken = f"the cluster's {ray.cluster_resources().get('CPU', 0):.0f} are all in use"
            console.print(f"waiting for a free CPU since {now - self._since:.0f} s: {taken}", highlight=False)
            if self._is_over():
                self._give_up()


def has_a_cpu() -> bool:
    """Whether a worker of this process has a CPU, be it still starting.

    Tune reserves each CPU as a placement group, whose identifier ends with that of the job which made it.
    """
    job = ray.get_runtime_context().get_job_id()
    groups = placement_group_table().values()
    return any(g["state"] == "CREATED" and g["placement_group_id"].endswith(job) for g in groups)


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
