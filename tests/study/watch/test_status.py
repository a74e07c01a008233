"""How studies stand: one that runs, one that was cut, one that is done."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState as OptunaState
from typer.testing import CliRunner

import study
from study import cli
from study.record.budget import minutes_left, minutes_used, record_minutes
from study.record.folder import StudyFolder
from study.record.lock import driving
from study.record.tables import trials_table
from study.record.trial_state import TrialState
from study.record.writer import Writer
from study.search import journal
from study.search.plan import Plan
from study.search.schedulers import scores
from study.watch.status import started, status


@pytest.fixture
def copy(hue: StudyFolder, tmp_path: Path) -> Any:
    return study.load(shutil.copytree(hue.path, tmp_path / "copy", ignore=shutil.ignore_patterns(".lock", "*.html")))


def test_a_finished_study(copy: Any) -> None:
    assert status(copy).report is None
    (copy.path / "report.html").touch()
    now = status(copy)
    assert now.state == "finished"
    assert now.trials == copy.trials().state.value_counts().reindex(list(TrialState), fill_value=0).to_dict()
    assert (now.running, now.planned, now.seconds_left) == (0, 14, None)
    assert now.best["trial"] == copy.best().trial.item()
    assert sorted(now.confirmation.setting)[0] == "hue-deletion"
    assert now.report.is_file()
    assert now.next == f"study report {copy.path} --open"


def test_the_best_of_a_continued_study_may_yet_have_to_be_confirmed(copy: Any) -> None:
    rows = copy.confirmation()
    Writer(copy.path).write(
        "confirmation.parquet", rows[rows.trial.ne(copy.best().trial.item()).fillna(True)].to_parquet()
    )
    assert status(copy).confirmation is None
    assert status(copy).next == f"study confirm {copy.path}"


def test_a_study_that_runs_and_is_cut(copy: Any) -> None:
    """What the files say while a trial more runs, and after its driver was killed."""
    Writer(copy.path).write_manifest({**copy.manifest(), "trials": 20})
    storage = journal.storage(copy.path)
    storage.create_new_trial(0)
    now = status(copy)
    assert (now.state, now.running, now.next) == ("running", 1, f"study dashboard {copy.path}")
    ends = [trial.datetime_complete.timestamp() for trial in copy.optuna().trials if trial.datetime_complete]
    later = max(ends) + 100
    os.utime(copy.path / "optuna.journal", (later, later))
    assert status(copy, later).seconds_left == pytest.approx(6 / 14 * (later - started(copy)), abs=1e-6)
    cut = status(copy, later + 10_000)
    assert (cut.state, cut.running, cut.seconds_left) == ("interrupted", 0, None)
    assert cut.next == f"study resume {copy.path}"
    with driving(copy.path):
        assert status(copy, later + 10_000).state == "running"
    assert status(copy, later + 10_000).state == "interrupted"
    assert copy.optuna().trials[-1].state == OptunaState.RUNNING  # looking changes nothing


def answer(*arguments: Any) -> Any:
    """What a command says to a script."""
    result = CliRunner().invoke(cli.app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_constant=pytest.fail)  # NaN is not JSON


def test_scripts_get_json_and_nothing_else(hue: StudyFolder, spaces: Path, tmp_path: Path) -> None:
    shown = answer("status", hue.path)
    assert shown["state"] == "finished"
    assert shown["best"]["isolation.mean"] == hue.best()["isolation.mean"].item()
    assert {row["setting"] for row in shown["confirmation"]} == set(hue.confirmation().setting)
    shown = answer("show", hue.path, 0)
    assert shown["parameters"] == hue.parameters(0)
    assert len(shown["replicas"]) == 4
    listed = answer("spaces", spaces)
    assert {Path(row["file"]).name: len(row["ranges"]) for row in listed}["hue.toml"] == 16
    exported = answer("export", hue.path, 0, "--to", tmp_path)
    trained = answer("train", exported["setting"], "--seeds", 1, "--steps", 20)
    assert trained["metrics"]["isolation.sd"] is None  # of one replica
    assert trained["metrics"]["isolation.mean"] == trained["replicas"][0]["isolation"]


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"study \d+\.\d+\.\d+\S*\n", CliRunner().invoke(cli.app, ["--version"]).stdout)


def test_the_shell_completes_studies_and_spaces(hue: StudyFolder) -> None:
    script = CliRunner().invoke(cli.app, env={"_STUDY_COMPLETE": "source_bash"}, prog_name="study").stdout
    assert "_STUDY_COMPLETE=complete_bash" in script

    def completed(words: Any, where: Any) -> Any:
        asked = {"_STUDY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        return CliRunner().invoke(cli.app, env=asked, prog_name="study").stdout.split()

    assert completed(f"study status --out {hue.path.parent} h", hue) == ["hue"]
    assert "search_spaces/hue-open.toml" in completed("study run search_spaces/hue", hue)


def test_a_pipe_and_a_plain_terminal_get_plain_and_whole_tables(
    hue: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = subprocess.run(
        [sys.executable, "-m", "study", "show", str(hue.path), "0"], capture_output=True, text=True, check=True
    ).stdout
    assert "\x1b" not in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 160


def test_a_study_of_minutes_goes_on_for_those_it_had_left(copy: Any) -> None:
    Writer(copy.path).write_manifest({**copy.manifest(), "trials": None, "minutes": 30.0})
    used = minutes_used(copy)
    assert 0 < used < sum(copy.trials().seconds) / 60 + 1
    for file in copy.path.rglob("*"):
        os.utime(file, (0, 0))  # a copy has other times
    assert minutes_left(copy, copy.plan()) == pytest.approx(30 - used)
    record_minutes(copy, 29)  # the driver knows better
    assert minutes_left(copy, copy.plan()) == 1
    assert minutes_left(copy, Plan(trials=1)) is None
    (copy.path / "optuna.journal").unlink()
    assert minutes_left(copy, copy.plan()) == 1


@pytest.mark.parametrize(("used", "state"), [(29.9, "interrupted"), (30, "finished"), (31, "finished")])
def test_a_study_that_has_used_its_minutes_is_finished(copy: Any, used: float, state: str) -> None:
    Writer(copy.path).write_manifest({**copy.manifest(), "trials": 500, "minutes": 30.0})
    record_minutes(copy, used)
    assert status(copy).state == state


def test_a_study_all_of_whose_trials_failed_can_be_looked_at_and_gone_on_with(copy: Any) -> None:
    rows = trials_table(copy.path).to_pandas()
    rows = rows[["trial", "seconds", "audited", *rows.filter(like="param.")]]
    rows = rows.assign(state="failed", steps=0, diverged=0, reason="MemoryError", value=np.nan, feasible=True)
    Writer(copy.path).write("trials.parquet", rows.to_parquet(index=False))
    for part in (copy.path / "replicas.parquet").iterdir():
        part.unlink()
    assert scores(copy, copy.seeds()) == {}
    assert copy.final().empty
    result = CliRunner().invoke(cli.app, ["show", str(copy.path), "3"])
    assert result.exit_code == 0, result.output
    assert "failed (MemoryError)" in result.output
