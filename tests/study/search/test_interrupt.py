"""Ctrl-C, once and twice, and a folder that may not be written to, in processes and folders of their own."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anchoring import InputError
from study.record.lock import driving
from study.record.manifest import create
from study.search.interrupt import interruptible, interrupts_restored
from study.search.plan import Plan
from study.space.space import Space

WORK = """
import sys, time
from study.search.interrupt import interruptible

try:
    with interruptible():
        print("at work", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print("whole", flush=True)
    time.sleep(60 if "report" in sys.argv else 0)  # the first rung is reported
"""


def begun(*arguments: Any) -> Any:
    command = [sys.executable, "-c", WORK, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "at work\n"
    return process


def test_once_stops_the_work_where_it_is_whole() -> None:
    process = begun()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "whole\n"
    assert process.returncode == 0


def test_twice_leaves_at_once_also_while_a_report_is_written() -> None:
    process = begun("report")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "whole\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_afterwards_it_does_what_it_did_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_restored():
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


@contextmanager
def read_only() -> Iterator[Any]:
    """Within, a folder that its reader, who is not root then, may not write to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "runs")
        folder.mkdir()
        os.chmod(name, 0o755)
        os.chmod(folder, 0o555)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)  # nobody
        try:
            yield folder
        finally:
            os.seteuid(was)


def test_a_folder_that_may_not_be_written_to_is_named(spaces: Path, tmp_path: Path) -> None:
    space = Space.read(spaces / "hue.toml")
    create(space, Plan(), tmp_path / "new")  # as anyone else may
    with driving(tmp_path):
        pass
    with read_only() as folder:
        with pytest.raises(InputError) as refused:
            create(space, Plan(), folder / "new")
        with pytest.raises(InputError) as locked, driving(folder):
            pass
        assert not list(folder.iterdir())
    assert "runs/new: cannot be made (Permission denied)" in str(refused.value)
    assert "runs: cannot be written to (Permission denied), expected a writable folder" in str(locked.value)
