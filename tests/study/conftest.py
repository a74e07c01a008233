"""What tests of the framework share: the tiny experiment, and the command line in this process."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from study import cli

EXPERIMENTS = Path(__file__).parent / "experiments"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder to work in, with the tiny experiment and its spaces in it."""
    for file in EXPERIMENTS.glob("bowl*"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line in this process; what it says and its exit code."""

    def run(*arguments: Any) -> Any:
        monkeypatch.setattr("sys.argv", ["study", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return captured.out + captured.err, stop.value.code

    return run
