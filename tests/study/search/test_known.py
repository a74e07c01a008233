"""Starting from known settings, and learning from another study's trials."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import study
from anchoring import InputError
from study.evidence.leading import leading
from study.record.folder import StudyFolder
from study.search import known, points
from study.search.goal import Goal
from study.search.plan import Plan
from study.search.samplers import sampler
from study.search.tpe import BoundedTPE
from study.space.document import write_setting
from study.space.space import Space
from tests.conftest import SPACES
from tests.study.conftest import EXPERIMENTS


@pytest.mark.parametrize("name", ["hue", "hue-open", "deletion", "red"])
@settings(max_examples=5)
@given(seed=st.integers(0, 10_000))
def test_an_exported_setting_is_found_again_in_its_space(
    name: str, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    space, folder = Space.read(SPACES / f"{name}.toml"), tmp_path_factory.mktemp("start")
    (point,) = points.sobol(space, 1, seed)
    file = write_setting(space.document(point), folder, "known")
    found = known.point_of(space, str(file), folder)
    for parameter, value in point.items():
        assert found[parameter] == (pytest.approx(value) if isinstance(value, float) else value)


RELATIVE = 'STEP,lr\n0,"rate = log(0.01, 1)"\n+10,0.5 * rate\n40,ratio * rate\n50,"ratio = uniform(0.1, 1) * rate"\n'


def test_a_setting_in_a_space_of_relative_ranges(workplace: Path) -> None:
    (workplace / "bowl.csv").write_text(RELATIVE)
    space = Space.read("bowl.toml", experiment="bowl.py")
    (point,) = points.sobol(space, 1, 3)
    file = write_setting(space.document(point), workplace, "known")
    assert known.point_of(space, str(file), workplace) == pytest.approx(point)


def test_a_setting_that_leaves_a_range_to_its_default_has_no_place_in_it() -> None:
    space = Space.read(SPACES / "hue-labels.toml")
    with pytest.raises(InputError, match=r"hue-isolated.toml: often: found none, expected a number from 0.003 to 1$"):
        known.point_of(space, str(SPACES / "hue-isolated.toml"), SPACES)


def test_a_trial_of_a_study_and_its_leading_one(hue: StudyFolder) -> None:
    first = int(leading(hue, 1).trial.iloc[0])
    assert known.point_of(hue.space, str(hue.path), hue.path.parent) == hue.parameters(first)
    assert known.point_of(hue.space, f"{hue.name}:3", hue.path.parent) == hue.parameters(3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--start", "nowhere"), "found no study"),
        (("--start", "nowhere.toml"), "nowhere.toml: no such file"),
        (("--start", "other.toml"), "--start: other.toml: steepness.0: found 2.0, expected 1.0, as in bowl.toml"),
        (("--start", "far.toml"), "--start: far.toml: steepness.1: found 9.0, expected a number from "),
        (("--start", "bowl.toml"), "--start: bowl.toml: "),
        (("--learn-from", "nowhere"), "found no study"),
        (("--learn-from", "HUE"), "found a study of experiment 'excolor', expected one of 'bowl'"),
        (
            ("--learn-from", "BOWL", "--sampler", "gp"),
            "--learn-from: found the sampler gp, expected tpe and one objective",
        ),
    ],
)
def test_what_cannot_be_known(
    workplace: Path, say: Any, hue: StudyFolder, arguments: tuple[str, ...], said: str
) -> None:
    toml = 'title = "x"\nexperiment = "bowl"\nschedule = "half.csv"\nsteepness = '
    (workplace / "half.csv").write_text("STEP,lr:log\n0,0.5\n20,0.5\n")
    (workplace / "other.toml").write_text(f"{toml}[2.0, 2.0]\n")
    (workplace / "far.toml").write_text(f"{toml}[1.0, 9.0]\n")
    places = {"HUE": str(hue.path), "BOWL": str(SPACES.parent / "tests" / "golden" / "bowl")}
    words = [places.get(word, word) for word in arguments]
    output, code = say("run", "bowl.toml", "--experiment", "bowl.py", *words)
    assert (code, output.count("\n")) == (2, 1)
    assert said in output
    assert not (workplace / "runs").exists()


def test_a_prior_has_what_fits_the_space(hue: StudyFolder, tmp_path: Path) -> None:
    """Here `peak` has a narrower range, and `rise` another name."""
    for file in ("hue.toml", "hue.csv"):
        shutil.copy(SPACES / file, tmp_path)
    sheet = (tmp_path / "hue.csv").read_text()
    assert "peak = log(0.003, 0.1)" in sheet
    (tmp_path / "hue.csv").write_text(
        sheet.replace("peak = log(0.003, 0.1)", "peak = log(0.01, 0.05)").replace("rise =", "climb =")
    )
    space = Space.read(tmp_path / "hue.toml")
    table = known.prior(space, hue.goal, [str(hue.path)], tmp_path)
    trials = hue.trials()
    trials = trials[trials.state == "complete"]
    assert table.score.tolist() == trials["value"].tolist()
    assert table["climb"].isna().all()
    inside = trials["param.peak"].between(0.01, 0.05)
    assert table["peak"].notna().tolist() == inside.tolist()
    assert table["separate@0"].tolist() == trials["param.separate@0"].tolist()
    made = known.as_trials(table, space, 0)
    assert [trial.number for trial in made] == [*range(-len(table), 0)]
    for trial, score in zip(made, table.score, strict=True):
        assert trial.value == score
        assert set(trial.params) == set(space.distributions)
        space.setting(trial.params)


def test_a_sampler_that_knows_another_study_proposes_near_its_best() -> None:
    """A positive control: without a prior, the first proposals are spread over the range."""
    ranges: dict[str, Any] = {
        "x": optuna.distributions.FloatDistribution(0, 1),
        "y": optuna.distributions.FloatDistribution(0, 1),
    }
    rng = np.random.default_rng(0)
    prior = []
    for place in range(60):
        x, y = rng.random(2)
        trial = optuna.trial.create_trial(
            params={"x": x, "y": y}, distributions=ranges, value=-((x - 0.8) ** 2) - (y - 0.2) ** 2
        )
        trial.number = place - 60
        prior.append(trial)

    def proposed(trials: Any) -> Any:
        search = optuna.create_study(direction="maximize", sampler=BoundedTPE(0, True, trials))
        asked = [search.ask(ranges) for _ in range(20)]
        return np.array([[trial.params["x"], trial.params["y"]] for trial in asked])

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    near = np.linalg.norm(proposed(prior) - [0.8, 0.2], axis=1)
    far = np.linalg.norm(proposed([]) - [0.8, 0.2], axis=1)
    assert np.median(near) < 0.2 < np.median(far)


def test_only_tpe_with_one_objective_learns_from_others() -> None:
    prior: Any = [None]
    with pytest.raises(InputError, match="--learn-from: found 2 objectives"):
        sampler(Plan(objectives=("a", "b")), 0, prior)


@pytest.mark.live
def test_a_study_starts_from_settings_and_learns_from_a_study(command: Callable[..., Any], tmp_path: Path) -> None:
    shutil.copytree(EXPERIMENTS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "fast.csv").write_text("STEP,lr\n0,0.75\n20,\n")
    own = ("--experiment", tmp_path / "bowl.py", "--out", tmp_path, "--seeds", 2, "--cpus", 1)
    off = ("--wandb", "off", "--no-report")
    space = Space.read(tmp_path / "bowl.toml", None, tmp_path / "bowl.py")
    golden = SPACES.parent / "tests" / "golden" / "bowl"
    other = study.load(golden, tmp_path / "bowl.py")
    asked = ("--start", f"{golden}:5", "--start", golden, "--learn-from", golden, "--trials", 4, "--confirm", 0)
    done = command("run", tmp_path / "bowl.toml", *own, *off, *asked, "--name", "starts")
    assert done.returncode == 0, done.stderr
    folder = study.load(tmp_path / "starts", tmp_path / "bowl.py")
    assert folder.parameters(0) == other.parameters(5)
    assert folder.parameters(1) == other.parameters(int(leading(other, 1).trial.iloc[0]))
    assert len(folder.trials()) == 4
    table = folder.prior()
    complete = other.trials().state == "complete"
    assert table.score.tolist() == other.trials()["value"][complete].tolist()
    pd.testing.assert_frame_equal(table, known.prior(space, Goal(folder.metrics), [str(golden)], tmp_path))
    again = command("resume", folder.path, "--experiment", tmp_path / "bowl.py", "--trials", 6)
    assert again.returncode == 0, again.stderr
    assert len(folder.trials()) == 6
