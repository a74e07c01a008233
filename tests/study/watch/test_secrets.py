"""Keys that are in the environment of a study, or in a URL, are in no file that it leaves and in nothing that it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from study.record.manifest import create
from study.search.plan import Plan
from study.space.space import Space
from tests.conftest import SECRETS


def files_with(folder: Any, text: Any) -> Any:
    """The files below a folder that hold a text, as it is or as JSON would say it."""
    wanted = {text.encode(), json.dumps(text)[1:-1].encode()}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    return [path.relative_to(folder) for path in files if any(word in path.read_bytes() for word in wanted)]


@pytest.mark.parametrize("name", SECRETS)
def test_no_file_of_a_study_holds_a_key(live: Any, name: Any) -> None:
    folder, done = live
    assert files_with(folder.path, SECRETS[name]) == []
    assert SECRETS[name] not in done.stdout + done.stderr


def test_what_is_no_secret_is_found(live: Any) -> None:
    """The positive control: the study's configuration is in its manifest, its report and W&B's own file."""
    found = {path.suffix for path in files_with(live[0].path, live[0].manifest()["started"])}
    assert {".json", ".html", ".wandb"} <= found


def test_a_password_in_a_url_is_left_out_of_the_manifest(
    spaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["study", "run", "x.toml", "--out", "s3://someone:plan/ted@bucket/studies"])
    folder = create(Space.read(spaces / "hue.toml"), Plan(), tmp_path / "made")
    text = (folder.path / "manifest.json").read_text()
    assert "someone" not in text
    assert "ted@" not in text
    assert "bucket/studies" in text
