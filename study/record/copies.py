"""Working copies of studies at URLs: what of them is known to be at the URL, and which may be removed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from study.record.lock import is_held
from study.record.writer import Writer

NOTE = ".uploaded"
"""A file in a copy. It says which of the copy's files are at the URL. Its time is that of the copy's last use."""

KEPT = 20
"""How many copies are kept in any case."""

UNUSED = 30 * 24 * 3600
"""Seconds for which a copy has to be unused before it may be removed."""

Stamp = tuple[int, int]


def stamp(file: Path) -> Stamp:
    """A file's time of modification in nanoseconds, and its size."""
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size


def noted(copy: Path) -> dict[str, Stamp]:
    """The files of a copy that were at the URL, as they were then."""
    with suppress(OSError, ValueError, AttributeError, TypeError):
        found = json.loads((copy / NOTE).read_bytes())
        return {name: (time, size) for name, (time, size) in found.items()}
    return {}


def note(copy: Path, files: Mapping[str, Stamp]) -> None:
    """Remember which files of a copy are at the URL, and that it was used."""
    Writer(copy).write(NOTE, json.dumps(files).encode())


def is_uploaded(copy: Path) -> bool:
    """Whether each file of a copy is known to be at the URL. Files of W&B and TensorBoard never are."""
    there = noted(copy)
    files = [file for file in copy.rglob("*") if file.is_file() and not file.name.startswith(".")]
    return bool(files) and all(there.get(file.relative_to(copy).as_posix()) == stamp(file) for file in files)


def remove_unused(home: Path) -> None:
    """Remove copies that were not used for long, beyond those that are kept, if all that they hold is at their URL."""
    notes = sorted(home.glob(f"*/*/{NOTE}"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in notes[KEPT:]:
        copy = file.parent
        if time.time() - file.stat().st_mtime > UNUSED and not is_held(copy) and is_uploaded(copy):
            shutil.rmtree(copy, ignore_errors=True)
