"""Write a study in a compact form that can be committed: `python -m analysis.publish runs/hue-open`.

The form has what a reader needs: the space, the manifest, the trials, all replicas at all rungs in one file, the
confirmation and what was trained before it, and the settings of the confirmed trials. Those of a search or a survey
have their models; pages of arms, paths and parts of seeds draw none. No number is rounded, and `study.load` reads it.
Optuna's journal, which is ten times as large, is left out, like the files of Ray and W&B.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import study
from anchoring import InputError
from study import StudyFolder
from study.evidence.leading import leading
from study.record.writer import Writer
from study.space.document import write_setting
from study.watch.pages import page_of

PUBLISHED = Path(__file__).parent / "published"

KEPT = ("points.csv", "references/*", "simplest/*")
"""Settings in a study's folder that are kept as they are."""


def publish(folder: StudyFolder, to: Path = PUBLISHED) -> StudyFolder:
    """Write the study's compact form.

    Args:
        folder: the study. If it has no confirmation, the model and setting of the best trial are written.
        to: the folder in which a folder of the study's name is made.

    Returns:
        The compact form.

    Raises:
        InputError: the folder exists, or no trial is complete.
    """
    chosen = folder.confirmation().trial.dropna().unique().tolist() or leading(folder, 1).trial.tolist()
    if not chosen:
        raise InputError(f"{folder.path}: found no complete trial, expected at least one to publish")
    writer = Writer.create(to / folder.name, folder.space, _anonymous(folder.manifest()))
    compact = StudyFolder(writer.path, folder.given)
    (compact.path / "replicas.parquet").rmdir()
    replicas = folder.replicas().sort_values(["trial", "step", "seed"], ignore_index=True)
    tables = {"trials": folder.trials(), "replicas": replicas}
    others = [file for file in sorted(folder.path.glob("*.parquet")) if file.stem not in tables]
    tables |= {file.stem: pd.read_parquet(file) for file in others}
    for name, frame in tables.items():
        if len(frame):
            writer.write(f"{name}.parquet", compressed(pa.Table.from_pandas(frame, preserve_index=False)))
    for file in sorted(found for pattern in KEPT for found in folder.path.glob(pattern)):
        (compact.path / file.relative_to(folder.path)).parent.mkdir(exist_ok=True)
        writer.write(str(file.relative_to(folder.path)), file.read_bytes())
    searched = page_of(folder) in ("report", "map")
    for trial in chosen:
        if searched:
            writer.add_model(trial, (folder.path / "models" / f"{trial:05d}.safetensors").read_bytes())
        title = f"Trial {trial} of {folder.name}"
        write_setting(folder.document(trial) | {"title": title}, compact.path / "best", f"{folder.name}-{trial}")
    return compact


def compressed(table: pa.Table) -> pa.Buffer:
    """A table as a Parquet file. The bytes of floats are sorted by significance, which halves the size."""
    floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    content = pa.BufferOutputStream()
    pq.write_table(
        table,
        content,
        compression="zstd",
        compression_level=19,
        use_dictionary=[field.name for field in table.schema if field.name not in floats],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    )
    return content.getvalue()


def _anonymous(part: Any) -> Any:
    """A manifest, or a part of one, with the names of files in place of paths, which would name a machine's folders."""
    if isinstance(part, dict):
        return {name: _anonymous(value) for name, value in part.items()}
    if isinstance(part, list):
        return [_anonymous(value) for value in part]
    return Path(part).name if isinstance(part, str) and Path(part).is_absolute() else part


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(publish(study.load(path)).path)
