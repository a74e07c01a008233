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

from study.folder import StudyFolder
from study.space import Space

SEEDS_APART = 100_000
"""Replica seeds of studies with neighbouring `--seed`s are this far apart; a search uses the first of them."""


@dataclass(frozen=True)
class Plan:
    """What a person asks of a study, besides its space."""

    trials: int = 60
    seeds: int = 16
    seed: int = 0
    cpus: int = 0  # all of them
    rungs: int = 10
    steps: int | None = None  # the schedule's own

    @property
    def replica_seeds(self) -> list[int]:
        """Every trial's replicas have these seeds, so that trials differ by their settings alone."""
        return [self.seed * SEEDS_APART + replica for replica in range(self.seeds)]

    @property
    def workers(self) -> int:
        return self.cpus or len(os.sched_getaffinity(0))


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
        "sampler": "TPE",
        "scheduler": "ASHA",
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
