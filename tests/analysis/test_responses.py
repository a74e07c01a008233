"""Curves and costs are right for functions whose curves and costs are known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from analysis import advice, effect_plots, effects
from analysis.responses import responses

SPACE = {
    "slope": FloatDistribution(1e-4, 1e-1, log=True),
    "flat": FloatDistribution(0, 1),
    "kind": CategoricalDistribution(["a", "b", "c"]),
}


@pytest.fixture(scope="module")
def trials() -> Any:
    """A third of a decade is worth 0.1, b is worth 0.2 more than a and c, and noise has an sd of 0.01."""
    random = np.random.default_rng(0)
    slope, flat, kind = random.random(200), random.random(200), random.choice(["a", "b", "c"], 200)
    frame = pd.DataFrame({"param.slope": 10 ** (3 * slope - 4), "param.flat": flat, "param.kind": kind})
    value = 0.3 * slope + 0.2 * (kind == "b") + random.normal(0, 0.01, 200)
    return frame.assign(trial=range(200), state="complete", value=value, feasible=True)


@pytest.fixture(scope="module")
def free(trials: Any) -> Any:
    return effects.plateaus(trials, SPACE, noise=0.1)


def test_curves_are_the_functions_with_the_others_averaged(trials: Any, free: Any) -> None:
    found = responses(trials, SPACE, free)
    assert found.r2 > 0.97
    others = 0.2 * (trials["param.kind"] == "b").mean()
    slope = found.curves["slope"]
    truth = 0.3 * effects.unit(slope.index.to_series(), SPACE["slope"]) + others
    assert slope["mean"].to_numpy() == pytest.approx(truth, abs=0.01)
    assert (slope["low"] <= slope["mean"]).all()
    assert (slope["mean"] <= slope["high"]).all()
    kind = found.curves["kind"]["mean"]
    assert kind["b"] - kind["a"] == pytest.approx(0.2, abs=0.01)
    assert np.ptp(found.curves["flat"]["mean"]) < 0.02


def test_the_cost_of_leaving_a_plateau_is_the_difference_it_makes(trials: Any, free: Any) -> None:
    costs = responses(trials, SPACE, free).costs
    assert free.loc["kind", "choices"] == ["b"]
    cost = costs.loc["kind"]
    assert cost["mean"] == pytest.approx(0.2, abs=0.01)
    assert cost["low"] < 0.2 < cost["high"] or cost["high"] - cost["low"] < 0.02
    assert cost["trials"] == (trials["param.kind"] != "b").sum()
    outside = trials[trials["param.slope"] < free.loc["slope", "low"]]
    inside = trials.drop(outside.index)
    places = [effects.unit(part["param.slope"], SPACE["slope"]).mean() for part in (inside, outside)]
    assert costs.loc["slope", "mean"] == pytest.approx(0.3 * (places[0] - places[1]), abs=0.01)


def test_intervals_are_wider_of_fewer_trials(trials: Any, free: Any) -> None:
    few, many = (responses(part, SPACE, free).curves["slope"] for part in (trials.head(40), trials))
    assert (few["high"] - few["low"]).mean() > 1.5 * (many["high"] - many["low"]).mean()


def test_of_too_few_trials_or_of_noise_nothing_is_said(trials: Any, free: Any) -> None:
    assert not responses(trials.head(20), SPACE, free).curves
    noise = trials.assign(value=np.random.default_rng(1).random(200))
    found = responses(noise, SPACE, free)
    assert found.r2 <= 0
    assert not found.curves
    assert found.costs.empty


def test_responses_and_costs_are_drawn_as_they_are(trials: Any, free: Any) -> None:
    found = responses(trials, SPACE, free)
    row = trials.loc[trials.value.idxmax()].copy()
    row["trial"] = 7
    figure = effect_plots.responses(trials, SPACE, ["slope", "kind"], {"all": found.curves}, free, row)
    slope, kind = figure.axes
    assert (slope.get_xscale(), kind.get_xscale()) == ("log", "linear")
    curve = next(line for line in slope.lines if line.get_label() == "expected, all")
    assert curve.get_ydata() == pytest.approx(found.curves["slope"]["mean"].to_numpy())
    best = next(line for line in slope.lines if line.get_label() == "trial 7")
    assert best.get_xdata() == pytest.approx(trials["param.slope"][trials.value.idxmax()])
    assert [tick.get_text() for tick in kind.get_xticklabels()] == ["a", "b", "c"]
    (axis,) = effect_plots.costs({"all": found.costs}).axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == found.costs.index.tolist()


def test_a_cost_beside_its_interval_is_drawn() -> None:
    """A bootstrap's interval need not hold its estimate. The studies of 60 trials whose trials raced had such costs."""
    table = pd.DataFrame({"mean": [0.3, 0.1], "low": [0.05, 0.0], "high": [0.2, 0.3]}, index=["one", "other"])
    (axis,) = effect_plots.costs({"few trials": table}).axes
    (dots,) = [line for line in axis.lines if line.get_label() == "few trials"]
    assert dots.get_xdata() == pytest.approx([0.3, 0.1])


def test_what_to_keep_is_what_matters(trials: Any, free: Any) -> None:
    shares = effects.importances(trials, SPACE)
    table = advice.recommendations(shares, free, trials.loc[trials.value.idxmax()], responses(trials, SPACE, free))
    assert set(table.index) >= {"slope", "kind"}
    assert table.loc["kind", ["set to", "plateau"]].tolist() == ["b", "b"]
    assert table.loc["kind", "lost outside"].startswith("0.20")  # type: ignore[arg-type]
