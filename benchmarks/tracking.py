"""What W&B and TensorBoard add to a study: the same study with and without them in turn, and their own CPU time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil
from rich.console import Console

import study
from benchmarks.figures import Row, Runs, less_than, race, seconds, table
from benchmarks.settings import ROOT
from study.record.recorder import Listener
from study.record.trial_state import TrialState
from study.search.trial import Report
from study.watch.tensorboard import Curves
from study.watch.tracking import Tracker

TRIALS = 24
WAYS = {  # WANDB_MODE and flags
    "without": ("disabled",),
    "W&B, the study": ("offline",),
    "W&B, each trial": ("offline", "--wandb", "trials"),
    "TensorBoard": ("disabled", "--tensorboard"),
}


def main(rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        _study(Path(out) / "first", "disabled")  # compiles
        folder = study.load(Path(out) / "first")
        rows = [*_own_time(folder), *_added(Path(out), rounds)]
    Console(width=160).print(table(rows))


def _added(out: Path, rounds: int) -> list[Row]:
    ran = race({way: partial(_timed, out, *how) for way, how in WAYS.items()}, rounds)
    ratios = {way: (ran[way] / ran["without"]).values for way in list(WAYS)[1:]}
    what = f"added to a study of {TRIALS} trials"
    return [_row(f"{way}: {what}", tuple(ratio - 1 for ratio in values)) for way, values in ratios.items()]


def _own_time(folder: study.StudyFolder) -> list[Row]:
    trained = float(folder.trials().seconds.sum())
    listeners: dict[str, Callable[[], Listener]] = {
        "W&B, the study": lambda: Tracker(folder, Console()),
        "W&B, each trial": lambda: Tracker(folder, Console(), "trials"),
        "TensorBoard": lambda: Curves(folder),
    }
    what = "CPU time as trials go on, over theirs"
    return [_row(f"{way}: {what}", (_replayed(folder, make) / trained,)) for way, make in listeners.items()]


def _row(what: str, shares: tuple[float, ...]) -> Row:
    figure = Runs(shares, ".1%")
    return Row(what, figure, targets=(less_than(figure, 0.05, "< 5%"),))


def _timed(out: Path, *how: str) -> float:
    with tempfile.TemporaryDirectory(dir=out, ignore_cleanup_errors=True) as folder:
        return seconds(lambda: _study(Path(folder) / "study", *how))


def _study(path: Path, mode: str, *flags: str) -> None:
    """Run a study, from its start to its report."""
    command = ["run", str(ROOT / "search_spaces" / "hue.toml"), "--out", str(path.parent), "--name", path.name]
    command += ["--trials", str(TRIALS), "--scheduler", "none", "--compile", "--confirm", "0", *flags]
    subprocess.run(
        [sys.executable, "-m", "study", *command],
        cwd=ROOT,
        env={**os.environ, "WANDB_MODE": mode},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _replayed(folder: study.StudyFolder, make: Callable[[], Listener]) -> float:
    """CPU seconds of a listener, and of the processes that it starts, while a study's trials are replayed to it."""
    replicas = folder.replicas()
    with ExitStack() as stack:
        listener = make()
        if isinstance(listener, Tracker):
            stack.enter_context(listener)
            listener._thread.submit(int).result()  # wait until it has begun
        start = _cpu_seconds()
        for row in folder.trials().to_dict("records"):
            trial = int(row["trial"])
            listener.started(trial)
            for step, rung in replicas[replicas.trial == trial].drop(columns="trial").groupby("step"):
                listener.reported(trial, Report(TrialState.COMPLETE, int(str(step)), 0.0, rung))
            listener.ended({str(key): value for key, value in row.items()})
        if isinstance(listener, Tracker):
            listener._thread.submit(int).result()
        time.sleep(1)  # writers have threads and processes of their own
        return _cpu_seconds() - start


def _cpu_seconds() -> float:
    process = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
