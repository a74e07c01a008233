"""What goes wrong with processes and disks, each fault really caused, and what is left then: all that was recorded."""

import os
import signal

import pytest

import study
from tests.study.faults import Driver, rungs


def run(space, path, trials, *more):
    """Begin a study of small trials, long enough to be caught in training."""
    return Driver(
        *("run", space, "--name", path.name, "--out", path.parent, "--trials", trials, "--seeds", 2, "--cpus", 2),
        *("--steps", 3000, "--confirm", 0, "--no-compile", *more),
    )


def test_a_worker_that_is_killed_costs_nothing(spaces, tmp_path):
    path = tmp_path / "killed"
    driver = run(spaces / "hue.toml", path, 4)
    driver.until(lambda: rungs(path) >= 3)
    killed = driver.workers()[0]
    os.kill(killed, signal.SIGKILL)
    code, stdout, stderr = driver.end()
    assert code == 0, stderr
    assert "Traceback" not in stdout + stderr
    folder = study.load(path)
    assert folder.trials.trial.tolist() == [0, 1, 2, 3]
    assert set(folder.trials.state) <= {"complete", "stopped"}
    means = folder.replicas.groupby(["trial", "step"]).isolation.mean()
    assert not folder.replicas.duplicated(["trial", "seed", "step"]).any()  # of the trial that began anew
    for trial in folder.optuna().trials:
        assert trial.intermediate_values == pytest.approx(means[trial.number].to_dict())
