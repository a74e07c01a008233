"""Opening a study's folder, which may be at a URL and may come from anyone."""

from __future__ import annotations

from pathlib import Path

from anchoring.errors import InputError
from study.record.folder import StudyFolder
from study.record.mirror import fetch, locate
from study.record.untrusted import expect_own_files
from study.registry import Source, given


def load(path: str | Path, experiment: str | Path | Source | None = None) -> StudyFolder:
    """Open a study's folder, such as `runs/mine-001`: data frames, settings, models and the Optuna study.

    Nothing in the folder is executed or unpickled. If the study's experiment is not here, its tables can be read, and
    its search; what needs the experiment raises InputError.

    Args:
        path: the folder, or a URL such as s3://bucket/prefix/mine-001, which is fetched first.
        experiment: a file that holds the study's experiment, if that is not installed. It is executed.

    Raises:
        InputError: if it is no study's folder, has links out of it, or is of another experiment.
    """
    if "://" in str(path):
        out, _, name = str(path).rstrip("/").rpartition("/")
        path = locate(out) / name
        fetch(path)
    path = Path(path)
    if not (path / "manifest.json").is_file():
        raise InputError(f"{path}: found no study, expected a folder with a manifest.json in it")
    expect_own_files(path)
    own = given(experiment)
    folder = StudyFolder(path, own)
    if own and (named := folder.manifest().get("experiment")) and named["name"] != own.name:
        raise InputError(
            f"{path}: is a study of experiment {named['name']!r}, but {own.file} is {own.name!r}, "
            f"expected the same (--experiment)"
        )
    return folder
