"""What is asked of a study, and the new folder in which that is written down."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from excolor.step import step_kinds
from study.folder import StudyFolder
from study.space import Space

SchedulerName = Literal["asha", "hyperband", "median", "none"]

SEEDS_APART = 100_000
"""Replica seeds of studies with neighbouring `--seed`s are this far apart; a search uses the first of them."""

WORTH_COMPILING = 200_000
"""So many replica-steps take as much longer eagerly as it takes to compile a step."""


@dataclass(frozen=True)
class Plan:
    """What a person asks of a study, besides its space."""

    trials: int = 60
    seeds: int = 16
    seed: int = 0
    cpus: int = 0  # all of them
    rungs: int = 10
    steps: int | None = None  # the schedule's own
    compiled: bool = False
    scheduler: SchedulerName = "asha"

    @property
    def replica_seeds(self) -> list[int]:
        """Every trial's replicas have these seeds, so that trials differ by their settings alone."""
        return [self.seed * SEEDS_APART + replica for replica in range(self.seeds)]

    @property
    def workers(self) -> int:
        return self.cpus or len(os.sched_getaffinity(0))


def worth_compiling(space: Space, trials: int, seeds: int) -> bool:
    """Whether so many trainings with settings of the space end sooner with compiled steps, made for the first time.

    They do unless they are short, or different settings take different kinds of step, each to be compiled.
    """
    kinds: set[str] = set()
    points = steps = new = 0
    for point in space.corners():
        setting = space.setting(point)
        found = step_kinds(setting)
        points, steps, new = points + 1, len(setting.schedule), new + (not found <= kinds)
        kinds |= found
    few = new <= max(1, points / 2)
    return few and trials * seeds * steps >= WORTH_COMPILING * len(kinds)


def create(space: Space, plan: Plan, path: Path) -> StudyFolder:
    """Make the folder of a new study. Raises InputError if it exists or cannot be made."""
    manifest = {
        "space": str(space.file),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["study", *sys.argv[1:]],
        "commit": _commit(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("torch", "ray", "lightning", "optuna", "numpy", "pandas")
        },
        "machine": {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()},
        "trials": plan.trials,
        "seed": plan.seed,
        "replica_seeds": plan.replica_seeds,
        "rungs": plan.rungs,
        "steps": plan.steps,
        "workers": plan.workers,
        "compiled": plan.compiled,
        "sampler": "TPE",
        "scheduler": plan.scheduler,
    }
    return StudyFolder.create(path, space, manifest)


def _commit() -> str | None:
    """The commit of the code that runs, with a + if it was changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
