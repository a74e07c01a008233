"""The measures of importance, freedom and interaction, on functions whose answers are known."""

from itertools import combinations
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.spatial.distance import pdist
from scipy.stats import qmc

from analysis import effect_plots, effects

MIXED = {
    "x": FloatDistribution(1e-4, 1e-1, log=True),
    "y": IntDistribution(0, 50),
    "z": CategoricalDistribution(["a", "b", "c"]),
}


def cube(dimensions: Any) -> Any:
    return {f"x{i}": FloatDistribution(0, 1) for i in range(dimensions)}


def trials_at(rows: Any, function: Any, state: Any = "complete") -> Any:
    """A study's trials.parquet, with so much of it as is needed."""
    frame = pd.DataFrame([{f"param.{name}": v for name, v in row.items()} for row in rows])
    return frame.assign(trial=range(len(rows)), state=state, value=[function(**row) for row in rows])


def anywhere(distributions: Any, n: Any, seed: Any = 0) -> Any:
    """Settings drawn evenly from where the distributions search."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return [study.ask(distributions).params for _ in range(n)]


def crowded(distributions: Any, function: Any, n: Any, seed: Any) -> Any:
    """The trials of the sampler that studies use."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    for _ in range(n):
        trial = study.ask(distributions)
        study.tell(trial, function(**trial.params))
    return trials_at([trial.params for trial in study.trials], function)


def optunas_own(trials: Any, distributions: Any, evaluator: Any) -> Any:
    """Optuna's importances of trials as they are."""
    study = optuna.create_study(direction="maximize")
    for _, row in trials.iterrows():
        parameters = {name: row[f"param.{name}"] for name in distributions}
        study.add_trial(optuna.create_trial(params=parameters, distributions=distributions, value=row.value))
    return pd.Series(optuna.importance.get_param_importances(study, evaluator=evaluator))


# Importances


def test_importances_are_the_known_shares_of_variance() -> None:
    def steep_gentle_flat(x: Any, y: Any, z: Any) -> Any:
        return np.log10(x) + y / 50  # over ranges of 3 and 1, so that variances are 9 to 1

    table = effects.importances(trials_at(anywhere(MIXED, 200), steep_gentle_flat), MIXED)
    assert table.index.tolist() == ["x", "y", "z"]
    assert table.sum().tolist() == pytest.approx([1] * 4)
    for column in ("fANOVA, all", "fANOVA, spread"):
        assert table[column].tolist() == pytest.approx([0.9, 0.1, 0], abs=0.06)
    for column in ("PED-ANOVA, all", "PED-ANOVA, spread"):
        assert table[column].idxmax() == "x"


def test_fanova_weighs_each_decade_of_a_log_range_alike() -> None:
    """Optuna's own takes the range as it is, and the lowest of three decades is 1% of its length."""
    space = {"x": MIXED["x"], "y": FloatDistribution(0, 1)}
    trials = trials_at(anywhere(space, 200), lambda x, y: 1.0 * (x < 1e-3) + 0.3 * y)
    variance = (1 / 3 * 2 / 3, 0.3**2 / 12)
    share = variance[0] / sum(variance)
    assert effects.importances(trials, space).loc["x", "fANOVA, all"] == pytest.approx(share, abs=0.03)

    assert optunas_own(trials, space, optuna.importance.FanovaImportanceEvaluator(seed=0))["x"] < share - 0.2


def test_a_spread_half_of_crowded_trials_is_nearer_to_the_truth() -> None:
    """By PED-ANOVA it is nearer than all of them, and by fANOVA than a random half, on average over five searches.

    That is so of a slope, whose best is in a corner. Around a narrow peak inside the space it need not be.
    """
    space = cube(3)

    def slope(x0: Any, x1: Any, x2: Any) -> Any:
        return x0 + 0.3 * x1

    trials = trials_at(anywhere(space, 2000), slope)
    truth = optunas_own(trials, space, optuna.importance.PedAnovaImportanceEvaluator())
    exact = pd.Series({"x0": 1 / 1.09, "x1": 0.09 / 1.09, "x2": 0})
    errors = []
    for seed in range(5):
        trials = crowded(space, slope, 120, seed)
        table = effects.importances(trials, space)
        half = effects.importances(trials.sample(60, random_state=seed), space)
        errors.append(
            {
                "PED-ANOVA, all": (table["PED-ANOVA, all"] - truth).abs().sum(),
                "PED-ANOVA, spread": (table["PED-ANOVA, spread"] - truth).abs().sum(),
                "fANOVA, spread": (table["fANOVA, spread"] - exact).abs().sum(),
                "fANOVA, any half": (half["fANOVA, all"] - exact).abs().sum(),
            }
        )
    mean = pd.DataFrame(errors).mean()
    assert mean["PED-ANOVA, spread"] < 0.75 * mean["PED-ANOVA, all"]
    assert mean["fANOVA, spread"] < 0.75 * mean["fANOVA, any half"]


def test_stopped_and_diverged_trials_count_and_failed_ones_do_not() -> None:
    trials = trials_at(anywhere(MIXED, 40), lambda x, y, z: y)
    states = trials.assign(state=["complete", "stopped", "diverged", "stopped"] * 10)
    failed = trials_at(anywhere(MIXED, 5, seed=1), lambda x, y, z: -1e9, "failed").assign(value=[np.nan] * 4 + [-1e9])
    expected = effects.importances(trials, MIXED)
    pd.testing.assert_frame_equal(effects.importances(pd.concat([states, failed]), MIXED), expected)


@pytest.mark.parametrize(
    "say", [effects.importances, lambda trials, space: effects.interactions(effects.Forest.of(trials, space))]
)
def test_nothing_is_said_of_too_few_trials_or_equal_ones(say: Any) -> None:
    assert say(trials_at(anywhere(MIXED, 9), lambda x, y, z: y), MIXED).empty
    assert say(trials_at(anywhere(MIXED, 30), lambda x, y, z: 0.5), MIXED).empty
    assert not say(trials_at(anywhere(MIXED, 12), lambda x, y, z: y), MIXED).empty


def test_the_spread_half_may_be_all_equal() -> None:
    """Then it says nothing, while all of the trials do."""
    rows = [{"x0": x, "x1": y} for x, y in np.random.default_rng(0).random((19, 2))] + [{"x0": 0.5, "x1": 0.5}] * 11
    values = iter([0.0] * 20 + [1.0] * 10)
    table = effects.importances(trials_at(rows, lambda x0, x1: next(values)), cube(2))
    assert table.notna().all().tolist() == [True, False, True, False]


def test_too_few_good_trials_make_no_importance() -> None:
    """The best five of 30 are not better than the rest, if all but three are equal; Optuna would say 50% of each."""
    values = iter([1.0] * 3 + [0.0] * 27)
    table = effects.importances(trials_at(anywhere(cube(2), 30), lambda x0, x1: next(values)), cube(2))
    assert table["PED-ANOVA, all"].isna().all()
    assert table["fANOVA, all"].sum() == pytest.approx(1)


# Space filling


def test_a_crowd_is_thinned_out() -> None:
    random = np.random.default_rng(0)
    points = np.concatenate([0.7 + 0.05 * random.random((80, 2)), random.random((20, 2))])
    taken = effects.space_filling(points, 20)
    assert len(set(taken)) == 20
    others = [random.choice(100, 20, replace=False) for _ in range(500)]
    assert pdist(points[taken]).min() > max(pdist(points[other]).min() for other in others)
    assert qmc.discrepancy(points[taken]) < min(qmc.discrepancy(points[other]) for other in others)


@pytest.mark.parametrize("seed", range(10))
def test_no_points_are_more_than_twice_as_far_apart(seed: Any) -> None:
    points = np.random.default_rng(seed).random((12, 3))
    best = max(pdist(points[list(some)]).min() for some in combinations(range(12), 5))
    assert pdist(points[effects.space_filling(points, 5)]).min() >= best / 2


def test_choices_are_all_as_different_and_copies_come_last() -> None:
    points = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.4], [0.5, 0.6], [0.0, 0.6]])
    assert effects.space_filling(points, 3, categorical=[False, True]) == [0, 4, 2]
    assert sorted(effects.space_filling(points, 9)) == list(range(5))


# Plateaus


def test_noise_is_what_seeds_do_to_equal_settings() -> None:
    random = np.random.default_rng(0)
    replicas = random.normal(0.8, 0.03, (1000, 16))
    trials = pd.DataFrame({"isolation.mean": replicas.mean(1), "isolation.sd": replicas.std(1, ddof=1)})
    trials["state"], trials["value"] = "complete", trials["isolation.mean"]
    difference = np.abs(np.diff(trials["isolation.mean"].to_numpy().reshape(-1, 2)))
    assert (difference > effects.noise(trials, 16, "isolation")).mean() == pytest.approx(0.05, abs=0.02)


def test_noise_is_that_of_good_trials() -> None:
    trials = pd.DataFrame({"isolation.mean": [0.9, 0.8, 0.2, 0.1], "isolation.sd": [0.03, 0.04, 0.4, 0.5]})
    trials["value"] = trials["isolation.mean"]
    sd = np.sqrt((0.03**2 + 0.04**2) / 2)
    expected = pytest.approx(1.96 * sd * np.sqrt(2 / 16))
    assert effects.noise(trials.assign(state="complete"), 16, "isolation") == expected
    stopped = trials.assign(state="stopped", **{"isolation.mean": 0.95})
    assert effects.noise(pd.concat([trials.assign(state="complete"), stopped]), 16, "isolation") == expected


def flat_topped(x: Any, y: Any, z: Any) -> Any:
    """Flat where x is within half a decade of 0.01 and z is not c; y does nothing."""
    return 1 - max(0, abs(np.log10(x) + 2) - 0.5) - 0.5 * (z == "c")


def test_plateaus_are_as_wide_as_they_are() -> None:
    trials = trials_at(anywhere(MIXED, 400), flat_topped)
    table = effects.plateaus(trials, MIXED, noise=0.01)
    assert table.index.tolist() == ["x", "z", "y"]
    assert np.log10(table.loc["x", ["low", "high"]].astype(float)).tolist() == pytest.approx([-2.5, -1.5], abs=0.03)
    assert table.loc["z", "choices"] == ["a", "b"]
    assert table.loc["y", ["low", "high"]].tolist() == [0, 50]
    assert table.share.tolist() == pytest.approx([1 / 3, 2 / 3, 1], abs=0.02)
    assert table["by chance"].tolist() == pytest.approx([1, 1, 1], abs=0.05)
    within = trials["param.x"].between(*table.loc["x", ["low", "high"]]) & (trials["param.z"] != "c")
    assert (table.trials == within.sum()).all()


def test_plateaus_are_those_of_complete_trials() -> None:
    trials = trials_at(anywhere(MIXED, 50), flat_topped)
    better = trials_at(anywhere(MIXED, 50, seed=1), lambda x, y, z: 2.0, "stopped")
    expected = effects.plateaus(trials, MIXED, noise=0.1)
    pd.testing.assert_frame_equal(effects.plateaus(pd.concat([better, trials]), MIXED, noise=0.1), expected)
    assert effects.plateaus(better, MIXED, noise=0.1).empty
    assert effects.plateaus(trials, MIXED, noise=float("nan")).empty


def test_without_noise_the_best_is_alone_and_spans_nothing() -> None:
    table = effects.plateaus(trials_at(anywhere(MIXED, 50), lambda x, y, z: x), MIXED, noise=0)
    assert (table.trials == 1).all()
    assert table.share.to_dict() == {"x": 0, "y": 0, "z": pytest.approx(1 / 3)}


# Interactions


def test_a_product_has_its_known_share_of_interaction() -> None:
    """In the unit square, the variance of x y is 7/144 and that of (x - 1/2)(y - 1/2) is 1/144."""
    trials = trials_at(anywhere(cube(2), 200), lambda x0, x1: x0 * x1)
    (found,) = effects.interactions(effects.Forest.of(trials, cube(2))).to_dict("records")
    assert found["H²"] == pytest.approx(1 / 7, abs=0.02)
    assert found["size"] == pytest.approx(1 / 12, rel=0.15)


def test_effects_that_add_up_do_not_interact() -> None:
    trials = trials_at(anywhere(cube(3), 200), lambda x0, x1, x2: x0 - (x1 - 0.4) ** 2 + np.sqrt(x2))
    assert (effects.interactions(effects.Forest.of(trials, cube(3)))["H²"] < 0.02).all()


def test_the_interaction_is_found_among_sixteen_parameters() -> None:
    space = cube(14) | {"power": CategoricalDistribution([10, 30, 100]), "width": IntDistribution(1, 8)}

    def function(power: Any, x5: Any, x3: Any, x7: Any, **_: Any) -> Any:
        return (power == 100) * x5 + 0.5 * x3 + 0.2 * x7

    table = effects.interactions(effects.Forest.of(trials_at(anywhere(space, 120), function), space))
    assert len(table) == 6
    assert {table["first"][0], table["second"][0]} == {"power", "x5"}
    assert table["H²"][0] > 0.1 > 2 * table["H²"][1:].max()
    assert table["size"].is_monotonic_decreasing


def test_of_noise_nothing_is_said() -> None:
    random = np.random.default_rng(0)
    trials = trials_at(anywhere(cube(4), 60), lambda **_: random.random())
    assert effects.interactions(effects.Forest.of(trials, cube(4))).empty


def test_the_surface_is_that_of_the_function() -> None:
    space = {"w": FloatDistribution(0, 1), "x": MIXED["x"], "z": MIXED["z"]}
    trials = trials_at(anywhere(space, 400), lambda w, x, z: np.log10(x) * {"a": 0, "b": 1, "c": 2}[z] + 0.1 * w)
    surface = effects.surface(effects.Forest.of(trials, space), ["x", "z"], cells=6)
    assert surface.index.tolist() == ["a", "b", "c"]
    middles = np.arange(-3.75, -1, 0.5)
    assert np.log10(surface.columns.to_numpy(float)).tolist() == pytest.approx(middles.tolist())
    mean = trials["param.w"].mean() * 0.1
    assert surface.to_numpy() == pytest.approx(np.outer([0, 1, 2], middles) + mean, abs=0.25)
    assert (surface.index.name, surface.columns.name) == ("z", "x")
    assert effects.surface(effects.Forest.of(trials.head(5), space), ["x", "z"]).empty


# Pictures


def test_plateaus_are_drawn_where_they_are() -> None:
    trials = trials_at(anywhere(MIXED, 60), flat_topped)
    table = effects.plateaus(trials, MIXED, noise=0.1)
    best = trials.loc[trials.value.idxmax()].copy()
    best["trial"] = 7
    axis = effect_plots.plateaus(table, trials, MIXED, best).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == table.index.tolist()
    assert "range" in axis.get_xlabel()
    for height, (name, row) in enumerate(table.iterrows()):
        drawn = {line.get_label(): line for line in axis.lines if set(line.get_ydata()) == {height}}  # type: ignore[arg-type]
        spanned = row.choices or [row.low, row.high]
        for label, values in {"as good as the best": spanned, "trial 7": [best[f"param.{name}"]]}.items():
            places = effects.unit(pd.Series(values), MIXED[name]).tolist()
            assert list(drawn[label].get_xdata()) == pytest.approx(places)  # type: ignore[arg-type]
        assert len(drawn["complete trials"].get_xdata()) == len(trials)  # type: ignore[arg-type]
    texts = [text.get_text() for text in axis.texts]
    assert texts[table.index.get_loc("z")] == ", ".join(table.loc["z", "choices"])  # type: ignore[arg-type]
    assert texts[table.index.get_loc("y")] == f"{table.low['y']:.0f} to {table.high['y']:.0f}"
    assert len(axis.figure.legends[0].get_texts()) == 3


def test_an_interaction_is_drawn_under_its_complete_trials() -> None:
    trials = trials_at(anywhere(MIXED, 60), flat_topped)
    trials.loc[40:, "state"] = "stopped"
    surface = effects.surface(effects.Forest.of(trials, MIXED), ["x", "z"])
    figure = effect_plots.interaction(surface, trials, MIXED, label="isolation")
    axis, bar = figure.axes
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_xscale()) == ("x", "z", "log")
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]
    assert "isolation" in bar.get_ylabel()
    mesh, complete = axis.collections
    assert np.asarray(mesh.get_array()) == pytest.approx(surface.to_numpy())
    assert np.asarray(mesh.get_coordinates())[0, [0, -1], 0] == pytest.approx([1e-4, 1e-1])  # type: ignore[attr-defined]
    shown = trials[trials.state == "complete"]
    assert np.asarray(complete.get_offsets())[:, 0] == pytest.approx(shown["param.x"].to_numpy())
    assert np.asarray(complete.get_array()) == pytest.approx(shown.value.to_numpy())
    assert (complete.norm.vmin, complete.norm.vmax) == (mesh.norm.vmin, mesh.norm.vmax)
    assert len(complete.get_offsets()) == 40  # type: ignore[arg-type]
