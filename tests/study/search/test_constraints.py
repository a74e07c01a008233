"""What constraints bound, how far from its bound a trial is, and what a study says if none of its trials keeps them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna_dashboard._serializer import serialize_frozen_trial

import study
from anchoring import InputError
from study.evidence.leading import leading
from study.evidence.nearest import nearest
from study.evidence.ranking import ranking
from study.experiment import Metric
from study.search import journal
from study.search.constraints import _P10, Constraint
from study.search.goal import Goal
from study.search.plan import Plan
from study.watch.dashboard import _ShowsConstraints
from study.watch.status import status
from tests.study.conftest import EXPERIMENTS

METRICS = {"depth": Metric("how deep", diverged=0.0), "count": Metric("how many", ideal=None)}

samples = st.lists(st.floats(-10, 10), min_size=2, max_size=20).map(np.array)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("depth >= 0.99", ("depth", "mean", True, 0.99, "")),
        (" mean depth<=.5 ", ("depth", "mean", False, 0.5, "")),
        ("every dose 2 <= -1", ("dose 2", "every", False, -1.0, "")),
        ("p10 depth >= 1.", ("depth", "p10", True, 1.0, "")),
        ("relative depth >= -0.01 of a/b.toml", ("depth", "relative", True, -0.01, "a/b.toml")),
    ],
)
def test_the_language(text: str, read: Any) -> None:
    bound = Constraint.parse(text)
    assert (bound.metric, bound.statistic, bound.at_least, bound.bound, bound.reference) == read


@pytest.mark.parametrize(
    "text", ["depth", "depth > 1", "depth >= x", "relative depth >= 0", "depth >= 0 of x", "every >= 1 1", "", ">= 1"]
)
def test_what_is_no_constraint(text: str) -> None:
    with pytest.raises(InputError, match=r"--constraint: found .*'every utility >= 0.99'"):
        Constraint.parse(text)


@given(samples, st.floats(-10, 10), st.booleans())
def test_distances_are_their_formulas(values: np.ndarray, bound: float, at_least: bool) -> None:
    side = ">=" if at_least else "<="
    sign = 1 if at_least else -1
    worst = values.min() if at_least else values.max()
    tenth = np.quantile(values, 0.1 if at_least else 0.9)
    for statistic, value in {"mean": values.mean(), "every": worst, "p10": tenth}.items():
        constraint = Constraint.parse(f"{statistic} depth {side} {bound:.6f}")
        assert constraint.distance(values) == pytest.approx(sign * (value - constraint.bound), abs=1e-9)
        assert (constraint.distance(values) >= 0) == (
            Goal(METRICS, constraints=(constraint.text,)).violations(
                pd.DataFrame({"depth": values, "diverged": False})
            )[constraint.text]
            <= 0
        )


def test_a_band_is_two_standard_errors() -> None:
    """Drawn anew 20,000 times, the statistic of 40 normal values spreads as half the band says."""
    drawn = np.random.default_rng(0).normal(3, 0.7, (20_000, 40))
    for statistic, of in {"mean": drawn.mean(1), "p10": np.quantile(drawn, 0.1, axis=1)}.items():
        constraint = Constraint.parse(f"{statistic} depth >= 0")
        bands = [constraint.band(values) for values in drawn[:2000]]
        assert np.mean(bands) == pytest.approx(2 * of.std(), rel=0.08)
        assert constraint.margin(drawn[0]) == pytest.approx(constraint.distance(drawn[0]) / bands[0])
    assert Constraint.parse("every depth >= 0").band(drawn[0]) == pytest.approx(2 * drawn[0].std(ddof=1))
    assert pytest.approx(1.7094, abs=1e-3) == _P10


def test_a_single_replica_has_no_margin_and_equal_ones_an_infinite_one() -> None:
    bound = Constraint.parse("depth >= 1")
    assert np.isnan(bound.margin(np.array([2.0])))
    assert bound.margin(np.array([2.0, 2.0])) == np.inf
    assert bound.margin(np.array([0.0, 0.0])) == -np.inf
    with pytest.raises(InputError, match="--margin: found 2 with 1 seed"):
        Plan(seeds=1, margin=2)


def test_a_relative_constraint_is_about_differences_on_common_seeds() -> None:
    rng = np.random.default_rng(0)
    seeds = np.arange(10)
    luck = rng.normal(0, 5, 10)
    reference = pd.DataFrame({"setting": "plain", "seed": seeds, "depth": luck, "diverged": False})
    trial = pd.DataFrame({"seed": seeds[::-1], "depth": luck[::-1] - 0.25, "diverged": False})
    text = "relative depth >= -0.3 of somewhere/plain.toml"
    goal = Goal(METRICS, constraints=(text,)).beside(reference)
    assert goal.compared_with == {"plain": "somewhere/plain.toml"}
    assert goal.violations(trial) == {text: pytest.approx(-0.05)}
    assert goal.margins(trial)[text] > 1e6  # without noise, as each seed differs by the same
    assert Goal(METRICS, constraints=(text,)).violations(trial) == {text: np.inf}  # nothing to compare with
    broken = trial.assign(diverged=True, depth=np.nan)  # counts as 0
    assert goal.violations(broken)[text] == pytest.approx(luck.mean() - 0.3)


def test_a_margin_is_asked_of_an_answer() -> None:
    replicas = pd.DataFrame({"depth": [0.8, 0.9, 1.0], "diverged": False})
    band = 2 * 0.1 / np.sqrt(3)
    for margin, kept in ((0.0, True), (0.99 * 0.1 / band, True), (1.01 * 0.1 / band, False)):
        goal = Goal(METRICS, constraints=("depth >= 0.8",), margin=margin)
        assert (goal.violations(replicas)["depth >= 0.8"] <= 0) == kept
    assert goal.margins(replicas)["depth >= 0.8"] == pytest.approx(0.1 / band)


@pytest.fixture(scope="module")
def constrained(tmp_path_factory: pytest.TempPathFactory, command: Callable[..., Any]) -> Any:
    """A study in which no trial keeps the first constraint."""
    place = tmp_path_factory.mktemp("constrained")
    for file in EXPERIMENTS.glob("bowl*"):
        shutil.copy(file, place)
    asked = ("--constraint", "every depth >= 0.9999", "--constraint", f"relative depth >= 0 of {place}/bowl-slow.toml")
    plan = ("--trials", 6, "--seeds", 3, "--cpus", 1, "--confirm", 2, "--margin", 0.5, "--scheduler", "none")
    own = ("--experiment", place / "bowl.py", "--out", place, "--name", "constrained")
    done = command("run", place / "bowl.toml", *own, *plan, *asked)
    assert done.returncode == 0, done.stderr
    return study.load(place / "constrained", place / "bowl.py"), done.stdout


@pytest.mark.live
def test_a_study_answers_although_no_trial_keeps_the_constraints(constrained: Any, say: Any) -> None:
    folder, printed = constrained
    every, relative = folder.goal.constraints
    assert folder.best().empty
    order = nearest(folder)
    final = folder.final()
    worst = final.groupby("trial").depth.min()
    band = final.groupby("trial").depth.std() * 2
    missed = 0.9999 - worst + 0.5 * band
    assert order.binds.tolist() == [every] * 6
    assert order.set_index("trial").missed.to_dict() == pytest.approx(missed.to_dict(), abs=1e-6)
    assert order.bands.tolist() == pytest.approx((missed.sort_values() / band.median()).tolist(), abs=1e-4)
    assert leading(folder, 2).trial.tolist() == order.trial.tolist()[:2]
    trials = folder.trials().set_index("trial")
    usual = folder.goal.references["bowl-slow"].set_index("seed").depth
    ahead = final.set_index(["trial", "seed"]).depth.unstack("trial").sub(usual, axis=0)
    expected = ahead.mean() / (2 * ahead.std() / np.sqrt(3))
    assert trials[f"margin.{relative}"].to_dict() == pytest.approx(expected.to_dict(), rel=1e-4)
    assert trials[f"margin.{every}"].to_dict() == pytest.approx(((worst - 0.9999) / band).to_dict())
    assert (folder.path / "report.html").is_file()
    first = order.iloc[0]
    sentence = f"trial {first.trial}, with depth {first.value:.3f}, comes nearest: it misses '{every}' by"
    said, _ = say("status", folder.path)
    assert sentence in " ".join(said.split())
    assert sentence in " ".join(printed.split())
    assert status(folder).nearest["binds"] == every


@pytest.mark.live
def test_references_are_trained_beside_the_search_and_again_beside_the_confirmation(constrained: Any) -> None:
    folder, _ = constrained
    assert set(folder.goal.references["bowl-slow"].seed) == set(folder.seeds())
    assert (folder.path / "references" / "bowl-slow.toml").is_file()
    rows = folder.confirmation()
    ranked = ranking(rows, folder)
    assert set(ranked.setting) == {*(f"trial {trial}" for trial in leading(folder, 2).trial), "bowl-slow"}
    assert not ranked.feasible.any()
    for _, row in ranked[ranked.trial.notna()].iterrows():
        worst = rows[rows.setting == row.setting].depth
        assert row.binds == folder.goal.constraints[0]
        assert row.margin == pytest.approx((worst.min() - 0.9999) / (2 * worst.std()))


@pytest.mark.live
def test_the_dashboard_is_told_of_constraints(constrained: Any) -> None:
    folder, _ = constrained
    shown = journal.storage(folder.path, _ShowsConstraints).get_all_trials(0)
    for trial, frozen in zip(folder.optuna().trials, shown, strict=True):
        assert serialize_frozen_trial(0, frozen, {})["constraints"] == [*trial.constraints.values()]
        assert len(trial.constraints) == 2


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        ("relative depth >= 0 of nowhere.toml", "nowhere.toml: no such file"),
        ("relative depth >= 0 of bowl.toml", "--constraint: bowl.toml: found ranges, expected a fixed setting"),
        ("every beauty >= 0", "--constraint: found 'beauty'"),
    ],
)
def test_wrong_constraints(workplace: Path, say: Any, constraint: str, said: str) -> None:
    output, code = say("run", "bowl.toml", "--experiment", "bowl.py", "--constraint", constraint)
    assert (code, said in output, output.count("\n")) == (2, True, 1)
    assert not (workplace / "runs").exists()
