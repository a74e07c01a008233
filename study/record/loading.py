"""Opening a study's folder. It may be at a URL, and may come from a stranger."""

from __future__ import annotations

from pathlib import Path

from anchoring.errors import InputError
from study.record.folder import StudyFolder
from study.record.mirror import fetch, locate
from study.record.untrusted import expect_own_files
from study.registry import Source, given
from study.surroundings import expanded


def opened(study: StudyFolder | str | Path, experiment: str | Path | None) -> StudyFolder:
    """A study that is given as such, by its folder or by its URL. A given experiment takes the place of the study's.

    Examples:
        >>> opened("analysis/published/deletion", None).name
        'deletion'
    """
    if isinstance(study, StudyFolder) and experiment is None:
        return study
    return load(study.path if isinstance(study, StudyFolder) else study, experiment)


def load(path: str | Path, experiment: str | Path | Source | None = None) -> StudyFolder:
    """Open a study's folder, such as `runs/mine-001`, to read its tables, settings, models and search.

    Nothing in the folder is executed or unpickled. Tables and the search can be read without the study's experiment.
    Whatever needs the experiment raises InputError if it is not available.

    Args:
        path: the folder, or a URL such as s3://bucket/prefix/mine-001. A URL is fetched first.
        experiment: the file that defines the study's experiment, if that is not installed. It is executed.

    Returns:
        The study's folder, to be read.

    Raises:
        InputError: if there is no study, a link leads out of its folder, or the study has another experiment.

    Examples:
        >>> folder = load("analysis/published/deletion")
        >>> folder.best(2)[["trial", "state", "steps", "value"]].round(4)
             trial     state  steps   value
        341    341  complete   1501  0.9435
        306    306  complete   1501  0.9434
    """
    if "://" in str(path):
        out, _, name = str(path).rstrip("/").rpartition("/")
        path = locate(out) / name
        fetch(path)
    path = expanded(path)
    if not (path / "manifest.json").is_file():
        raise InputError(f"{path}: found no study, expected a folder with a manifest.json in it")
    expect_own_files(path)
    own = given(experiment)
    folder = StudyFolder(path, own)
    if own and (named := folder.manifest().get("experiment")) and named["name"] != own.name:
        raise InputError(
            f"{path}: found a study of experiment {named['name']!r}, expected one of {own.name!r}, the experiment in "
            f"{own.file} (--experiment)"
        )
    return folder
