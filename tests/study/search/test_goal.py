"""Aggregates, constraints and what a diverged replica counts."""

import numpy as np
import pandas as pd
import pytest

from anchoring import InputError
from study.search.goal import Goal


@pytest.fixture
def replicas():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"isolation": rng.random(20), "utility": rng.random(20), "labelled": rng.random(20)})
    return frame.assign(hue_residual=rng.random(20), diverged=False)


def test_aggregates_are_their_formulas(replicas):
    x = replicas.isolation.to_numpy()
    expected = {"mean": x.mean(), "p10": np.quantile(x, 0.1), "min": x.min()}
    expected["lcb"] = x.mean() - 1.645 * x.std(ddof=1) / np.sqrt(20)
    for aggregate, value in expected.items():
        assert Goal(aggregate=aggregate).values(replicas) == [pytest.approx(value)]


def test_of_a_metric_of_which_less_is_better_the_worst_is_the_largest(replicas):
    goal = Goal(("hue_residual",), "min")
    assert goal.values(replicas) == [replicas.hue_residual.max()]
    assert goal.score(replicas) == -replicas.hue_residual.max()
    assert goal.directions == ["minimize"]
    assert goal.better(0.1, 0.2)
    assert not goal.better(0.2, 0.1)


def test_a_diverged_replica_counts_as_a_useless_one(replicas):
    broken = replicas.assign(diverged=[True] + [False] * 19)
    broken.loc[0, ["utility", "labelled", "hue_residual"]] = np.nan
    broken.loc[0, "isolation"] = 0
    rest = replicas[1:]
    values = Goal(("isolation", "utility", "hue_residual", "labelled")).values(broken)
    expected = [rest.isolation.sum() / 20, rest.utility.sum() / 20, (rest.hue_residual.sum() + 1) / 20]
    assert values == pytest.approx([*expected, rest.labelled.mean()])


def test_constraints_tell_by_how_much_they_are_broken(replicas):
    goal = Goal(constraints=("utility >= 0.9", "labelled<=100"))
    broken = goal.violations(replicas)
    assert broken["utility >= 0.9"] == pytest.approx(0.9 - replicas.utility.mean())
    assert broken["labelled<=100"] < 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"objectives": ("isolatoin",)}, "--objective: found 'isolatoin', expected one of isolation, utility"),
        ({"objectives": ("vibrancy_r2",)}, "rotating all hues scores 0.942"),
        ({"objectives": ("utility", "utility")}, "expected different ones"),
        ({"constraints": ("utility > 0.9",)}, "expected a metric, >= or <=, and a number"),
        ({"constraints": ("beauty >= 0.9",)}, "--constraint: found 'beauty'"),
        ({"constraints": ("utility >= much",)}, "'utility >= 0.99'"),
    ],
)
def test_wrong_goals(arguments, said):
    with pytest.raises(InputError) as error:
        Goal(**arguments)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("goal", "concept", "said"),
    [
        (
            Goal(("hue_blindness",)),
            "red",
            "--objective: found hue_blindness, expected of a study of red one of isolation",
        ),
        (Goal(constraints=("hue_residual <= 0.1",)), "red", "--constraint: found hue_residual"),
        (Goal(("red_blindness",)), "hue", "--objective: found red_blindness"),
    ],
)
def test_a_study_measures_its_own_concept(goal, concept, said):
    with pytest.raises(InputError) as error:
        goal.check(concept)
    assert said in str(error.value)
    Goal(("isolation", f"{concept}_blindness", "labelled")).check(concept)


def test_a_constraint_on_nothing_is_broken(replicas):
    """As that on the labels of a trial all of whose replicas diverged: Optuna takes no NaN."""
    nothing = replicas.assign(diverged=True, labelled=np.nan)
    assert Goal(constraints=("labelled <= 3000",)).violations(nothing) == {"labelled <= 3000": np.inf}
