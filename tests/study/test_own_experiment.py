"""Studies of an experiment of one's own: run, continued, confirmed, and read where the experiment is not."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import study
from anchoring import InputError
from study import registry
from tests.conftest import golden
from tests.study.conftest import EXPERIMENTS

BOWL = (EXPERIMENTS / "bowl.py").read_text()


def test_training_and_examining_in_this_process(workplace: Any, say: Any) -> None:
    arguments = (
        "train",
        "bowl-slow.toml",
        "--experiment",
        "bowl.py",
        "--examine",
        "--json",
        "--seeds",
        3,
        "--name",
        "x",
    )
    said, code = say(*arguments)
    assert code == 0
    means = json.loads(said)["metrics"]
    assert means["depth.mean"] > 0
    kept = study.load("runs/x", "bowl.py")
    assert kept.final()[["depth", "distance", "speed"]].notna().all(axis=None)
    assert torch.equal(kept.model(0).at.norm(dim=1), torch.tensor(kept.final().distance.to_numpy()))
    assert say("spaces", ".", "--experiment", "bowl.py")[0].count("roll") >= 2


@pytest.fixture(scope="module")
def bowl(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study of the tiny experiment."""
    return golden("bowl", tmp_path_factory.mktemp("runs"), EXPERIMENTS / "bowl.py").path


def expect_done(done: Any) -> None:
    assert done.returncode == 0, done.stderr


def test_a_study_of_an_experiment_of_ones_own(bowl: Any) -> None:
    folder = study.load(bowl, EXPERIMENTS / "bowl.py")
    assert len(folder.trials()) == 12
    assert set(folder.trials().state) <= {"complete", "stopped"}
    assert folder.goal.objectives == ("depth",)
    assert set(folder.confirmation().setting) == {*(f"trial {n}" for n in folder.best(2).trial), "bowl-slow"}
    assert folder.answer().trial in folder.best(2).trial.tolist()
    best = folder.best().trial.item()
    distance = folder.model(best).at.norm(dim=1)
    assert torch.equal(distance, torch.tensor(folder.final(best).distance.to_numpy()))
    assert folder.manifest()["format"] == 2
    assert folder.manifest()["experiment"]["file"] == "bowl.py"


@pytest.mark.live
def test_a_study_goes_on_and_is_confirmed_with_its_experiment(
    bowl: Any, command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, say: Any
) -> None:
    copy = shutil.copytree(bowl, tmp_path / "bowl")
    changed = tmp_path / "bowl.py"
    changed.write_text(BOWL + "\n# more")
    shutil.copy(EXPERIMENTS / "bowl-slow.toml", tmp_path)
    shutil.copy(EXPERIMENTS / "bowl-slow.csv", tmp_path)
    for words in (["resume", copy, "--trials", 13], ["confirm", copy, "--top", 1]):
        said, code = say(*words, "--experiment", changed)
        assert (code, said.count("\n")) == (2, 1)
        assert "experiment bowl has changed" in said
        assert "--changed-experiment" in said
    assert study.load(copy).manifest() == study.load(bowl).manifest()
    go_on = ("--experiment", changed, "--changed-experiment", "--cpus", 1)
    expect_done(command("resume", copy, "--trials", 13, "--confirm", 0, "--no-report", *go_on))
    folder = study.load(copy, changed)
    assert len(folder.trials()) == 13
    assert folder.manifest()["experiment"]["digest"] == registry.from_file(changed).digest
    assert folder.manifest()["history"][0]["experiment"] == study.load(bowl).manifest()["experiment"]
    expect_done(command("confirm", copy, "--top", 1, "--seeds", 4, "--examine", "--experiment", changed, "--cpus", 1))
    assert study.load(copy).confirmation().speed.notna().all()
    assert len(study.load(copy).confirmation()) == 8


def test_a_study_whose_experiment_is_not_here_is_read(bowl: Any, say: Any, tmp_path: Path) -> None:
    folder = study.load(bowl)
    best = folder.best().trial.item()
    assert "distance" in folder.metrics
    assert folder.answer().trial in folder.trials().trial.tolist()
    assert folder.document(best)["steepness"][0] == 1
    assert len(folder.optuna().trials) == 12
    for verb in (["show", bowl, best], ["status", bowl], ["export", bowl, best, "--to", tmp_path / "to"]):
        said, code = say(*verb)
        assert code == 0, said
    for ask in (lambda: folder.model(best), lambda: folder.setting(best), lambda: folder.experiment):
        with pytest.raises(InputError, match=r"experiment 'bowl' is not installed, expected .* --experiment FILE\.py"):
            ask()
    for verb in (["resume", bowl, "--trials", "20"], ["confirm", bowl]):
        said, code = say(*verb)
        assert code == 2
        assert said.startswith(f"error: {bowl}: experiment 'bowl' is not installed, expected one of excolor, or")
        assert said.count("\n") == 1
    said, code = say("show", bowl, best, "--experiment", EXPERIMENTS / "bowl.py")
    assert code == 0
    (tmp_path / "dish.py").write_text(BOWL.replace('"bowl"', '"dish"'))
    said, code = say("show", bowl, best, "--experiment", tmp_path / "dish.py")
    assert code == 2
    assert "found a study of experiment 'bowl', expected one of 'dish'" in said


def test_a_folder_can_be_searched_in_without_its_experiment(bowl: Any) -> None:
    from study.watch import summary

    folder = study.load(bowl)
    assert summary.best_settings(folder).row_count >= 4
    assert summary.confirmed(folder).row_count == 3
    assert isinstance(summary.importances(folder), dict)


@pytest.mark.parametrize("name", ["evil.py", "evil", "./evil.py", "evil:experiment", "os"])
def test_a_file_that_a_space_or_a_manifest_names_is_not_run(
    bowl: Any, say: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: Any
) -> None:
    """Each payload would make a file; the positive control is that `--experiment` runs it."""
    canary = tmp_path / "canary"
    copy = shutil.copytree(bowl, tmp_path / "bowl")
    payload = BOWL + f"\nopen({str(canary)!r}, 'w').close()\n"
    for place in (tmp_path, copy):
        for file in ("evil.py", "bowl.py"):
            (place / file).write_text(payload)
    monkeypatch.chdir(copy)
    toml = copy / "study.toml"
    toml.write_text(toml.read_text().replace('"bowl"', json.dumps(name)))
    manifest = json.loads((copy / "manifest.json").read_text())
    record = {**manifest["experiment"], "name": name, "file": str(copy / "evil.py"), "target": "evil:experiment"}
    (copy / "manifest.json").write_text(json.dumps({**manifest, "experiment": record}))
    for verb in (["show", ".", 0], ["status", "."], ["run", "study.toml"], ["spaces", "."], ["confirm", "."]):
        say(*verb)
        assert not canary.exists(), verb
    with pytest.raises(InputError, match="is not installed"):
        study.load(copy).model(0)
    assert not canary.exists()
    say("spaces", ".", "--experiment", "evil.py")
    assert canary.exists()
