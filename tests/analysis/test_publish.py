"""A published study is the study: every frame equal, small, and silent about the machine."""

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import study
from analysis.publish import PUBLISHED, publish
from anchoring import InputError
from study.record.folder import StudyFolder
from study.record.writer import Writer
from study.search.schedulers import scores
from study.space.space import Space
from study.watch.pages import page_of
from study.watch.summary import best_settings

ROOT = PUBLISHED.parent.parent
COMMITTED = sorted(path.parent for path in PUBLISHED.glob("*/manifest.json"))


NAMED = "/somebody/hue.toml"


@pytest.fixture(scope="module")
def compact(hue: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The study, asked for by paths of a machine."""
    folder = study.load(shutil.copytree(hue.path, tmp_path_factory.mktemp("runs") / "hue"))
    asked = {"space": NAMED, "command": ["study", "run", NAMED], "history": [{"command": ["study", "run", NAMED]}]}
    Writer(folder.path).write_manifest({**folder.manifest(), **asked})
    return publish(study.load(folder.path), tmp_path_factory.mktemp("published"))


def test_every_frame_is_equal(hue: StudyFolder, compact: Any) -> None:
    pd.testing.assert_frame_equal(compact.trials(), hue.trials())
    pd.testing.assert_frame_equal(compact.confirmation(), hue.confirmation())
    keys = ["trial", "step", "seed"]
    pd.testing.assert_frame_equal(compact.replicas(), hue.replicas().sort_values(keys, ignore_index=True))
    assert scores(compact, hue.seeds()) == scores(hue, hue.seeds())
    assert compact.space.distributions == hue.space.distributions


def test_the_confirmed_trials_have_their_models_and_settings(hue: StudyFolder, compact: Any) -> None:
    confirmed = hue.confirmation().trial.dropna().unique().tolist()
    assert len(list((compact.path / "models").iterdir())) == len(confirmed) == 2
    x = torch.rand(5, 3)
    for trial in confirmed:
        assert torch.equal(compact.model(trial)(x), hue.model(trial)(x))
        exported = Space.read(compact.path / "best" / f"hue-{trial}.toml").setting({})
        assert exported.model_dump(exclude={"title", "schedule"}) == hue.setting(trial).model_dump(
            exclude={"title", "schedule"}
        )


def test_it_is_files_of_data_without_a_journal(compact: Any) -> None:
    assert sorted(path.name for path in compact.path.iterdir()) == [
        *("best", "confirmation.parquet", "hue.csv", "leave-one-out.parquet", "manifest.json", "models"),
        *("replicas.parquet", "study.toml", "trials.parquet"),
    ]
    with pytest.raises(InputError, match=r"found no optuna.journal"):
        compact.optuna()
    assert not (compact.path / "optuna.journal").exists()  # looking for it made none
    assert best_settings(compact).row_count


def test_no_path_of_the_machine_is_published(compact: Any) -> None:
    text = "".join(path.read_text() for path in compact.path.rglob("*") if path.suffix in (".json", ".toml", ".csv"))
    assert not [path for path in [NAMED, str(ROOT)] if path in text]


def test_nothing_is_published_twice_and_nothing_without_an_answer(
    hue: StudyFolder, compact: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="found an existing study"):
        publish(hue, compact.path.parent)
    confirmation = hue.confirmation().head(0)
    monkeypatch.setattr(type(hue), "confirmation", lambda _: confirmation)
    trials = hue.trials().assign(state="stopped")
    monkeypatch.setattr(type(hue), "trials", lambda _: trials)
    with pytest.raises(InputError, match="found no complete trial"):
        publish(hue, compact.path.parent)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_what_is_committed_loads(path: Any) -> None:
    made_by = (study.load(path).manifest().get("experiment") or {}).get("name")
    example = Path(__file__).parents[2] / "examples" / f"{made_by}" / f"{made_by}.py"
    experiment = example if example.is_file() else None
    folder = study.load(path, experiment)
    assert len(folder.replicas())
    assert len(folder.trials())
    for trial in folder.confirmation().trial.dropna().unique():
        if page_of(folder) in ("report", "map"):
            folder.model(trial)
        Space.read(path / "best" / f"{path.name}-{trial}.toml", experiment=experiment)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_what_is_committed_names_no_folder_of_a_machine(path: Any) -> None:
    for file in (file for file in path.rglob("*") if file.suffix in (".json", ".toml", ".csv")):
        assert not re.search(r"[\"' ]/(\w|~)", file.read_text()), file


def test_what_is_committed_is_small() -> None:
    assert sum(file.stat().st_size for file in PUBLISHED.rglob("*") if file.is_file()) < 20e6
