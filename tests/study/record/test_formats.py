"""Studies of every format that a release has written are read whole, as their own version left them in `formats/`.

`formats/1` was written by version 0.1, `formats/2` by 0.2: `study run search_spaces/hue.toml --trials 5 --seeds 2
--steps 60 --rungs 2 --cpus 1 --confirm 1`. Left out are Ray's, W&B's and the report's files.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import study
from analysis import confirmed, tables
from anchoring import InputError
from study import cli
from study.evidence.ranking import ranking
from study.record.untrusted import FORMAT

FORMATS = Path(__file__).parent / "formats"
EVERY = [str(number) for number in range(1, FORMAT + 1)]


@pytest.fixture(params=EVERY)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A copy of a study of each format."""
    shutil.copytree(FORMATS / request.param, tmp_path / request.param)
    return study.load(tmp_path / request.param)


def test_each_format_has_a_study() -> None:
    assert sorted(path.name for path in FORMATS.iterdir()) == EVERY
    for number in EVERY:
        assert study.load(FORMATS / number).manifest().get("format", 1) == int(number)


def test_a_study_names_no_machine() -> None:
    """What is committed holds no path, host or user of where it was made."""
    for path in FORMATS.rglob("*"):
        if path.suffix in {".json", ".journal", ".toml", ".csv"}:
            text = path.read_text()
            assert not any(word in text for word in ("/tmp", "/work", "/home", "/root", "-fc-")), path


def test_tables_are_read(folder: Any) -> None:
    trials, replicas, confirmation = folder.trials(), folder.replicas(), folder.confirmation()
    assert trials.trial.tolist() == [0, 1, 2, 3, 4]
    assert set(replicas.trial) == set(trials.trial)
    assert set(folder.metrics) >= {"isolation", "utility", "hue_blindness"}
    assert {"isolation", "setting", "seed"} <= set(confirmation.columns)
    assert folder.final(0).seed.tolist() == folder.manifest()["replica_seeds"]


def test_answers_are_given(folder: Any) -> None:
    best, answer = folder.best().iloc[0], folder.answer()
    assert folder.goal.objectives == ("isolation",)
    assert answer.trial == best.trial
    ranked = ranking(folder.confirmation(), folder)
    assert set(ranked.setting) == set(folder.confirmation().setting)
    assert f"trial {best.trial}" in tables.best(folder).columns
    assert len(tables.ranking(ranked, folder)) == len(ranked)
    assert "isolation" in confirmed.answer(folder)


def test_settings_models_and_the_search_are_read(folder: Any) -> None:
    best = int(folder.best().trial.item())
    assert set(folder.parameters(best)) == set(folder.space.distributions)
    assert len(folder.setting(best).schedule) == folder.plan().steps
    assert isinstance(folder.model(best), torch.nn.Module)
    assert [trial.number for trial in folder.optuna().trials] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("command", [["status", "--json"], ["show", "0"], ["export", "0"]])
def test_commands_read_it(
    folder: Any,
    command: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    name, *arguments = command
    done = CliRunner().invoke(cli.app, [name, folder.path.name, *arguments, "--out", "."])
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_a_report_is_made_of_it(folder: Any) -> None:
    done = CliRunner().invoke(cli.app, ["report", str(folder.path)])
    assert done.exit_code == 0, done.output
    assert "isolation" in (folder.path / "report.html").read_text()


def test_a_newer_format_is_refused(folder: Any) -> None:
    path = folder.path / "manifest.json"
    path.write_text(json.dumps({**folder.manifest(), "format": FORMAT + 1, "objectives": "a new way to write them"}))
    with pytest.raises(InputError) as refused:
        study.load(folder.path).manifest()
    found, expected = f"format: found {FORMAT + 1}", f"expected at most {FORMAT}"
    assert str(refused.value) == f"{path}: {found}, {expected}: upgrade concept-study to read it"
