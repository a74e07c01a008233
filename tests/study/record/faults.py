"""Causing faults for real: a study's driver in a process of its own, and its workers, to be killed, stopped and starved."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq


class Driver:
    """`study` with some arguments, in a session of its own, as if a terminal had started it."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "study", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition, or for the end of the process."""
        while self.process.poll() is None and not condition():
            time.sleep(0.1)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: exit code, stdout and stderr."""
        stdout, stderr = self.process.communicate(timeout=300)
        return self.process.returncode, stdout, stderr

    def worker(self) -> int:
        """A process that trains, as soon as one does."""
        found: list[int] = []
        while not found and self.process.poll() is None:
            found = [pid for pid, args in self.processes().items() if args.startswith("ray::ImplicitFunc.train")]
        return found[0]

    def processes(self) -> dict[int, str]:
        """All that descend from it, with their command lines."""
        listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        table = [
            (int(pid), int(parent), args)
            for pid, parent, args in (row.split(None, 2) for row in listed.splitlines()[1:])
        ]
        found: dict[int, str] = {self.process.pid: ""}
        for _ in range(4):
            found |= {pid: args for pid, parent, args in table if parent in found}
        return found


def ended(folder: Path) -> int:
    """How many trials have left replicas."""
    return len(list((folder / "replicas.parquet").glob("*.parquet")))


def in_table(folder: Path) -> int:
    """How many trials have a row of trials.parquet, which is written less often."""
    table = folder / "trials.parquet"
    return pq.read_metadata(table).num_rows if table.is_file() else 0


def rungs(folder: Path) -> int:
    """How many rungs have been reported, by the journal."""
    journal = folder / "optuna.journal"
    lines = journal.read_text().splitlines() if journal.is_file() else []
    return sum('"intermediate_value":' in line for line in lines)


def journal_is_whole(folder: Path) -> bool:
    return all(json.loads(line) for line in (folder / "optuna.journal").read_text().splitlines())
