"""Confirmation on held-out seeds: a real one, and its statistics against what they must be."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study.plan import SEEDS_APART, Plan
from study.ranking import ranking


def test_held_out_seeds_are_no_searchs(hue):
    plans = [Plan(seed=seed, seeds=50_000) for seed in (0, 1, 2)]
    searched = {seed for plan in plans for seed in (plan.replica_seeds[0], plan.replica_seeds[-1])}
    held_out = [plan.held_out_seeds(50_000) for plan in plans]
    assert not searched & {seed for seeds in held_out for seed in seeds}
    assert held_out[0][-1] < SEEDS_APART
    assert set(hue.confirmation.seed) == set(Plan.of(hue).held_out_seeds(64))
    assert not set(hue.confirmation.seed) & set(hue.seeds())


def test_the_best_the_seeds_and_the_published_setting_are_confirmed(hue, hue_run):
    rows = hue.confirmation
    best = hue.best(2).trial.tolist()
    assert rows.groupby("setting").seed.nunique().to_dict() == {
        **{f"trial {trial}": 64 for trial in best},
        "seed": 64,
        "published": 64,
    }
    said = hue_run[1].stdout
    assert "held-out seeds" in said
    ranked = ranking(rows, hue)
    assert f"{ranked['mean'][0]:.3f} [{ranked['mean.low'][0]:.3f}, {ranked['mean.high'][0]:.3f}]" in said


def test_the_ranking_says_what_the_rows_say(hue):
    rows = hue.confirmation
    ranked = ranking(rows, hue).set_index("setting")
    for name, of in rows.groupby("setting"):
        row, x = ranked.loc[name], of.isolation.to_numpy()
        assert row["mean"] == pytest.approx(x.mean())
        assert row["sd"] == pytest.approx(x.std(ddof=1))
        assert row["p10"] == pytest.approx(np.quantile(x, 0.1))
        assert row["min"] == x.min()
        assert row["failures"] == pytest.approx((x < 0.5).mean())
        assert row["mean.low"] <= row["mean"] <= row["mean.high"]
        exact = stats.t.interval(0.95, 63, x.mean(), x.std(ddof=1) / 8)
        assert [row["mean.low"], row["mean.high"]] == pytest.approx(exact, abs=0.02)
        published = rows[rows.setting == "published"].isolation
        u = stats.mannwhitneyu(x, published).statistic / 64**2
        assert row["over_published"] == pytest.approx(u)
    assert ranked["mean"].is_monotonic_decreasing
    assert ranked.tied.iloc[0]
    best = hue.best().iloc[0]
    confirmed = ranked.loc[f"trial {best.trial}"]
    assert confirmed.optimism == pytest.approx(best["value"] - confirmed["mean"])
    assert ranked.loc["seed"].isna()["optimism"]


def test_ties_are_called_ties_and_differences_are_not(hue):
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.05, 64)  # of the seeds, which all settings share

    def made(name, mean, noise):
        values = np.clip(mean + luck + rng.normal(0, noise, 64), 0, 1)
        return pd.DataFrame(
            {"setting": name, "trial": pd.NA, "seed": range(64), "isolation": values, "diverged": False}
        )

    rows = pd.concat([made("a", 0.9, 0.02), made("b", 0.899, 0.02), made("c", 0.88, 0.005)], ignore_index=True)
    ranked = ranking(rows, hue).set_index("setting")
    assert ranked.loc[["a", "b"], "tied"].all()
    assert not ranked.loc["c", "tied"]
