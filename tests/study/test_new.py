"""`study new`: what it writes runs as it is."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import study.cli


def new(*arguments: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `study new` prints, and its exit code."""
    monkeypatch.setattr("sys.argv", ["study", "new", *arguments])
    with pytest.raises(SystemExit) as ended:
        study.cli.main()
    printed = capsys.readouterr()
    return printed.out + printed.err, ended.value.code or 0


@pytest.mark.live
def test_a_new_experiment_keeps_what_studies_rely_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said, code = new("my_own", capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "my_own").iterdir()) == [
        *("experiment.py", "my_own.csv", "my_own.toml", "test_experiment.py")
    ]
    assert not any("$" in path.read_text() for path in (tmp_path / "my_own").iterdir())
    marked = (tmp_path / "my_own" / "experiment.py").read_text().count("# <-")
    assert 5 <= marked <= 12
    commands = [line.split() for line in said.splitlines() if line.startswith("  ")]
    assert [command[:2] for command in commands] == [["study", "run"], ["study", "report"], ["python", "-m"]]
    quick = "not a_study_runs"  # the digits' and the colours' tests run studies
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    tests = [sys.executable, *commands[2][1:], "-q", "-k", quick, "-p", "no:cacheprovider"]
    done = subprocess.run(tests, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "11 passed, 1 deselected" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mine", "NAME: found 'Mine', expected small letters, digits and '_', a letter first"),
        ("../mine", "NAME: found '../mine', expected small letters"),
        ("experiment", "NAME: found 'experiment', expected small letters"),
        ("excolor", "NAME: an experiment 'excolor' is installed, expected another name"),
        ("taken", "taken: cannot be made (File exists), expected a new folder (--to)"),
        ("nowhere", "--to"),
    ],
)
def test_what_cannot_be_made_is_one_line_and_leaves_nothing(
    name: Any, message: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    to = ["--to", "file/mine"] if name == "nowhere" else []
    said, code = new(name, *to, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
