"""Documents: the TOML file of a search space or a setting, and the dopesheet CSV beside it, as plain data."""

from __future__ import annotations

import csv
import errno
import io
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from anchoring.errors import InputError
from study.experiment import Document

LARGEST, LONGEST_LINE, DEEPEST = 100_000, 2_000, 10  # bytes of a file, characters of a line, nested tables


def read_document(path: Path) -> Document:
    """Read the TOML file of a search space or a setting, and its CSV, without checking what they say.

    Raises InputError if either cannot be read.
    """
    text = _read(path, "a TOML file (`study spaces` lists some)")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a plain ValueError
        raise InputError(f'{path}: not valid TOML: {error} (ranges need quotes: "log(1, 2)")') from None
    _expect_shallow(document, path)
    name = document.get("schedule")
    if not isinstance(name, str) or Path(name).name != name or not name:
        raise InputError(f"{path}: schedule: found {name!r}, expected the name of a CSV file beside it")
    schedule = path.parent / name
    try:
        rows = list(csv.reader(_read(schedule, f"the CSV file that {path} names").splitlines(), strict=True))
    except csv.Error as error:
        raise InputError(f"{schedule}: not valid CSV: {error}") from None
    return {**document, "schedule": {"file": str(schedule), "rows": rows}}


def write_setting(document: Document, folder: Path, stem: str) -> Path:
    """Write a document without ranges as `stem`.toml and `stem`.csv. `Space.read` reads them as the same setting.

    Raises InputError if the files exist, since they may have been edited, or cannot be written.
    """
    toml, schedule = folder / f"{stem}.toml", folder / f"{stem}.csv"
    rows = io.StringIO()
    csv.writer(rows, lineterminator="\n").writerows(document["schedule"]["rows"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (toml, schedule):
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        for path, text in ((toml, tomli_w.dumps({**document, "schedule": schedule.name})), (schedule, rows.getvalue())):
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        where = error.filename or toml
        raise InputError(
            f"{where}: cannot be written ({error.strerror}), expected a folder without such a file (--to)"
        ) from None
    return toml


def without_term(document: Document, term: str) -> Document:
    """A copy of a document without one of its regularizers and that regularizer's column in the schedule."""
    header, *body = document["schedule"]["rows"]
    kept = [i for i, cell in enumerate(header) if cell.partition(":")[0].strip() != term]
    rows = [[row[i] for i in kept if i < len(row)] for row in (header, *body)]
    terms = {name: table for name, table in document["regularizers"].items() if name != term}
    return {**document, "regularizers": terms, "schedule": {**document["schedule"], "rows": rows}}


def _read(path: Path, expected: str) -> str:
    """A file's text. Large files and long lines are rejected: parsers take minutes, and no real setting has them."""
    try:
        if not stat.S_ISREG((found := path.stat()).st_mode):  # reading a pipe would never end
            reason = "is a folder" if path.is_dir() else "is not a file"
        elif found.st_size > LARGEST:
            reason = f"has {found.st_size:,} bytes, more than {LARGEST:,}"
        else:
            text = path.read_text(encoding="utf-8-sig")  # Excel writes a byte order mark
            longest = max(map(len, text.splitlines()), default=0)
            if longest <= LONGEST_LINE:
                return text
            reason = f"has a line of {longest:,} characters, more than {LONGEST_LINE:,}"
    except FileNotFoundError:
        reason = "no such file"
    except UnicodeDecodeError:
        reason = "not UTF-8"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise InputError(f"{path}: {reason}, expected {expected}")


def _expect_shallow(document: Document, path: Path) -> None:
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        children = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for nodes in children for child in nodes if isinstance(child, dict | list)]
    if level:
        raise InputError(f"{path}: found more than {DEEPEST} levels of tables, expected the keys of docs/settings.md")
