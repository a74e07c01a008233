"""Writing a study's folder: every file is replaced whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from anchoring.errors import InputError
from study.space.document import write_setting
from study.space.space import Space

LONGEST_NAME = 90  # characters, to which a number is added


class TakenError(InputError):
    """There is a study of that name."""

    def __init__(self, path: Path):
        super().__init__(f"{path}: found an existing study, expected a new name (--name)")


@dataclass(frozen=True)
class Writer:
    """Writes a study's folder. Only the study's driver may use it."""

    path: Path

    @classmethod
    def create(
        cls,
        path: Path,
        space: Space,
        manifest: Mapping[str, Any],
        references: Sequence[Space] = (),
        more: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Writer:
        """Make the folder and write the space, the manifest, the settings that constraints refer to, and more files.

        Raises TakenError if the folder exists, InputError if it cannot be made.
        """
        schedule = Path(space.template["schedule"]["file"])
        files = {"study.toml": space.file.read_bytes(), schedule.name: schedule.read_bytes(), **more}
        partial = cls(path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial"))
        try:
            for results in ("replicas.parquet", "models"):
                (partial.path / results).mkdir(parents=True)
            for name, content in files.items():
                partial.write(name, content)
            partial.write_manifest(manifest)
            for reference in references:
                write_setting(reference.document(), partial.path / "references", reference.file.stem)
            return cls(partial.path.rename(path))
        except OSError as error:
            shutil.rmtree(partial.path, ignore_errors=True)
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # another process has made it meanwhile
                raise TakenError(path) from None
            raise InputError(f"{path}: cannot be made ({error.strerror}), expected a writable folder (--out)") from None

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write manifest.json."""
        self.write("manifest.json", json.dumps(manifest, indent=2).encode() + b"\n")

    def add_replicas(self, trial: int, parts: Sequence[pd.DataFrame]) -> None:
        """Write a finished trial's part of replicas.parquet: a row for each seed and rung."""
        rows = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
        columns = {name: column.to_numpy() for name, column in rows.items()}  # faster than pandas' own description
        table = pa.table({"trial": np.full(len(rows), trial), **columns})
        self.write(f"replicas.parquet/{trial:05d}.parquet", _parquet(table))

    def add_model(self, trial: int, state: bytes) -> None:
        """Write a finished trial's weights. `state` is the content of a safetensors file."""
        self.write(f"models/{trial:05d}.safetensors", state)

    def write_trials(self, trials: pa.Table) -> None:
        """Write trials.parquet: a row for each trial."""
        self.write("trials.parquet", _parquet(trials.sort_by("trial")))

    def write(self, name: str, content: bytes | pa.Buffer) -> Path:
        """Replace a file of the folder, whole or not at all, and return its path. An OSError has the path, too."""
        path = self.path / name
        partial = path.with_name(f".{path.name}.partial")
        try:
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise OSError(error.errno, error.strerror, str(path)) from None


def _parquet(table: pa.Table) -> pa.Buffer:
    content = pa.BufferOutputStream()
    pq.write_table(table, content)
    return content.getvalue()


def plain_name(text: str) -> str:
    """A name that file systems, shells and W&B take, from a text such as the name of a file.

    Examples:
        >>> plain_name("größe [bold]x")
        'groe-bold-x'
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", letters)[:LONGEST_NAME].strip("-._") or "study"


def new_path(out: Path, name: str, stem: str, taken: Collection[str] = ()) -> Path:
    """The folder of a new study: out/name or, without a name, the first free one of out/stem-001, out/stem-002, ...

    `taken` lists names that are in use at a URL. Raises InputError if the name is invalid or in use.
    """
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        expected = "letters, digits, '.', '_' and '-', at most 100, a letter or digit first"
        raise InputError(f"--name: found {name!r}, expected {expected}")

    def free(path: Path) -> bool:
        return path.name not in taken and not path.exists()

    path = out / name if name else next(filter(free, (out / f"{plain_name(stem)}-{number:03d}" for number in count(1))))
    if not free(path):
        raise TakenError(path)
    return path
