"""Reading files that a stranger may have written. They are only data: nothing in them is executed."""

from __future__ import annotations

import io
import json
import os
import pickle
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from optuna.trial import FrozenTrial
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from anchoring.errors import InputError, first_problem
from study.search.plan import Aggregate

FORMAT = 2
"""The format of the folders that this version writes."""


def _is_time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"found {text!r}, expected a time") from None
    return text


class _Machine(BaseModel):
    cpus: int | None = None


class _Experiment(BaseModel):
    name: str
    file: str | None = None
    digest: str = ""
    version: str = ""


class _Manifest(BaseModel):
    """The keys of a manifest.json that readers need. It has more."""

    model_config = ConfigDict(strict=True, extra="ignore")

    space: str
    started: Annotated[str, AfterValidator(_is_time)]
    commit: str | None
    machine: _Machine
    seed: int
    replica_seeds: list[int] = Field(min_length=1, max_length=50_000)
    steps: int | None
    trials: int | None
    minutes: float | None
    minutes_used: float = Field(0.0, ge=0)
    objectives: list[str] = Field(min_length=1)
    aggregate: Aggregate
    constraints: list[str]
    margin: float = Field(0, ge=0)
    format: int = Field(1, ge=1, le=FORMAT)  # version 0.1 wrote no `format`, `experiment` or `metrics`: format 1
    experiment: _Experiment | None = None
    metrics: dict[str, dict[str, Any]] | None = None
    references: list[str] | None = None  # since version 0.3


def expect_own_files(folder: Path) -> None:
    """Raise InputError if a link leads out of a folder, or something in it is neither file nor folder, such as a pipe.

    This keeps files outside from being read or overwritten. `wandb/` is exempt, because W&B links to its logs; that
    folder is never read.
    """
    root = folder.resolve()
    for directory, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(directory, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise InputError(f"{folder}: found {name!r}, a link out of the folder, expected only files (remove it)")
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise InputError(f"{folder}: found {name!r}, neither file nor folder, expected only files (remove it)")
        folders[:] = [name for name in folders if Path(directory, name) != root / "wandb"]


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a study's manifest.json. Raises InputError if it is damaged."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        _expect_known_format(manifest, path)
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from None
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path}: damaged: {error}, expected a study's manifest") from None
    return manifest


def _expect_known_format(manifest: Any, path: Path) -> None:
    """Raise InputError if a newer version of this package wrote the manifest."""
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise InputError(f"{path}: format: found {found}, expected at most {FORMAT}: upgrade concept-study to read it")


def read_frame(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a Parquet file, or a folder of them. Raises InputError if it cannot be read or a column is missing."""
    try:
        frame = pd.read_parquet(path)
        if path.is_file():
            frame = frame.astype(_of_columns_with_gaps(pq.read_schema(path), frame))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: damaged: {error}, expected a Parquet file that a study wrote") from None
    if missing := [name for name in columns if name not in frame]:
        raise InputError(f"{path}: found no column {missing[0]}, expected a Parquet file that a study wrote")
    return frame


def _of_columns_with_gaps(schema: pa.Schema, frame: pd.DataFrame) -> dict[str, str]:
    """The types of columns that pandas made another type of, since a value is missing: integers became floats."""
    kept = {pa.int64(): "Int64", pa.bool_(): "boolean"}
    return {
        field.name: kept[field.type]
        for field in schema
        if field.type in kept and field.name in frame and frame[field.name].dtype.kind in "fO"
    }


_STATE = {
    *(("cmaes._cma", "CMA"), ("numpy", "ndarray"), ("numpy", "dtype")),
    *(("numpy._core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "scalar")),
}
"""The classes in the pickle of a CMA-ES optimizer: it consists of arrays."""


class _StateUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STATE:
            raise pickle.UnpicklingError(f"found {module}.{name}")
        return super().find_class(module, name)


def expect_plain_state(trial: FrozenTrial, journal: Path) -> None:
    """Raise InputError if a trial's state of CMA-ES, which Optuna would unpickle, contains anything but arrays."""
    parts = {key: part for key, part in trial.system_attrs.items() if key.startswith("cma:optimizer")}
    try:
        text = "".join(parts[f"cma:optimizer:{i}"] for i in range(len(parts)))
        if text:
            _StateUnpickler(io.BytesIO(bytes.fromhex(text))).load()
    except Exception as error:  # a damaged pickle may raise anything
        problem = f"trial {trial.number}: the state of CMA-ES is damaged, or Optuna did not write it: {error}"
        expected = "expected arrays (remove the journal, then `study resume` makes a new one)"
        raise InputError(f"{journal}: {problem}, {expected}") from None
