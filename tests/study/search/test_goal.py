"""Aggregates, constraints and what a diverged replica counts."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from anchoring import InputError
from excolor.experiment import experiment
from study.experiment import Metric
from study.metrics import metrics_of
from study.search.goal import Goal
from study.space.space import read
from tests.conftest import SPACES

METRICS = metrics_of(experiment, read(SPACES / "subspace-ablation.toml").setting())
RED = metrics_of(experiment, read(SPACES / "subspace-ablation-red.toml").setting())


@pytest.fixture
def replicas() -> Any:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"isolation": rng.random(20), "utility": rng.random(20), "labelled": rng.random(20)})
    return frame.assign(hue_residual=rng.random(20), diverged=False)


def test_aggregates_are_their_formulas(replicas: Any) -> None:
    x = replicas.isolation.to_numpy()
    expected: dict[Any, float] = {"mean": x.mean(), "p10": np.quantile(x, 0.1), "min": x.min()}
    expected["lcb"] = x.mean() - 1.645 * x.std(ddof=1) / np.sqrt(20)
    for aggregate, value in expected.items():
        assert Goal(METRICS, aggregate=aggregate).values(replicas) == [pytest.approx(value)]


def test_of_a_metric_of_which_less_is_better_the_worst_is_the_largest(replicas: Any) -> None:
    goal = Goal(METRICS, ("hue_residual",), "min")
    assert goal.values(replicas) == [replicas.hue_residual.max()]
    assert goal.score(replicas) == -replicas.hue_residual.max()
    assert goal.directions == ["minimize"]
    assert goal.better(0.1, 0.2)
    assert not goal.better(0.2, 0.1)


def test_a_diverged_replica_counts_as_a_useless_one(replicas: Any) -> None:
    broken = replicas.assign(diverged=[True] + [False] * 19)
    broken.loc[0, ["utility", "labelled", "hue_residual"]] = np.nan
    broken.loc[0, "isolation"] = 0
    rest = replicas[1:]
    values = Goal(METRICS, ("isolation", "utility", "hue_residual", "labelled")).values(broken)
    expected = [rest.isolation.sum() / 20, rest.utility.sum() / 20, (rest.hue_residual.sum() + 1) / 20]
    assert values == pytest.approx([*expected, rest.labelled.mean()])


def test_constraints_tell_by_how_much_they_are_broken(replicas: Any) -> None:
    goal = Goal(METRICS, constraints=("utility >= 0.9", "labelled<=100"))
    broken = goal.violations(replicas)
    assert broken["utility >= 0.9"] == pytest.approx(0.9 - replicas.utility.mean())
    assert broken["labelled<=100"] < 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"objectives": ("isolatoin",)}, "--objective: found 'isolatoin', expected one of isolation, utility"),
        ({"objectives": ("vibrancy_r2",)}, "rotating all hues scores 0.942"),
        ({"objectives": ("utility", "utility")}, "expected distinct metrics"),
        ({"constraints": ("utility > 0.9",)}, "expected a metric, >= or <=, and a number"),
        ({"constraints": ("beauty >= 0.9",)}, "--constraint: found 'beauty'"),
        ({"constraints": ("utility >= much",)}, "'utility >= 0.99'"),
    ],
)
def test_wrong_goals(arguments: Any, said: Any) -> None:
    with pytest.raises(InputError) as error:
        Goal(METRICS, **arguments)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("metrics", "wanted", "said"),
    [
        (RED, {"objectives": ("hue_blindness",)}, "--objective: found 'hue_blindness', expected one of isolation"),
        (RED, {"constraints": ("hue_residual <= 0.1",)}, "--constraint: found 'hue_residual'"),
        (METRICS, {"objectives": ("red_blindness",)}, "--objective: found 'red_blindness'"),
        (METRICS, {"objectives": ("wheel",)}, "found 'wheel', which is measured only at confirmation"),
        (METRICS, {"objectives": ("labelled",)}, "found labelled first, a metric that leaves out diverged replicas"),
    ],
)
def test_a_study_measures_its_own_concept(metrics: Any, wanted: Any, said: Any) -> None:
    with pytest.raises(InputError) as error:
        Goal(metrics, **wanted)
    assert said in str(error.value)


def test_each_concept_has_its_blindness() -> None:
    for metrics, concept in ((METRICS, "hue"), (RED, "red")):
        Goal(metrics, ("isolation", f"{concept}_blindness", "labelled"))


def test_the_default_objective_is_the_first_metric() -> None:
    metrics = {"loss": Metric("how bad it is", 0.0, higher_is_better=False, diverged=9.0), "gain": Metric("how good")}
    goal = Goal(metrics)
    assert goal.objectives == ("loss",)
    assert goal.directions == ["minimize"]
    assert goal.values(pd.DataFrame({"loss": [1.0, 2.0], "diverged": [False, True]})) == [5.0]


def test_a_constraint_on_nothing_is_broken(replicas: Any) -> None:
    """A trial whose replicas all diverged has no labels to count, and Optuna takes no NaN."""
    nothing = replicas.assign(diverged=True, labelled=np.nan)
    assert Goal(METRICS, constraints=("labelled <= 3000",)).violations(nothing) == {"labelled <= 3000": np.inf}
