"""Working copies of studies at URLs do not only grow: what is at the URL in full and unused for long may be removed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import study
from anchoring import InputError
from study.record import copies
from study.record.copies import NOTE, UNUSED, is_uploaded, noted, remove_unused
from study.record.folder import StudyFolder
from study.record.lock import driving
from study.record.mirror import JOURNAL, TRIALS, Mirror, fetch, locate, url_of
from study.record.writer import Writer

STAYS = ("ray", "wandb", "tensorboard", ".lock")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(copies, "KEPT", 1)
    return (tmp_path / "bucket").as_uri()


def copied(hue: StudyFolder, url: str, name: str) -> Path:
    """A working copy that is yet to be uploaded."""
    return shutil.copytree(hue.path, locate(url) / name, ignore=shutil.ignore_patterns(*STAYS))


def upload(path: Path) -> None:
    with Mirror(study.load(path), str(url_of(path.parent)), Console()):
        pass


def age(path: Path) -> None:
    """Leave a copy alone for long, as far as its files tell."""
    then = time.time() - UNUSED - 60
    os.utime(path / NOTE, (then, then))


def files(path: Path) -> dict[str, bytes]:
    found = {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(".")}


def test_what_is_at_the_url_and_unused_is_removed_and_comes_back(hue: StudyFolder, url: str) -> None:
    old, new = (copied(hue, url, name) for name in ("old", "new"))
    upload(old)
    before = files(old)
    assert is_uploaded(old)
    age(old)
    upload(new)
    assert not old.exists()
    assert new.is_dir()
    assert files(study.load(f"{url}/old").path) == before


def test_a_copy_that_was_fetched_is_removed_too(hue: StudyFolder, url: str) -> None:
    for name in ("old", "new"):
        upload(copied(hue, url, name))
        shutil.rmtree(locate(url) / name)
    old = study.load(f"{url}/old").path
    assert is_uploaded(old)
    study.load(f"{url}/old")
    assert is_uploaded(old)
    age(old)
    study.load(f"{url}/new")
    assert not old.exists()


def grow(path: Path) -> None:
    with (path / JOURNAL).open("a") as journal:
        journal.write("{}\n")


KEEPS: dict[str, Callable[[Path], object]] = {
    "a trial that is only here": grow,
    "another table": lambda path: Writer(path).write(TRIALS, (path / TRIALS).read_bytes() + b"PAR1"),
    "a report that is only here": lambda path: Writer(path).write("report.html", b"mine"),
    "a file of W&B's": lambda path: shutil.copytree(path / "models", path / "wandb"),
    "no note": lambda path: (path / NOTE).write_bytes(b"{"),
    "used lately": lambda path: os.utime(path / NOTE),
}


@pytest.mark.parametrize("change", KEEPS.values(), ids=KEEPS.keys())
def test_whatever_is_not_known_to_be_at_the_url_stays(hue: StudyFolder, url: str, change: Any) -> None:
    old, new = (copied(hue, url, name) for name in ("old", "new"))
    upload(old)
    age(old)
    change(old)
    kept = files(old)
    upload(new)
    assert files(old) == kept


def test_a_copy_that_is_driven_stays(hue: StudyFolder, url: str) -> None:
    old, new = (copied(hue, url, name) for name in ("old", "new"))
    upload(old)
    age(old)
    with driving(old):
        upload(new)
    assert old.is_dir()
    remove_unused(old.parent.parent)
    assert not old.exists()  # the positive control


def test_what_could_not_be_uploaded_stays(hue: StudyFolder, url: str, tmp_path: Path) -> None:
    (tmp_path / "bucket").write_text("in the way")
    old = copied(hue, url, "old")
    upload(old)
    assert noted(old) == {}
    assert not is_uploaded(old)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "the journal in its middle": lambda path: _damage(path / JOURNAL, lambda text: text.replace(b"{", b"#", 9)),
    "the table": lambda path: _damage(path / TRIALS, lambda text: text[: len(text) // 2]),
    "a trial's replicas": lambda path: _damage(
        path / "replicas.parquet" / "00001.parquet", lambda text: text[: len(text) // 2]
    ),
    "a model": lambda path: _damage(next((path / "models").iterdir()), lambda _: b""),
}


def _damage(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_copy_is_made_anew(hue: StudyFolder, url: str, damage: Any) -> None:
    path = copied(hue, url, "damaged")
    upload(path)
    before = files(path)
    damage(path)
    assert files(path) != before
    fetch(path)
    assert files(path) == before


def test_a_damaged_copy_with_more_trials_is_not_overwritten(hue: StudyFolder, url: str) -> None:
    path = copied(hue, url, "damaged")
    upload(path)
    grow(path)
    _damage(path / JOURNAL, lambda text: text.replace(b"{", b"#", 9))
    kept = files(path)
    with pytest.raises(InputError, match="rename it to keep both"):
        fetch(path)
    assert files(path) == kept
