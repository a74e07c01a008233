"""Searches that are run from the command line to be measured, in a process of their own."""

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

import numpy as np
import pandas as pd

import study
from benchmarks.settings import ROOT

EVERY = 0.5  # seconds between samples of the driver


@dataclass(frozen=True)
class Search:
    """The times of a search, in seconds from the command's start.

    Args:
        starts: when each trial began to train, in the order in which they ended.
        ends: when each trial ended.
        trials: the rows of trials.parquet, in that order, too.
        sampled: when the driver was sampled.
        memory: the driver's resident bytes at those times.
        cpu: the seconds of CPU time that the driver had used by then, without the processes that it starts.
    """

    starts: np.ndarray
    ends: np.ndarray
    trials: pd.DataFrame
    sampled: np.ndarray
    memory: np.ndarray
    cpu: np.ndarray

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

    def driver_cpu(self, first: int, last: int) -> float:
        """The driver's CPU seconds per trial, from the end of the `first` trial to end to that of the `last`."""
        used = np.interp(self.ends[[first, last]], self.sampled, self.cpu)
        return float((used[1] - used[0]) / (last - first))

    @property
    def _cores_x_time(self) -> float:
        return float(len(os.sched_getaffinity(0)) * (self.ends.max() - self.starts.min()))


def search(space: Path, trials: int, *flags: str) -> Search:
    """Run a study of a space from the command line, and stop the command when its search has ended."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        log = Path(out) / "log"
        command = ["run", str(space), "--trials", str(trials), "--name", "bench", "--out", out]
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
        while process.poll() is None and not re.search(rf"^{trials}/{trials} trials: .* in \d", log.read_text(), re.M):
            samples.append((time.time(), *_memory_and_cpu(process.pid)))
            time.sleep(EVERY)
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
    trials = folder.trials()
    starts = ends - trials.seconds.to_numpy()
    times, memory, cpu = samples.T
    return Search(starts[order], ends[order], trials.iloc[order], times - start, memory, cpu)


def _memory_and_cpu(process: int) -> tuple[int, float]:
    """A process's resident bytes, and the seconds of CPU time that it has used."""
    resident = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return resident, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
