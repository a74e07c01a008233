"""Ctrl-C, once and twice, SIGTERM, a closed terminal or pipe, time in which nothing ran, and a folder that may not be written to, in processes and folders of their own."""

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

import study
from anchoring import InputError
from study.record.lock import driving
from study.record.manifest import create
from study.search.interrupt import interruptible, interrupts_restored
from study.search.limits import Clock
from study.search.plan import Plan
from study.space.space import Space
from tests.study.record.faults import Driver, ended

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
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=_as_in_a_terminal)  # noqa: PLW1509
    assert process.stdout.readline() == "at work\n"
    return process


def _as_in_a_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it, as nohup does


def test_once_stops_the_work_where_it_is_whole() -> None:
    process = begun()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "whole\n"
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_scheduler_and_a_closed_terminal_stop_it_as_well(number: Any) -> None:
    process = begun("report")
    process.send_signal(number)
    assert process.stdout.readline() == "whole\n"
    process.send_signal(number)  # a terminal that closes may send it twice
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


AS_RAY_WAITS = """
import signal
from study.search.interrupt import until_interrupted

interrupted = []
with until_interrupted(interrupted):
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None
print([exception.__name__ for exception in interrupted])
"""


def test_sigterm_is_known_although_ray_raises_another_exception() -> None:
    said = subprocess.check_output([sys.executable, "-c", AS_RAY_WAITS], text=True)
    assert said.splitlines()[-1] == "['Terminated', 'KeyboardInterrupt']"


def test_what_was_started_to_ignore_a_signal_ignores_it() -> None:
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-c", WORK]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "whole\n"


@pytest.mark.live
def test_sigterm_ends_a_study_in_order_and_without_a_report(spaces: Path, tmp_path: Path) -> None:
    path = tmp_path / "terminated"
    driver = Driver(
        *("run", spaces / "hue.toml", "--name", path.name, "--out", tmp_path, "--trials", 500, "--seeds", 2),
        *("--steps", 600, "--cpus", 1, "--confirm", 0, "--no-compile"),
    )
    driver.until(lambda: ended(path) >= 2)
    driver.process.terminate()
    code, stdout, stderr = driver.end()
    assert code == 1
    assert stderr.splitlines() == [
        f"failed: {path}: interrupted after {len(study.load(path).trials())} trials, which "
        f"are kept; `study resume {path}` goes on"
    ]
    assert "Traceback" not in stdout
    assert not (path / "report.html").exists()
    assert study.load(path).manifest()["minutes_used"] > 0


READERLESS = """
import os, sys
from study.watch.screen import console

for line in range(3):
    console.print("x" * 100_000, soft_wrap=True, highlight=False)
    if line == 0:
        os.write(2, b"begun")
os.write(2, b"done")
"""


def test_work_goes_on_when_nobody_reads_what_it_says() -> None:
    command = [sys.executable, "-c", READERLESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b"begundone"
    assert process.returncode == 0


def test_work_goes_on_when_its_log_cannot_be_written() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", READERLESS], stdout=full, stderr=subprocess.PIPE, check=True)
    assert done.stderr == b"begundone"


def test_time_in_which_the_process_was_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 5.0, 6.0, 8000.0, 8001.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    clock = Clock()
    assert [clock() for _ in range(4)] == [5.0, 6.0, 6.0, 7.0]


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
