"""What is asked of a study, and the new folder in which that is written down."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from anchoring.errors import InputError, first_problem
from study.experiment import Metric
from study.record.folder import StudyFolder, recorded
from study.record.untrusted import FORMAT
from study.record.writer import Writer
from study.registry import DEFAULT
from study.search.goal import Aggregate, Goal
from study.space.space import Space

SamplerName = Literal["tpe", "gp", "cmaes", "random", "qmc"]
SchedulerName = Literal["asha", "hyperband", "median", "none"]

SEEDS_APART = 100_000
"""Replica seeds of studies with neighbouring `--seed`s are this far apart. A search uses the first half of them, and
its confirmation the second."""

WORTH_COMPILING = 20_000
"""So many replica-steps take as much longer eagerly as it takes to compile a step."""

EAGER_SPEED = 9_000
"""Replica-steps a second of one worker, roughly."""


@dataclass(frozen=True)
class Plan:
    """What a person asks of a study, besides its space."""

    trials: int | None = 60  # or as many as the minutes allow
    minutes: float | None = None
    seeds: int = 16
    seed: int = 0
    cpus: int = 0  # all of them
    address: str | None = None  # of a Ray cluster; without, a Ray of its own on this machine
    rungs: int = 10
    steps: int | None = None  # the schedule's own
    sampler: SamplerName = "tpe"
    scheduler: SchedulerName = "asha"
    audit: float = 0.0  # share of the trials to be stopped that run on
    objectives: tuple[str, ...] = ()  # the first metric that the experiment declares
    aggregate: Aggregate = "mean"
    constraints: tuple[str, ...] = ()
    compiled: bool = False
    limit: float = 60.0  # minutes a trial may take
    memory: float | None = None  # GiB a worker may allocate, or its share of the machine

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0 < self.minutes < 1_000_000:  # nan, too, is not
            raise InputError(f"--minutes: found {self.minutes}, expected a number of minutes")
        if not 0 <= self.audit <= 1:
            raise InputError(f"--audit: found {self.audit}, expected a share from 0 to 1")

    @classmethod
    def of(cls, folder: StudyFolder) -> Plan:
        """The plan that a study was started, or last continued, with."""
        names = {field.name for field in fields(cls)}
        known: dict[str, Any] = {key: value for key, value in folder.manifest().items() if key in names}
        try:
            return TypeAdapter(cls).validate_python(known)
        except ValidationError as error:
            raise InputError(f"{folder.path / 'manifest.json'}: {first_problem(error)}") from None

    def goal(self, metrics: Mapping[str, Metric]) -> Goal:
        """What is searched for, among the metrics that an experiment declares. Raises InputError if they lack it."""
        return Goal(metrics, self.objectives, self.aggregate, self.constraints)

    @property
    def replica_seeds(self) -> list[int]:
        """Every trial's replicas have these seeds, so that trials differ by their settings alone."""
        return [self.seed * SEEDS_APART + replica for replica in range(self.seeds)]

    def held_out_seeds(self, n: int) -> list[int]:
        """Seeds that no search ever sees."""
        return [self.seed * SEEDS_APART + SEEDS_APART // 2 + replica for replica in range(n)]

    @property
    def workers(self) -> int:
        """Trials at a time on this machine."""
        if self.cpus:
            return self.cpus
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @property
    def at_once(self) -> int | None:
        """Trials at a time; None: as many as a cluster has CPUs for, which may change."""
        return self.cpus or None if self.address else self.workers


def kinds_of(space: Space, setting: Any) -> set[str] | None:
    """The kinds of native code that a setting's training runs; None if its experiment has no native code."""
    step_kinds = getattr(space.experiment, "step_kinds", None)
    return None if step_kinds is None else set(step_kinds(setting))


def worth_compiling(space: Space, plan: Plan) -> bool:
    """Whether the plan's trainings end sooner with compiled steps, even if those are yet to be made.

    They do unless they are short, or different settings take different kinds of step, each to be compiled. Without
    native code there is nothing to compile.
    """
    kinds: set[str] = set()
    points = steps = new = 0
    for point in space.corners():
        setting = space.setting(point)
        if (found := kinds_of(space, setting)) is None:
            return False
        points, steps, new = points + 1, len(setting.schedule), new + (not found <= kinds)
        kinds |= found
    trials = plan.trials or (plan.minutes or 0) * 60 * EAGER_SPEED * plan.workers / (plan.seeds * steps)
    few = new <= max(1, points / 2)
    return few and trials * plan.seeds * steps >= WORTH_COMPILING * len(kinds)


def create(space: Space, plan: Plan, path: Path) -> StudyFolder:
    """Make the folder of a new study. Raises InputError if it exists or cannot be made, or on a wrong goal."""
    metrics = space.metrics()
    plan = replace(plan, objectives=plan.goal(metrics).objectives)
    manifest = {
        "format": FORMAT,
        "space": str(space.file),
        "replica_seeds": plan.replica_seeds,
        **_now(plan),
        **asdict(plan),
        "experiment": space.source.record,
        "metrics": recorded(metrics),
    }
    return StudyFolder(Writer.create(path, space, manifest).path, space.source if space.source.file else None)


def continued(folder: StudyFolder, space: Space, plan: Plan) -> Plan:
    """The plan to go on with in a study's folder. Raises InputError if that was another kind of search."""
    path = folder.path
    before = Plan.of(folder)
    if folder.source.name not in (space.source.name, DEFAULT):
        found = f"is a study of experiment {folder.source.name!r}"
        raise InputError(f"{path}: {found}, expected {space.source.name!r}, the space's, or a new name (--name)")
    now = replace(plan, compiled=before.compiled, objectives=plan.goal(space.metrics()).objectives)
    read, written = folder.space.template["schedule"]["rows"], space.template["schedule"]["rows"]
    if (folder.path / "study.toml").read_bytes() != space.file.read_bytes() or read != written:
        raise InputError(f"{path}: a study of another space has this name, expected a new name (--name)")
    may_change = ("trials", "minutes", "cpus", "address", "limit", "memory")
    fixed = [field.name for field in fields(Plan) if field.name not in may_change]
    if changed := [name for name in fixed if getattr(before, name) != getattr(now, name)]:
        raise InputError(f"{path}: a study with other {', '.join(changed)} has this name, expected a new name (--name)")
    if plan.trials is not None and plan.trials <= len(folder.trials()):
        raise InputError(f"{path}: has {len(folder.trials())} trials, expected more (--trials) or a new name (--name)")
    return now


def extend(folder: StudyFolder, plan: Plan) -> None:
    """Write down that a study is continued, with a plan of more trials or minutes; keep how it was before."""
    before = {key: folder.manifest().get(key) for key in ("started", "command", "commit", "trials", "minutes")}
    history = [*folder.manifest().get("history", []), before]
    _write(folder, {**folder.manifest(), **_now(plan), **asdict(plan), "history": history})


def expect_same_experiment(folder: StudyFolder, changed: bool = False) -> None:
    """See that a study's experiment is here, and still has the code that the study was made with.

    Raises InputError if not, unless it may have `changed`: then the manifest records the new code, and in its history
    the one before. A study of version 0.1 does not say what code it was made with.
    """
    source, before = folder.source, folder.manifest().get("experiment")
    _ = folder.experiment  # says that it is not here
    if before is None or before["digest"] == source.digest:
        return
    if not changed:
        found = f"experiment {source.name} has changed since (digest {source.digest[:12]})"
        expected = f"that of {folder.manifest()['started']} ({before['digest'][:12]})"
        raise InputError(f"{folder.path}: {found}, expected {expected}; --changed-experiment goes on with the new one")
    history = [*folder.manifest().get("history", []), {"started": folder.manifest()["started"], "experiment": before}]
    _write(folder, {**folder.manifest(), "experiment": source.record, "history": history})


def _write(folder: StudyFolder, manifest: dict[str, Any]) -> None:
    Writer(folder.path).write_manifest(manifest)


def _now(plan: Plan) -> dict[str, Any]:
    """What there is to know about this process and machine."""
    packages = ("torch", "ray", "lightning", "optuna", "numpy", "pandas")
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["study", *(re.sub("://.*@", "://***@", argument) for argument in sys.argv[1:])],
        "commit": _commit(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "machine": {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()},
        "workers": plan.at_once,
    }


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
