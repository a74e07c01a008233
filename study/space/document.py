"""Documents: the TOML file of a search space or a setting, and the dopesheet CSV beside it, as plain data."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from anchoring.dopesheet import rescale
from anchoring.errors import InputError
from study.experiment import Document
from study.surroundings import expanded

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
    rows = _rows(_read(schedule, f"the CSV file that {path} names"), str(schedule))
    return {**document, "schedule": {"file": str(schedule), "rows": rows}}


def write_setting(document: Document, folder: Path, stem: str) -> Path:
    """Write a document without ranges as `stem`.toml and `stem`.csv. `Space.read` reads them as the same setting.

    Raises InputError if the files exist, since they may have been edited, or cannot be written.
    """
    folder = expanded(folder)
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


def rescaled(document: Document, steps: int) -> Document:
    """A document with its schedule stretched or shrunk. Raises InputError if rounding makes that impossible."""
    schedule = document["schedule"]
    return {**document, "schedule": {**schedule, "rows": rescale(schedule["rows"], steps, schedule["file"])}}


def without_term(document: Document, term: str) -> Document:
    """A copy of a document without one of its regularizers and that regularizer's column in the schedule."""
    header, *body = document["schedule"]["rows"]
    kept = [i for i, cell in enumerate(header) if cell.partition(":")[0].strip() != term]
    rows = [[row[i] for i in kept if i < len(row)] for row in (header, *body)]
    terms = {name: table for name, table in document["regularizers"].items() if name != term}
    return {**document, "regularizers": terms, "schedule": {**document["schedule"], "rows": rows}}


def _rows(text: str, file: str) -> list[list[str]]:
    """The cells of a sheet, as editors and spreadsheets of any country save it: without the space around cells and
    without empty columns at the right, with a point in numbers.

    Raises InputError if it is not CSV, or if absolute steps descend, as they do where a spreadsheet dropped a sign.
    """
    lines = text.splitlines()
    named = re.fullmatch('"?sep=(.)"?', lines[0]) if lines else None  # Excel's own first line
    lines = lines[1:] if named else lines
    header = lines[0] if lines else ""
    separator = named[1] if named else next((mark for mark in ",;\t" if mark in header), ",")
    ends = re.compile(rf'"\s+(?={re.escape(separator)}|$)')  # space after a closing quote
    try:
        read = csv.reader(
            [ends.sub('"', line) for line in lines], strict=True, delimiter=separator, skipinitialspace=True
        )
        rows = [[cell.strip() for cell in row] for row in read]
    except csv.Error as error:
        raise InputError(f"{file}: not valid CSV: {error}") from None
    if separator != ",":
        rows = [[re.sub(r"^([+-]?\d*),(\d+)", r"\1.\2", cell) for cell in row] for row in rows]
    while rows and len(rows[0]) > 1 and all(len(row) == len(rows[0]) and not row[-1] for row in rows if any(row)):
        rows = [row[:-1] for row in rows]
    _expect_ascending(rows, file)
    return rows


def _expect_ascending(rows: list[list[str]], file: str) -> None:
    """Raise InputError if an absolute step is below that of a row above it."""
    column = rows[0].index("STEP") if rows and "STEP" in rows[0] else len(rows[0]) if rows else 0
    highest = 0
    for number, row in enumerate(rows[1:], start=2):
        if column < len(row) and re.fullmatch(r"\d{1,15}", row[column]):
            if (step := int(row[column])) < highest:
                where, found = f"{file}: row {number}, column STEP", f"found {step}, which is below {highest} above it"
                raise InputError(f"{where}: {found}, expected ascending steps (an offset has a sign, as in +{step})")
            highest = step


def _read(path: Path, expected: str) -> str:
    """A file's text. Large files and long lines are rejected: parsers take minutes, and no real setting has them."""
    try:
        if not stat.S_ISREG((found := path.stat()).st_mode):  # reading a pipe would never end
            reason = "is a folder" if path.is_dir() else "is not a file"
        elif found.st_size > LARGEST:
            reason = f"has {found.st_size:,} bytes, more than {LARGEST:,}"
        else:
            content = path.read_bytes()  # Excel writes a byte order mark
            wide = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and path.suffix != ".toml"
            text = content.decode("utf-16" if wide else "utf-8-sig")
            longest = max(map(len, text.splitlines()), default=0)
            if longest <= LONGEST_LINE:
                return text
            reason = f"has a line of {longest:,} characters, more than {LONGEST_LINE:,}"
    except FileNotFoundError:
        reason = "no such file"
    except UnicodeDecodeError:
        reason = "not UTF-8 (as Excel saves `CSV UTF-8`)"
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
