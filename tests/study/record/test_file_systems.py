"""File systems on which calls fail: each ends a study in one line, and all that was recorded is whole.

A library that is loaded before the C library makes the calls fail, in a study's driver, in Ray and in its workers.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import study
from study.record.folder import StudyFolder
from tests.study.record.faults import Driver, ended, journal_is_whole
from tests.study.record.test_recorder import drive, empty

__all__ = ["empty"]  # a fixture

SOURCE = Path(__file__).with_name("faults.c")
CODES = (errno.EIO, errno.ENOSYS, errno.EDQUOT, errno.ESTALE)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
    if compiler is None or sys.platform != "linux":
        pytest.skip("found no C compiler, or another system than Linux")
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return str(library)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["rename", "fsync", "unlink", "symlink", "mkdir"])
def test_a_call_that_fails_at_any_moment_leaves_whole_files(
    shim: str, empty: StudyFolder, tmp_path: Path, call: str
) -> None:
    whole = study.load(shutil.copytree(empty.path, tmp_path / "whole"))
    drive(whole)
    command = [sys.executable, "-m", "tests.study.record.faulty", str(empty.path), str(whole.path), call]
    environment = {**os.environ, "LD_PRELOAD": shim}
    done = subprocess.run([*command, *map(str, CODES)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    cut_off = [int(number) for number in done.stdout.split()]
    if call in ("rename", "fsync"):
        assert min(cut_off) >= 10, cut_off  # the positive control
    if call in ("symlink", "mkdir"):
        assert max(cut_off) == 0, cut_off  # a search makes none, as some file systems have no links


def one_line(driver: Driver, code: int, said: str) -> None:
    found, stdout, stderr = driver.end()
    assert found == code, stderr
    assert said in stderr.splitlines()[-1]
    assert "Traceback" not in stdout + stderr


def run(spaces: Path, path: Path, *more: object) -> Driver:
    return Driver(
        *("run", spaces / "hue.toml", "--name", path.name, "--out", path.parent, "--trials", 4, "--seeds", 2),
        *("--steps", 100, "--rungs", 2, "--cpus", 1, "--confirm", 0, "--no-compile", "--no-report"),
        *("--wandb", "off", *more),
    )


def killed_and_resumed(spaces: Path, path: Path) -> str:
    """Kill a study when two trials have ended, and resume it to its end; return what that said."""
    driver = run(spaces, path)
    driver.until(lambda: ended(path) >= 2)
    driver.process.kill()
    assert driver.end()[0] == -signal.SIGKILL
    found, _, stderr = Driver("resume", path, "--confirm", 0).end()
    assert found == 0, stderr
    assert study.load(path).trials().trial.tolist() == list(range(4))
    return stderr


@pytest.mark.slow
def test_a_study_on_a_file_system_that_fails_ends_in_a_line_and_goes_on(
    shim: str, spaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fails"
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", shim)
        patch.setenv("FAULT", f"rename {errno.ESTALE} 9 {path}")
        one_line(run(spaces, path), 1, f"{os.strerror(errno.ESTALE)}; `study resume {path}` goes on")
    found, _, stderr = Driver("resume", path, "--confirm", 0).end()
    assert found == 0, stderr
    assert study.load(path).trials().trial.tolist() == list(range(4))
    assert journal_is_whole(path)


@pytest.mark.slow
def test_a_study_on_a_file_system_without_locks_is_killed_and_goes_on(
    shim: str, spaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "unlocked"
    monkeypatch.setenv("LD_PRELOAD", shim)
    monkeypatch.setenv("FAULT", f"flock {errno.ENOSYS} 0 {path}")
    assert "its file system has no locks" in killed_and_resumed(spaces, path)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    place = tmp_path / "mounted"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=False).returncode:
        pytest.skip("cannot mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.slow
def test_a_study_that_is_killed_goes_on_and_one_that_cannot_be_written_says_so(mounted: Path, spaces: Path) -> None:
    path = mounted / "study"
    killed_and_resumed(spaces, path)

    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    assert Driver("status", path).end()[0] == Driver("show", path, 0).end()[0] == 0  # to be read, it is fine
    expected = "(Read-only file system), expected a writable folder"
    one_line(Driver("resume", path, "--trials", 5), 2, expected)
    one_line(Driver("report", path), 1, "Read-only file system")
    one_line(run(spaces, mounted / "another"), 2, expected)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before
    assert list(mounted.iterdir()) == [path]
