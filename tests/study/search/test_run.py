"""A study run by Ray Tune and Optuna for real, and what it leaves."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import psutil
import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

import study
from study import cli
from study.record.folder import StudyFolder
from study.search.limits import Clock
from study.search.run import minutes_recorded
from tests.conftest import LIVE, OUTCOMES
from tests.study.record.faults import in_table


@pytest.fixture(scope="module")
def folder(live: Any) -> Any:
    return live[0]


def test_every_trial_is_there_once(folder: Any) -> None:
    assert folder.trials().trial.tolist() == list(range(24))
    assert set(folder.trials().state) == {"complete", "stopped", "diverged", "failed"}
    assert folder.trials()[folder.trials().state == "complete"].steps.eq(100).all()
    assert folder.trials()[folder.trials().state == "stopped"].steps.lt(100).all()


def test_what_ends_a_search_is_said_though_its_minutes_cannot_be_recorded(hue: StudyFolder, tmp_path: Path) -> None:
    """The folder is gone, so there is no manifest to write them into."""
    here, clock = study.load(shutil.copytree(hue.path, tmp_path / "hue")), cast(Clock, lambda: 30.0)
    with minutes_recorded(here, 2.0, clock):
        pass
    assert here.manifest()["minutes_used"] == 2.5

    def end() -> None:
        shutil.rmtree(here.path)
        raise OSError("a full disk")

    with pytest.raises(OSError, match="a full disk"), minutes_recorded(here, 2.0, clock):
        end()


def test_trials_summarise_their_replicas_last_rung(folder: Any) -> None:
    for _, trial in folder.trials()[folder.trials().state != "failed"].iterrows():
        rows = folder.replicas()[(folder.replicas().trial == trial.trial) & (folder.replicas().step == trial.steps)]
        assert rows.seed.tolist() == folder.seeds() == [0, 1]
        assert trial["isolation.mean"] == pytest.approx(rows.isolation.mean())
        assert trial["isolation.sd"] == pytest.approx(np.std(rows.isolation, ddof=1))
        if trial.state != "diverged":
            assert trial["utility.p10"] == pytest.approx(np.percentile(rows.utility, 10))
            assert trial["hue_residual.min"] == pytest.approx(rows.hue_residual.min())


def test_rungs_are_even(folder: Any) -> None:
    complete = folder.best().trial.item()
    assert sorted(folder.replicas()[folder.replicas().trial == complete].step.unique()) == list(range(20, 101, 20))


def test_optuna_is_in_optuna_the_truth(folder: Any) -> None:
    in_optuna = {"complete": "COMPLETE", "stopped": "PRUNED", "diverged": "FAIL", "failed": "FAIL"}
    trials = folder.optuna().trials
    states = folder.trials().set_index("trial").state
    assert [trial.state.name for trial in trials] == [in_optuna[states[trial.number]] for trial in trials]
    replicas = folder.replicas().merge(folder.trials()[["trial", "steps"]], on="trial")
    replicas = replicas[replicas.step <= replicas.steps]  # of exempted trials Optuna knows what a stop would have left
    means = replicas.groupby(["trial", "step"]).isolation.mean()
    for trial in trials:
        reported = pd.Series(trial.intermediate_values)
        if states[trial.number] != "failed":
            assert reported.to_dict() == pytest.approx(means[trial.number].to_dict())
        if trial.state == TrialState.COMPLETE:
            assert trial.value == pytest.approx(means[trial.number].iloc[-1])


def test_diverged_and_failed_trials_say_so(folder: Any) -> None:
    trials = folder.trials().set_index("state")
    diverged, failed = trials.loc[["diverged"]], trials.loc[["failed"]]
    assert diverged["param.rate"].eq(1e38).all()
    assert diverged["isolation.mean"].eq(0).all()
    assert diverged.diverged.eq(2).all()
    assert diverged.steps.lt(100).all()  # no time is wasted on them
    assert failed["param.model.hidden"].gt(20).all()
    assert failed.reason.str.contains("can't allocate memory").all()
    assert failed.steps.eq(0).all()


def test_a_model_is_there_for_each_complete_trial_and_is_the_one_measured(folder: Any) -> None:
    complete = folder.trials()[folder.trials().state == "complete"]
    assert sorted(path.stem for path in (folder.path / "models").iterdir()) == [f"{n:05d}" for n in complete.trial]
    trial = folder.best().trial.item()
    again = folder.experiment.measured(folder.model(trial), folder.setting(trial))
    rows = folder.final(trial)
    for name, metric in again.items():
        assert rows[name].tolist() == pytest.approx(metric.tolist(), abs=1e-6)


def test_the_folder_is_as_documented(folder: Any) -> None:
    names = {path.name for path in folder.path.iterdir()}
    assert names >= {
        *("study.toml", "outcomes.csv", "manifest.json", "optuna.journal", "trials.parquet", "replicas.parquet"),
        *("models", "report.html"),
    }
    assert "ray" not in names  # pickles of Tune's, from which nobody goes on
    assert not list(folder.path.rglob("*.partial"))
    manifest = json.loads((folder.path / "manifest.json").read_text())
    assert manifest["replica_seeds"] == [0, 1]
    assert manifest["steps"] == 100
    assert manifest["versions"]["ray"]
    assert "run" in manifest["command"]


def test_the_terminal_tells_the_whole_story(live: Any) -> None:
    folder, done = live
    counts = folder.trials().state.value_counts()
    (end,) = (line for line in done.stdout.splitlines() if line.startswith("24/24 trials: "))
    assert all(f"{count} {state}" in end for state, count in counts.items())
    assert f"trial {folder.best().trial.item()}" in done.stdout
    assert "The best" in done.stdout
    assert "report.html" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_trial_of_a_used_worker_replayed_in_a_fresh_process_measures_the_same(
    folder: Any, command: Any, tmp_path: Path
) -> None:
    """`study export`, then `study train`, gives the metrics of a study, whose workers are reused, to the last bit."""
    trial = folder.best().trial.item()
    exported = CliRunner().invoke(cli.app, ["export", str(folder.path), str(trial), "--to", str(tmp_path)])
    assert exported.exit_code == 0, exported.output
    trained = command("train", exported.stdout.strip(), "--seeds", 2, "--name", "again", "--out", tmp_path)
    assert trained.returncode == 0, trained.stderr
    again = study.load(tmp_path / "again")
    assert again.trials().state.tolist() == ["complete"]
    ours = folder.final(trial).drop(columns="trial").reset_index(drop=True)
    theirs = again.final().drop(columns="trial").reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_the_same_seed_and_one_worker_make_the_same_study(folder: Any, command: Any, tmp_path: Path) -> None:
    """Whatever else they leave."""
    done = command("run", OUTCOMES, "--name", "again", "--out", tmp_path, *LIVE, "--confirm", 0, "--no-report")
    assert done.returncode == 0, done.stderr
    one, two = (each.trials().drop(columns="seconds") for each in (folder, study.load(tmp_path / "again")))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def begin(command: Any, folder: Any, more: Any) -> Any:
    """The process of a study since whose start so many more trials are in its table."""
    enough = in_table(folder) + more
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and in_table(folder) < enough:
        time.sleep(0.1)
    return process


def listened_on(process: Any) -> Any:
    """The addresses on which a process and its children listen."""
    family = [parent := psutil.Process(process.pid), *parent.children(recursive=True)]
    found = []
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [place.laddr.ip for place in member.net_connections("inet") if place.status == psutil.CONN_LISTEN]
    return found


@pytest.mark.live
def test_a_study_that_was_killed_and_interrupted_goes_on_where_it_was(
    spaces: Path, tmp_path: Path, command: Any
) -> None:
    path = tmp_path / "cut"
    start = [sys.executable, "-m", "study", "run", str(spaces / "hue.toml"), "--name", "cut", "--out", str(tmp_path)]
    start += ["--trials", "500", "--seeds", "2", "--steps", "300", "--cpus", "2", "--confirm", "0"]
    start += ["--no-compile", "--no-report"]
    process = begin(start, path, 2)
    assert {ip.removeprefix("::ffff:") for ip in listened_on(process)} == {"127.0.0.1"}
    process.kill()
    process.communicate(timeout=60)
    killed = study.load(path)
    ended = killed.trials().drop(columns="seconds")
    running = [trial for trial in killed.optuna().trials if trial.state == TrialState.RUNNING]
    assert len(ended) >= 2
    assert running

    process = begin([sys.executable, "-m", "study", "resume", str(path), "--confirm", "0"], path, 3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=400)
    assert process.returncode == 1, stderr
    assert "which are kept; `study resume" in stderr
    assert "Traceback" not in stderr
    cut = study.load(path)
    waiting = [trial for trial in cut.optuna().trials if not trial.state.is_finished()]
    assert {trial.state for trial in waiting} <= {TrialState.WAITING}

    trials = len(cut.trials()) + len(waiting) + 2
    done = command("resume", path, "--trials", trials, "--confirm", 0)
    assert done.returncode == 0, done.stderr
    whole = study.load(path)
    assert whole.trials().trial.tolist() == list(range(trials))
    assert all(trial.state.is_finished() for trial in whole.optuna().trials)
    kept = whole.trials().drop(columns="seconds")[lambda rows: rows.trial.isin(ended.trial)]
    pd.testing.assert_frame_equal(kept.reset_index(drop=True)[ended.columns], ended.reset_index(drop=True))  # type: ignore[arg-type]
    for trial in running:  # they were trained again with the values proposed before the kill, all of them or some
        assert trial.params.items() <= whole.optuna().trials[trial.number].params.items()
    assert len({tuple(trial.params.items()) for trial in whole.optuna().trials}) == trials  # nothing proposed twice
    assert [run["trials"] for run in whole.manifest()["history"]] == [500, 500]


def test_a_study_can_be_renamed(hue: StudyFolder, tmp_path: Path) -> None:
    renamed = study.load(shutil.copytree(hue.path, tmp_path / "another-name"))
    assert len(renamed.optuna().trials) == 14
    assert renamed.setting(0) == hue.setting(0)
