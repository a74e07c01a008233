"""What a study costs beside its trainings: its start, its overhead for each trial, and its growth with many trials."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import study
from benchmarks.figures import Row, Runs, Target
from study.space.space import Space

ROOT = Path(__file__).parent.parent
SPACE = ROOT / "search_spaces" / "hue.toml"


@dataclass(frozen=True)
class Search:
    """The times of a search, in seconds from the command's start.

    Args:
        starts: when each trial began to train, in the order in which they ended.
        ends: when each trial ended.
        sampled: when the driver's memory was sampled.
        memory: the driver's resident bytes at those times.
    """

    starts: np.ndarray
    ends: np.ndarray
    sampled: np.ndarray
    memory: np.ndarray

    @property
    def trained(self) -> float:
        """The share of cores x time that is training, from the first trial's start to the last trial's end."""
        return float((self.ends - self.starts).sum() / self._cores_x_time)

    @property
    def between_trials(self) -> float:
        """Core-seconds per trial that are not training."""
        return float((self._cores_x_time - (self.ends - self.starts).sum()) / len(self.ends))

    @property
    def bytes_per_trial(self) -> float:
        """How fast the driver's memory grows after the first tenth of the trials."""
        ended = np.searchsorted(self.ends, self.sampled)
        steady = (ended > len(self.ends) / 10) & (ended < len(self.ends))
        return float(np.polyfit(ended[steady], self.memory[steady], 1)[0])

    @property
    def _cores_x_time(self) -> float:
        return float(len(os.sched_getaffinity(0)) * (self.ends.max() - self.starts.min()))


def studies() -> list[Row]:
    """Rows for a study of 64 trials, compiled and eager, and for one of 2,000 trials that do almost nothing."""
    _compile_all()
    return [*_costs("compiled", "--compile"), *_costs("eager", "--no-compile"), *_many()]


def _costs(kind: str, flag: str) -> list[Row]:
    search = _search(64, "--scheduler", "none", flag)
    first, gap = search.starts.min(), search.between_trials
    what = f"64 trials, {kind}"
    return [
        _row(f"{what}: first is training after", first, ".1f", " s", Target("≤ 15 s", first <= 15)),
        _row(f"{what}: training's share", search.trained, ".0%", "", Target("≥ 85%", search.trained >= 0.85)),
        _row(f"{what}: core-seconds around a trial", gap, ".3f", " s", Target("< 0.15 s", gap < 0.15)),
    ]


def _many() -> list[Row]:
    search = _search(2000, "--steps", "4", "--seeds", "1", "--rungs", "1")
    ends, what = search.ends, "2,000 tiny trials"
    each = (ends[-1] - ends[0]) / (len(ends) - 1)
    slowing = (ends[-1] - ends[-101]) / (ends[100] - ends[0])
    growth = search.bytes_per_trial / 1000
    return [
        _row(f"{what}: a trial takes", each, ".3f", " s", Target("≤ 0.1 s", each <= 0.1)),
        _row(f"{what}: last hundred over first", slowing, ".2f", "x", Target("≤ 1.5x", slowing <= 1.5)),
        _row(f"{what}: driver's memory grows by", growth, ".0f", " KB", Target("< 100 KB", growth < 100)),
    ]


def _row(what: str, figure: float, form: str, unit: str, target: Target) -> Row:
    return Row(what, Runs((float(figure),), form, unit), targets=(target,))


def _search(trials: int, *flags: str) -> Search:
    """Run a study of the hue space from the command line, and stop the command when its search has ended."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        log = Path(out) / "log"
        command = ["run", str(SPACE), "--trials", str(trials), "--name", "bench", "--out", out]
        command += ["--confirm", "0", *flags]
        with log.open("w") as output:
            start = time.time()
            process = subprocess.Popen(
                [sys.executable, "-m", "study", *command],
                cwd=ROOT,
                env={**os.environ, "WANDB_MODE": "offline"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        samples = []
        while process.poll() is None and not re.search(rf"^{trials}/{trials} trials: \d+ ", log.read_text(), re.M):
            samples.append((time.time(), _resident_bytes(process.pid)))
            time.sleep(1)
        process.terminate()  # the report is not measured
        process.wait()
        try:
            return _read(study.load(Path(out) / "bench"), start, np.array(samples))
        except Exception as error:
            raise RuntimeError(f"the study could not be read; its output was: {log.read_text()}") from error


def _read(folder: study.StudyFolder, start: float, samples: np.ndarray) -> Search:
    ended = [trial.datetime_complete for trial in folder.optuna().trials if trial.datetime_complete]
    ends = np.array([end.timestamp() for end in ended]) - start
    order = np.argsort(ends)
    starts = ends - folder.trials().seconds.to_numpy()
    return Search(starts[order], ends[order], samples[:, 0] - start, samples[:, 1])


def _resident_bytes(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()


def _compile_all() -> None:
    """Compile every kind of step of the hue space, so that the cache has them, as in any study but the first."""
    space = Space.read(SPACE)
    experiment: Any = space.experiment
    known: set[str] = set()
    for point in space.corners():
        setting = space.setting(point)
        if not experiment.step_kinds(setting) <= known:
            known |= experiment.step_kinds(setting)
            experiment.train(setting, [0, 1], rungs=1, compiled=True, on_rung=lambda *_: None)
