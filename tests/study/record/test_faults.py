"""What goes wrong with processes and disks, each fault really caused, and what is left then: all that was recorded."""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from optuna.samplers import RandomSampler

import study
from anchoring import InputError
from study.record.folder import StudyFolder
from study.record.lock import driving
from study.record.recovery import clean, reconcile
from study.record.tables import trials_table
from study.record.writer import Writer
from study.search import journal
from study.watch.report import write_report
from tests.study.record.faults import Driver, in_table, journal_is_whole, rungs


def run(space: Any, path: Any, trials: Any, *more: Any) -> Any:
    """Begin a study of small trials, long enough to be caught in training."""
    return Driver(
        *("run", space, "--name", path.name, "--out", path.parent, "--trials", trials, "--seeds", 2, "--cpus", 2),
        *("--steps", 3000, "--confirm", 0, "--no-compile", "--no-report", *more),
    )


@pytest.mark.live
def test_a_worker_that_is_killed_costs_nothing(spaces: Path, tmp_path: Path) -> None:
    path = tmp_path / "killed"
    driver = run(spaces / "hue.toml", path, 3, "--steps", 1500)
    driver.until(lambda: rungs(path) >= 3)
    killed = driver.worker()
    os.kill(killed, signal.SIGKILL)
    code, stdout, stderr = driver.end()
    assert code == 0, stderr
    assert "Traceback" not in stdout + stderr
    folder = study.load(path)
    assert folder.trials().trial.tolist() == [0, 1, 2]
    assert set(folder.trials().state) <= {"complete", "stopped"}
    means = folder.replicas().groupby(["trial", "step"]).isolation.mean()
    assert not folder.replicas().duplicated(["trial", "seed", "step"]).any()  # of the trial that began anew
    for trial in folder.optuna().trials:
        assert trial.intermediate_values == pytest.approx(means[trial.number].to_dict())


def test_one_driver_a_study(hue: StudyFolder, say: Any, tmp_path: Path) -> None:
    path = shutil.copytree(hue.path, tmp_path / "held")
    with driving(path):
        before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
        said, code = say("resume", path, "--trials", 20)
        assert code == 2
        assert f"process {os.getpid()} on " in said
        assert "expected no other process (wait for it, or end it)" in said
        assert said.count("\n") == 1
        assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before
    with driving(path), pytest.raises(InputError), driving(path):
        pass


def lose(name: Any) -> Any:
    return lambda path: (path / name).unlink()


def cut(name: Any, keep: Any) -> Any:
    return lambda path: os.truncate(path / name, int((path / name).stat().st_size * keep))


def leave(path: Any) -> None:
    """What a driver that is killed may leave half-done."""
    cut("optuna.journal", 0.9999)(path)
    (path / "optuna.journal.lock").symlink_to("optuna.journal")
    (path / "models" / ".00001.safetensors.partial").write_bytes(b"half")


LOSSES = {
    "the journal": lose("optuna.journal"),
    "half of the journal": cut("optuna.journal", 0.5),
    "all of the journal": cut("optuna.journal", 0),
    "the table of trials": lose("trials.parquet"),
    "nothing, but its driver was killed": leave,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_journal_and_table_are_each_made_anew_from_the_other(
    hue: StudyFolder, outcomes: StudyFolder, tmp_path: Path, loss: Any
) -> None:
    for whole in (hue, outcomes):
        mended = study.load(shutil.copytree(whole.path, tmp_path / whole.name))
        loss(mended.path)
        clean(mended)
        search = journal.search(mended.path, RandomSampler(), mended.goal.directions)
        reconcile(search, mended)
        for again, before in zip(search.trials, whole.optuna().trials, strict=True):
            for name in ("number", "state", "params", "value"):
                assert getattr(again, name) == getattr(before, name)
            assert again.intermediate_values == pytest.approx(before.intermediate_values)
        known = whole.trials().columns.drop(["seconds", "reason"])
        pd.testing.assert_frame_equal(mended.trials()[known], whole.trials()[known])
        assert not [*mended.path.rglob("*.partial"), *mended.path.glob("optuna.journal.lock*")]


DAMAGES = ("trials.parquet", "replicas.parquet/00001.parquet", "confirmation.parquet", "manifest.json")


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_named_and_the_rest_can_be_read(hue: StudyFolder, tmp_path: Path, name: Any) -> None:
    path = shutil.copytree(hue.path, tmp_path / "damaged")
    cut(name, 0.5)(path)
    folder = StudyFolder(path)
    reads = {
        "trials.parquet": folder.trials,
        "replicas.parquet/00001.parquet": folder.replicas,
        "confirmation.parquet": folder.confirmation,
        "manifest.json": lambda: StudyFolder(path).manifest(),
    }
    with pytest.raises(InputError, match="expected") as error:
        reads.pop(name)()
    assert str(error.value).startswith(f"{path / name}: damaged: ")
    for read in reads.values():
        read()


def test_a_journal_damaged_in_its_middle_is_named(hue: StudyFolder, tmp_path: Path) -> None:
    path = shutil.copytree(hue.path, tmp_path / "damaged")
    journal = path / "optuna.journal"
    journal.write_bytes(journal.read_bytes().replace(b"{", b"#", 40))
    with pytest.raises(InputError, match=r"optuna.journal: damaged: .* `study resume` makes a new one"):
        study.load(path).optuna()


@pytest.mark.live
def test_what_cannot_be_written_ends_a_study_in_one_line_and_nothing_is_lost(
    spaces: Path, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A limit on file sizes: the journal's next line is cut short, as on a full disk, and then nothing can be written."""
    path = tmp_path / "full"
    driver = run(spaces / "hue.toml", path, 200, "--steps", 300)
    journal, table = path / "optuna.journal", path / "trials.parquet"
    # the journal is the longest file then, so it is the first that cannot be written
    driver.until(lambda: in_table(path) >= 2 and journal.stat().st_size > 1.2 * table.stat().st_size)
    size = journal.stat().st_size + 100
    resource.prlimit(driver.process.pid, resource.RLIMIT_FSIZE, (size, size))
    code, stdout, stderr = driver.end()
    assert code == 1, stderr
    assert stderr.splitlines()[-1] == f"failed: {path}: File too large; `study resume {path}` goes on"
    assert "Traceback" not in stdout + stderr
    before = study.load(path).trials()
    assert len(before) >= 2
    done = command("resume", path, "--trials", len(before) + 3, "--confirm", 0)
    assert done.returncode == 0, done.stderr
    after = study.load(path)
    assert after.trials().trial.tolist() == list(range(len(before) + 3))
    assert journal_is_whole(path)
    kept = after.trials()[after.trials().trial.isin(before.trial)].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept[before.columns], before)


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_a_study_in_one_line_and_nothing_is_lost(
    spaces: Path, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=99m", "tmpfs", disk], check=False).returncode:
        pytest.skip("cannot mount a disk of its own")
    try:
        driver = run(spaces / "hue.toml", disk / "full", 500, "--steps", 300)
        driver.until(lambda: in_table(disk / "full") >= 2)
        room = shutil.disk_usage(disk).used + 2**17
        subprocess.run(["mount", "-o", f"remount,size={room}", disk], check=True)
        code, stdout, stderr = driver.end()
        assert code == 1, stderr
        assert "No space left on device" in stderr.splitlines()[-1]
        assert "Traceback" not in stdout + stderr
        before = study.load(disk / "full").trials()
        assert len(before) >= 2
        subprocess.run(["mount", "-o", "remount,size=99m", disk], check=True)
        done = command("resume", disk / "full", "--trials", len(before) + 3, "--confirm", 0)
        assert done.returncode == 0, done.stderr
        after = study.load(disk / "full").trials()
        assert after.trial.tolist() == list(range(len(before) + 3))
        assert before.trial.isin(after.trial).all()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.slow
def test_a_study_whose_folder_is_deleted_says_so(spaces: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone"
    driver = run(spaces / "hue.toml", path, 200, "--steps", 300)
    driver.until(lambda: in_table(path) >= 1)
    path.rename(tmp_path / "elsewhere")
    code, stdout, stderr = driver.end()
    assert code == 1, stderr
    assert "No such file or directory" in stderr.splitlines()[-1]
    assert "Traceback" not in stdout + stderr
    assert len(study.load(tmp_path / "elsewhere").trials()) >= 1


@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_repeat_nothing(spaces: Path, tmp_path: Path) -> None:
    """Each at a random moment after the search has begun, or, every fourth, of the whole of the driver's life."""
    path, trials = tmp_path / "killed", 120
    random = np.random.default_rng(0)
    known: dict[int, Any] = {}
    driver = run(spaces / "hue.toml", path, trials, "--steps", 600)
    for kill in range(20):
        enough = rungs(path) + int(random.integers(1, 25))
        if kill % 4:
            driver.until(lambda enough=enough: rungs(path) >= enough)
        else:
            time.sleep(random.uniform(0, 20))
        driver.process.kill()
        assert driver.end()[0] == -signal.SIGKILL  # it had not ended by itself
        trials_now = study.load(path).trials() if path.is_dir() else pd.DataFrame({"trial": [], "state": []})
        assert not trials_now.trial.duplicated().any()
        states = dict(zip(trials_now.trial, trials_now.state, strict=True))
        assert known.items() <= states.items()
        known = states
        driver = (
            Driver("resume", path, "--confirm", 0)
            if path.is_dir()
            else run(spaces / "hue.toml", path, trials, "--steps", 600)
        )
    code, _, stderr = driver.end()
    assert code == 0, stderr
    folder = study.load(path)
    assert folder.trials().trial.tolist() == list(range(trials))
    assert [trial.number for trial in folder.optuna().trials] == list(range(trials))
    assert all(trial.state.is_finished() for trial in folder.optuna().trials)
    assert known.items() <= dict(zip(folder.trials().trial, folder.trials().state, strict=True)).items()
    assert sorted(folder.replicas().trial.unique()) == list(range(trials))
    assert not folder.replicas().duplicated(["trial", "seed", "step"]).any()


@pytest.mark.slow
def test_a_worker_that_hangs_and_a_trial_without_memory_are_failures_with_a_reason(
    spaces: Path, tmp_path: Path
) -> None:
    for name in ("subspace-ablation.toml", "subspace-ablation.csv"):
        shutil.copy(spaces / name, tmp_path)
    toml = tmp_path / "subspace-ablation.toml"
    toml.write_text(
        toml.read_text().replace(
            "bottleneck = 4", 'bottleneck = 4\nhidden = "choice(16, 17, 18, 19, 20, 21, 22, 60000000)"'
        )
    )
    path = tmp_path / "hangs"
    driver = run(toml, path, 8, "--steps", 1000, "--memory", 3, "--limit", 1.5, "--sampler", "random")
    driver.until(lambda: rungs(path) >= 2)
    os.kill(driver.worker(), signal.SIGSTOP)
    code, stdout, stderr = driver.end()
    assert code == 0, stderr
    assert "Traceback" not in stdout + stderr
    trials = study.load(path).trials()
    assert trials.trial.tolist() == list(range(8))
    failed = trials[trials.state == "failed"]
    reasons = failed.reason.str
    assert reasons.contains("it took longer than 1.5 minutes (--limit)", regex=False).sum() == 1
    assert (
        reasons.contains("can't allocate memory", regex=False).sum()
        == len(failed) - 1
        == trials["param.model.hidden"].gt(22).sum()
    )
    assert set(trials[trials["param.model.hidden"] <= 22].state) >= {"complete"}


@pytest.fixture
def with_a_gap(outcomes: StudyFolder, tmp_path: Path) -> StudyFolder:
    """A study whose last trial failed before it had parameters."""
    folder = study.load(shutil.copytree(outcomes.path, tmp_path / "gap"))
    table = trials_table(folder.path)
    row = {"trial": len(table), "state": "failed", "steps": 0, "seconds": 0.0, "audited": False, "diverged": 0}
    row |= {"reason": "its record was lost", "value": float("nan"), "feasible": True}
    Writer(folder.path).write_trials(
        pa.concat_tables([table, pa.Table.from_pylist([row])], promote_options="permissive")
    )
    return folder


def test_types_are_those_of_the_space_whatever_is_missing(with_a_gap: StudyFolder, outcomes: StudyFolder) -> None:
    assert any(isinstance(value, int) for value in outcomes.parameters(0).values())
    for trial in outcomes.trials().trial:
        assert repr(with_a_gap.parameters(trial)) == repr(outcomes.parameters(trial))
    with pytest.raises(InputError, match="found none, expected one of"):
        with_a_gap.parameters(len(outcomes.trials()))


def test_a_trial_without_parameters_costs_no_other_command(with_a_gap: StudyFolder, say: Any, tmp_path: Path) -> None:
    best = with_a_gap.best().trial.item()
    for command in (
        ["status"],
        ["show", best],
        ["export", best, "--to", tmp_path / "exported"],
        ["show", best, "--json"],
    ):
        said, code = say(command[0], with_a_gap.path, *command[1:])
        assert code == 0, said
    lost = len(with_a_gap.trials()) - 1
    assert say("show", with_a_gap.path, lost) == (f"trial {lost} of gap: failed (its record was lost)\n", 0)


@pytest.mark.live
def test_a_trial_without_parameters_costs_no_report(with_a_gap: StudyFolder) -> None:
    assert "Traceback" not in write_report(with_a_gap).read_text()
