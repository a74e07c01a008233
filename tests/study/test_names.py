"""Names of files and folders, whatever letters they have: they can be shown, pasted into a shell and tracked."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import study
from study.record.folder import StudyFolder
from study.record.manifest import create_anew
from study.record.writer import new_path, plain_name
from study.search.plan import Plan
from study.watch.screen import console
from study.watch.tracking import Tracker

ODD = ["tiny copy", "größe [bold]x", "x" * 140, "-x", "..x", "$(date)", "日本", "a'b\"c"]


@given(st.text(max_size=200))
def test_any_text_makes_a_name(text: str) -> None:
    name = plain_name(text)
    assert new_path(Path("/absent"), name, "").name == name  # it may be given as --name
    assert len(f"{name}-001-models") <= 128
    assert plain_name(name) == name


@pytest.mark.parametrize("stem", ODD)
def test_a_study_of_a_space_with_an_odd_name_has_a_plain_one(spaces: Path, tmp_path: Path, stem: str) -> None:
    shutil.copy(spaces / "unregularized.toml", tmp_path / f"{stem}.toml")
    shutil.copy(spaces / "unregularized.csv", tmp_path)
    folder = create_anew(study.read(tmp_path / f"{stem}.toml"), Plan(), tmp_path / "runs", "", ())
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*-001", folder.name)


@pytest.mark.parametrize("name", ["my [bold] runs", "größe", "a'b"])
def test_paths_are_shown_whole_and_hints_can_be_pasted(
    hue: StudyFolder, tmp_path: Path, say: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_width", 400)  # as in a pipe, which the processes of xdist are not
    path = shutil.copytree(hue.path, tmp_path / name / "a [bold] study")
    said, code = say("status", path)
    assert code == 0
    lines = said.splitlines()
    assert any(f"{path}: finished" in line for line in lines)
    command = next(line.split("next", 1)[1] for line in lines if line.strip().startswith("next"))
    assert shlex.split(command)[2] == str(path)


def test_a_home_is_a_home(spaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for file in spaces.glob("subspace-ablation.*"):
        shutil.copy(file, tmp_path)
    folder = study.train("~/subspace-ablation.toml", seeds=1, steps=20, rungs=1, compiled=False, out="~/runs")
    assert folder.path.parent == tmp_path / "runs"
    assert study.load(f"~/runs/{folder.name}").path == folder.path
    assert not (tmp_path / "~").exists()


@pytest.mark.live
def test_the_answer_reaches_wandb_whatever_the_folder_is_called(
    hue: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    folder = study.load(shutil.copytree(hue.path, tmp_path / "größe [bold] x", ignore=shutil.ignore_patterns("wandb")))
    console = Console(record=True)
    with Tracker(folder, console):
        pass
    assert console.export_text() == ""
