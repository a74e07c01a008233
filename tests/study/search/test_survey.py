"""Surveys: settings that are fixed beforehand, all of them trained to the end, the best promoted to fresh seeds."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import study
from anchoring import InputError
from study.evidence.confirmation import candidates
from study.evidence.leading import leading
from study.evidence.ranking import ranking
from study.evidence.rounds import history, standing
from study.search import points
from study.search.plan import Plan
from study.space.space import Space
from tests.study.conftest import EXPERIMENTS

KINDS = """title = "Every kind"
experiment = "bowl"
schedule = "bowl.csv"
steepness = ["int(1, 3)", "choice(1, 2.5)", "log(1e-3, 10)"]
"""


def space(folder: Path, text: str = KINDS) -> Space:
    (folder / "kinds.toml").write_text(text)
    return Space.read(folder / "kinds.toml", experiment=folder / "bowl.py")


def test_sobol_points_fill_a_space_and_a_longer_list_goes_on(workplace: Path) -> None:
    of = space(workplace)
    long, short = points.sobol(of, 256, 3), points.sobol(of, 100, 3)
    assert long[:100] == short
    assert points.sobol(of, 100, 4) != short
    table = pd.DataFrame(long)
    assert table["steepness.0"].value_counts().between(80, 90).all()
    assert table["steepness.1"].value_counts().tolist() == [128, 128]
    spread = np.log(table["steepness.2"] / 1e-3) / np.log(1e4)
    assert stats.kstest(spread, "uniform").statistic < 0.02  # independent draws have 0.08


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(0, 1000))
def test_a_list_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, n: int, seed: int) -> None:
    folder = tmp_path_factory.mktemp("list")
    shutil.copytree(EXPERIMENTS, folder, dirs_exist_ok=True)
    of = space(folder)
    listed = points.sobol(of, n, seed)
    (folder / "list.csv").write_text(points.as_csv(listed, of))
    assert points.read(folder / "list.csv", of) == listed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "row 1: found the columns nothing, expected those of"),
        ("rate\n0.5\n", "row 1: found the columns rate, expected those of bowl.toml: steepness.1, rate"),
        ("rate,steepness.1,rate\n", "row 1: found the columns"),
        ("rate,steepness.1\n", "found no row, expected one for each setting"),
        ("rate,steepness.1\n0.5\n", "row 2: found 1 cells, expected 2"),
        ("rate,steepness.1\n0.5,1\n\n7,1\n", "row 4, column rate: found '7', expected a number from 0.01 to 1"),
        ("rate,steepness.1\nfast,1\n", "row 2, column rate: found 'fast', expected a number from 0.01 to 1"),
        ("rate,steepness.1\nnan,1\n", "row 2, column rate: found 'nan', expected a number from"),
        ('rate,steepness.1\n"0.5,1\n', "cannot be read ("),
    ],
)
def test_wrong_lists(workplace: Path, say: Any, text: str, said: str) -> None:
    Path("list.csv").write_text(text)
    output, code = say("survey", "bowl.toml", "--experiment", "bowl.py", "--from", "list.csv")
    assert (code, output.count("\n")) == (2, 1)
    assert output.startswith("error: list.csv: ")
    assert said in output
    assert not (workplace / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "nowhere.csv"], "nowhere.csv: cannot be read (No such file or directory), expected CSV"),
        (["--promote", "16"], "--promote: found '16', expected TOP:SEEDS, such as 16:8"),
        (["--promote", "4:1"], "--promote: found '4:1', expected TOP:SEEDS"),
        (["--promote", "4:8", "--promote", "8:8"], "expected each round to take at most as many as the one before"),
        (["--plan", "bowl.toml"], "--plan: bowl.toml: cannot be written (File exists), expected a new file"),
        (["--plan", "x.csv", "--from", "y.csv"], "--plan: found --from as well, expected one of them"),
        (["--margin", "1", "--seeds", "1"], "--margin: found 1 with 1 seed"),
    ],
)
def test_wrong_surveys(workplace: Path, say: Any, arguments: list[str], said: str) -> None:
    output, code = say("survey", "bowl.toml", "--experiment", "bowl.py", *arguments)
    assert (code, output.count("\n")) == (2, 1)
    assert said in output
    assert not (workplace / "runs").exists()


def test_rounds_have_seeds_of_their_own() -> None:
    plan = Plan(seed=3, seeds=50_000, promote=("16:999", "8:999", "2:999"))
    before = [set(plan.round_seeds(number, 999)) for number in (1, 2)]
    taken = [set(plan.replica_seeds), set(plan.held_out_seeds(25_000)), *before, set(Plan(seed=4).replica_seeds)]
    assert sum(map(len, taken)) == len(set().union(*taken))
    assert Plan().rounds == [(3, 64)]
    assert Plan(confirm=0).rounds == []


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory: pytest.TempPathFactory, command: Callable[..., Any]) -> Any:
    """A survey of a list, whose constraint is relative to a setting that is trained in every round."""
    place = tmp_path_factory.mktemp("survey")
    shutil.copytree(EXPERIMENTS, place, dirs_exist_ok=True)
    own = (place / "bowl.toml", "--experiment", place / "bowl.py")
    planned = command("survey", *own, "--trials", 6, "--plan", place / "plan.csv")
    assert planned.returncode == 0, planned.stderr
    asked = ("--promote", "4:3", "--promote", "2:8", "--constraint", f"relative depth >= 0 of {place}/bowl-slow.toml")
    more = ("--seeds", 2, "--cpus", 1, "--no-report", "--out", place, "--name", "mapped")
    done = command("survey", *own, "--from", place / "plan.csv", *asked, *more)
    assert done.returncode == 0, done.stderr
    return study.load(place / "mapped", place / "bowl.py")


@pytest.mark.live
def test_exactly_the_listed_settings_are_trained_to_the_end(surveyed: Any) -> None:
    trials, of = surveyed.trials(), surveyed.space
    listed = points.read(surveyed.path.parent / "plan.csv", of)
    assert listed == points.sobol(of, 6, 0)
    assert [surveyed.parameters(trial) for trial in range(6)] == listed
    assert trials.state.eq("complete").all()
    assert surveyed.manifest()["listed"] == points.LISTED


@pytest.mark.live
def test_each_round_takes_the_best_by_all_seeds_so_far(surveyed: Any) -> None:
    rounds, plan = surveyed.rounds(), surveyed.plan()
    first = rounds[rounds["round"] == 1]
    usual = surveyed.goal.references["bowl-slow"]
    trials = surveyed.trials().set_index("trial")
    kept = trials.index[trials.feasible]
    by_search = trials.loc[kept].sort_values("value", ascending=False).index.tolist()
    assert set(first.trial.dropna()) == set(by_search[:4])
    assert set(first.setting) == {*(f"trial {trial}" for trial in by_search[:4]), "bowl-slow"}
    assert set(first.seed) == set(plan.round_seeds(1, 3))
    assert set(usual.seed) == set(surveyed.seeds())
    pooled = {
        trial: np.concatenate([surveyed.final(trial).depth, first.depth[first.trial == trial]]).mean()
        for trial in by_search[:4]
    }
    best = sorted(pooled, key=lambda trial: -pooled[trial])[:2]
    stands = standing(surveyed).set_index("trial")
    assert stands["value"].to_dict() == pytest.approx(pooled, rel=1e-6)
    assert stands.seeds.eq(5).all()
    confirmed = surveyed.confirmation()
    assert set(confirmed.trial.dropna()) == set(best) == set(leading(surveyed, 2).trial)
    assert set(confirmed.seed) == set(plan.held_out_seeds(8))
    assert ranking(confirmed, surveyed).feasible.tolist()[:2] == [True, True]
    told = history(surveyed)
    assert told.groupby("stage").seeds.first().tolist() == [2, 3, 8]
    of_best = told[(told.trial == best[0]) & (told.stage == 2)]["value"].item()
    assert of_best == pytest.approx(confirmed.depth[confirmed.trial == best[0]].mean())


@pytest.mark.live
def test_a_list_does_not_grow_and_a_sequence_does(surveyed: Any, command: Callable[..., Any], tmp_path: Path) -> None:
    own = ("--experiment", surveyed.given.file)
    refused = command("resume", surveyed.path, *own, "--trials", 9)
    said = "--trials: found 9, expected at most 6: its list has no more settings"
    assert (refused.returncode, said in refused.stderr) == (2, True)
    place = ("--out", tmp_path, "--name", "grows", "--seeds", 2, "--cpus", 1, "--promote", "2:3")
    off = ("--wandb", "off", "--no-report")
    space_file = surveyed.path.parent / "bowl.toml"
    assert command("survey", space_file, *own, *place, *off, "--trials", 3).returncode == 0
    again = command("survey", space_file, *own, *place, *off, "--trials", 5)
    assert again.returncode == 0, again.stderr
    grown = study.load(tmp_path / "grows", surveyed.given.file)
    assert [grown.parameters(trial) for trial in range(5)] == points.sobol(grown.space, 5, 0)
    assert grown.confirmation().trial.nunique() == 2


FINITE = KINDS.replace("bowl.csv", "bowl-slow.csv").replace(
    '"int(1, 3)", "choice(1, 2.5)", "log(1e-3, 10)"', '1, "choice(1, 2.5, 3)"'
)


@pytest.mark.live
def test_a_finite_space_ends_when_each_of_its_settings_was_tried(
    workplace: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    (workplace / "three.toml").write_text(FINITE)
    own = (workplace / "three.toml", "--experiment", workplace / "bowl.py", "--out", tmp_path, "--name", "three")
    more = ("--seeds", 2, "--cpus", 1, "--wandb", "off", "--no-report", "--trials", 20, "--promote", "3:4")
    done = command("run", *own, *more)
    assert done.returncode == 0, done.stderr
    assert "the space has 3 settings, and each is trained to the end" in " ".join(done.stdout.split())
    folder = study.load(tmp_path / "three", workplace / "bowl.py")
    assert sorted(folder.trials()["param.steepness.1"]) == [1, 2.5, 3]
    assert set(folder.confirmation().trial.dropna()) == {0, 1, 2}
    again = command("run", *own, *more)
    assert folder.trials().state.eq("complete").all()
    assert again.returncode == 2
    assert "found 3 trials, expected more" in again.stderr


def test_a_finite_space_of_each_kind(workplace: Path) -> None:
    three = space(workplace, FINITE)
    assert points.settings_in(three) == 3
    assert sorted(point["steepness.1"] for point in points.grid(three, 1)) == [1, 2.5, 3]
    assert points.settings_in(space(workplace)) is None
    assert points.settings_in(space(workplace, FINITE.replace("[1,", '["int(1, 9999)",'))) is None


def test_a_confirmation_confirms_different_settings(workplace: Path, hue: Any, tmp_path: Path) -> None:
    """A sampler repeats itself in a small space; here a copy of the best trial is the second best."""
    folder = study.load(shutil.copytree(hue.path, tmp_path / "repeats"))
    first, second = leading(folder, 2).trial
    trials = folder.trials().set_index("trial")
    parameters = [f"param.{name}" for name in folder.space.distributions]
    trials.loc[second, parameters] = trials.loc[first, parameters]
    trials.reset_index().to_parquet(folder.path / "trials.parquet", index=False)
    names = [candidate.name for candidate in candidates(study.load(folder.path), 2, 64, [])]
    others = [f"trial {trial}" for trial in leading(folder).trial if trial not in (first, second)]
    assert names == [f"trial {first}", *others[:1]]


def test_a_promoted_study_needs_no_more_than_it_has() -> None:
    with pytest.raises(InputError, match="--promote: found '0:4'"):
        Plan(promote=("0:4",))
