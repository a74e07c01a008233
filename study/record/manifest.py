"""A study's manifest: its options, its code, and where it ran. It is written when the study starts or is continued."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from anchoring.errors import InputError
from study.record.budget import minutes_used
from study.record.folder import StudyFolder, recorded, reference_files
from study.record.untrusted import FORMAT
from study.record.writer import TakenError, Writer, new_path
from study.registry import DEFAULT
from study.search import points
from study.search.goal import Goal
from study.search.plan import MAY_CHANGE, Plan
from study.space.space import Space, concept_of, expect_concept

Listed = tuple[str, list[points.Point]] | None
"""Where a list of settings comes from, and the settings."""


def create(
    space: Space,
    plan: Plan,
    path: Path,
    listed: Listed = None,
    files: Mapping[str, bytes] = MappingProxyType({}),
    **entries: Any,
) -> StudyFolder:
    """Make the folder of a new study, perhaps with a list of settings to try first, more files and manifest entries.

    Raises InputError if it exists, cannot be made, or the plan has a wrong goal.
    """
    metrics = space.metrics()
    plan = plan.but(objectives=Goal.of(plan, metrics).objectives)
    manifest = {
        "format": FORMAT,
        "space": str(space.file),
        "replica_seeds": plan.replica_seeds,
        **_now(plan),
        **plan.model_dump(),
        "experiment": space.source.record,
        "metrics": recorded(metrics),
        "references": [file.stem for file in reference_files(space)],
        **entries,
    }
    if listed:
        manifest["listed"], settings = listed
        files = {**files, points.NAME: points.as_csv(settings, space).encode()}
    written = Writer.create(path, space, manifest, compared_spaces(space, plan), files)
    return StudyFolder(written.path, space.source if space.source.file else None)


def compared_spaces(space: Space, plan: Plan) -> list[Space]:
    """The fixed settings that a plan's relative constraints refer to. Raises InputError if one cannot be compared."""
    concept, found = concept_of(space), []
    for reference in Goal.of(plan, space.metrics()).compared_with.values():
        where = f"--constraint: {reference}"
        other = Space.read(reference, plan.steps, space.source)
        if other.distributions:
            raise InputError(f"{where}: found ranges, expected a fixed setting to compare with")
        expect_concept(other, concept, where)
        Goal.of(plan, other.metrics())  # raises InputError if what is bounded is not measured there
        found.append(other)
    return found


def create_anew(
    space: Space, plan: Plan, out: Path, name: str, elsewhere: Collection[str], *more: Any, **entries: Any
) -> StudyFolder:
    """Make the folder of a new study, of a name or, without one, of the first that is free. `create` takes the rest.

    Several processes may do so at once. Raises InputError if the name is in use or the folder cannot be made.
    """
    while True:
        path = new_path(out, name, space.file.stem, elsewhere)
        with suppress(TakenError):
            return create(space, plan, path, *more, **entries)


def expect_same_search(folder: StudyFolder, space: Space, plan: Plan) -> None:
    """Raise InputError unless a plan of a space can continue the search in a study's folder."""
    path, before = folder.path, folder.plan()
    if folder.source.name not in (space.source.name, DEFAULT):
        found = f"found a study of experiment {folder.source.name!r}"
        expected = f"expected one of {space.source.name!r}, the space's experiment, or a new name (--name)"
        raise InputError(f"{path}: {found}, {expected}")
    now = plan.but(objectives=Goal.of(plan, space.metrics()).objectives)
    if _searched(folder.space) != _searched(space):
        raise InputError(f"{path}: found a study of another space, expected a new name (--name)")
    fixed = [name for name in Plan.model_fields if name not in (*MAY_CHANGE, "compiled")]
    if changed := [name for name in fixed if getattr(before, name) != getattr(now, name)]:
        raise InputError(f"{path}: found a study with other {', '.join(changed)}, expected a new name (--name)")
    if plan.trials is not None and plan.trials <= (done := len(folder.trials())):
        raise InputError(f"{path}: found {done} trials, expected more (--trials) or a new name (--name)")


def _searched(space: Space) -> tuple[Any, ...]:
    """What a space searches, without its title, its files' names, their comments and the layout of the TOML."""
    document = {key: value for key, value in space.template.items() if key not in ("title", "schedule")}
    return document, space.template["schedule"]["rows"], space.distributions


def extend(folder: StudyFolder, plan: Plan) -> None:
    """Record that a study is continued with a plan of more trials or minutes. The old record goes to its history."""
    manifest = folder.manifest()
    before = {key: manifest.get(key) for key in ("started", "command", "commit", "trials", "minutes")}
    history = [*manifest.get("history", []), before]
    now = {**_now(plan), **plan.model_dump(), "minutes_used": minutes_used(folder)}
    _write(folder, {**manifest, **now, "history": history})


def expect_same_experiment(folder: StudyFolder, changed: bool = False) -> None:
    """Check that a study's experiment is available, and that its code has not changed since the study began.

    A study of version 0.1 does not record its experiment's code.

    Args:
        folder: the study.
        changed: accept changed code. The manifest then records it, and its history keeps the record of the old code.

    Raises:
        InputError: if the experiment is not available, or has changed.
    """
    source, manifest = folder.source, folder.manifest()
    before = manifest.get("experiment")
    _ = folder.experiment  # raises InputError if it is not available
    if before is None or before["digest"] == source.digest:
        return
    if not changed:
        found = f"experiment {source.name} has changed (digest {source.digest[:12]})"
        expected = f"its code of {manifest['started']} (digest {before['digest'][:12]})"
        raise InputError(f"{folder.path}: {found}, expected {expected} (--changed-experiment accepts the new code)")
    history = [*manifest.get("history", []), {"started": manifest["started"], "experiment": before}]
    _write(folder, {**manifest, "experiment": source.record, "history": history})


def expect_same_list(folder: StudyFolder, listed: Listed) -> None:
    """Raise InputError if the list that a command made is not the one that a study began with, as far as both go."""
    origin, known = _list(folder)
    if listed and (listed[0] != origin or listed[1][: len(known)] != known[: len(listed[1])]):
        raise InputError(f"{folder.path}: found a study with another list of settings, expected a new name (--name)")


def grow_list(folder: StudyFolder, plan: Plan) -> None:
    """Make a study's list of settings, if it has one, as long as a plan asks for. Raises InputError if it cannot."""
    origin, known = _list(folder)
    longer = points.grown(known, origin, plan, folder.space) if origin else []
    if len(longer) > len(known):
        Writer(folder.path).write(points.NAME, points.as_csv(longer, folder.space).encode())


def _list(folder: StudyFolder) -> tuple[str, list[points.Point]]:
    """Where a study's list of settings comes from, and the settings; "" and none if it has no list."""
    origin = str(folder.manifest().get("listed") or "")
    return origin, points.read(folder.path / points.NAME, folder.space) if origin else []


def _write(folder: StudyFolder, manifest: dict[str, Any]) -> None:
    Writer(folder.path).write_manifest(manifest)


def _now(plan: Plan) -> dict[str, Any]:
    """The manifest's entries about this process and this machine."""
    packages = ("torch", "ray", "lightning", "optuna", "numpy", "pandas")
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(),
        "commit": _commit(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "machine": {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()},
        "workers": plan.at_once,
    }


def _command() -> list[str]:
    """The command line, without passwords in URLs. It is `python` for a study that was run from Python."""
    program = Path(sys.argv[0])
    if program.name not in ("study", "study.exe") and program.resolve() != Path(__file__).parents[1] / "__main__.py":
        return ["python"]
    return ["study", *(re.sub("://.*@", "://***@", argument) for argument in sys.argv[1:])]


def _commit() -> str | None:
    """The commit of the running code, followed by + if files have changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
