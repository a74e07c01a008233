"""Confirmation on held-out seeds: a real one, and its statistics against what they must be."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import study
from anchoring import InputError
from excolor.experiment import experiment
from study.evidence.confirmation import candidates, leave_one_out
from study.evidence.ranking import ranking, worths
from study.record.folder import StudyFolder
from study.search.plan import SEEDS_APART, Plan


def test_held_out_seeds_are_no_searchs(hue: StudyFolder) -> None:
    plans = [Plan(seed=seed, seeds=50_000) for seed in (0, 1, 2)]
    searched = {seed for plan in plans for seed in (plan.replica_seeds[0], plan.replica_seeds[-1])}
    held_out = [plan.held_out_seeds(25_000) for plan in plans]
    assert not searched & {seed for seeds in held_out for seed in seeds}
    assert held_out[0][-1] < SEEDS_APART
    assert set(hue.confirmation().seed) == set(hue.plan().held_out_seeds(64))
    assert not set(hue.confirmation().seed) & set(hue.seeds())


def test_the_best_and_the_references_are_confirmed(live: Any) -> None:
    folder, done = live
    rows = folder.confirmation()
    best = folder.best(2).trial.tolist()
    assert rows.groupby("setting").seed.nunique().to_dict() == {
        **{f"trial {trial}": 64 for trial in best},
        "subspace-ablation": 64,
        "hue-deletion": 64,
    }
    assert set(rows.seed) == set(folder.plan().held_out_seeds(64))
    said = done.stdout
    assert "held-out seeds" in said
    ranked = ranking(rows, folder)
    assert f"{ranked['mean'][0]:.3f} [{ranked['mean.low'][0]:.3f}, {ranked['mean.high'][0]:.3f}]" in said


def test_the_ranking_says_what_the_rows_say(hue: StudyFolder) -> None:
    rows = hue.confirmation()
    ranked = ranking(rows, hue).set_index("setting")
    for name, of in rows.groupby("setting"):
        row, x = ranked.loc[name], of.isolation.to_numpy()
        assert row["mean"] == pytest.approx(x.mean())
        assert row["sd"] == pytest.approx(x.std(ddof=1))
        assert row["p10"] == pytest.approx(np.quantile(x, 0.1))
        assert row["min"] == x.min()
        assert row["failures"] == pytest.approx((x < 0.5).mean())
        assert 0 <= row["failures.low"] <= row["failures"] <= row["failures.high"]
        assert row["failures.high"] > 0  # even if none of 64 failed
        assert row["mean.low"] <= row["mean"] <= row["mean.high"]
        exact = stats.t.interval(0.95, 63, x.mean(), x.std(ddof=1) / 8)
        assert [row["mean.low"], row["mean.high"]] == pytest.approx(exact, abs=0.02)
        usual = rows[rows.setting == "hue-deletion"].isolation
        u = stats.mannwhitneyu(x, usual).statistic / 64**2
        assert row["over_reference"] == pytest.approx(u)
    assert ranked["mean"].is_monotonic_decreasing
    assert ranked.tied.iloc[0]
    best = hue.best().iloc[0]
    confirmed = ranked.loc[f"trial {best.trial}"]
    assert confirmed.optimism == pytest.approx(best["value"] - confirmed["mean"])
    assert ranked.loc["subspace-ablation"].isna()["optimism"]


def scipys(statistic: Any, *samples: np.ndarray) -> list[float]:
    """The ends of a bootstrap interval, by SciPy."""
    interval = stats.bootstrap(samples, statistic, n_resamples=2000, method="percentile", rng=np.random.default_rng(0))
    return [*interval.confidence_interval]


def chance(a: np.ndarray, b: np.ndarray, axis: int) -> Any:
    return ((np.sign(a[..., :, None] - b[..., None, :])).mean((-2, -1)) + 1) / 2


def test_intervals_are_scipys(hue: StudyFolder) -> None:
    rows = hue.confirmation()
    rows.loc[rows.setting == "hue-deletion", "isolation"] = rows.isolation.round(1)  # ties, and some fail
    ranked = ranking(rows, hue).set_index("setting")
    usual = rows[rows.setting == "hue-deletion"].isolation.to_numpy()
    for name, of in rows.groupby("setting"):
        row, x = ranked.loc[name], of.isolation.to_numpy()
        failed = stats.binomtest(int((x < 0.5).sum()), len(x)).proportion_ci(method="wilson")
        expected = {
            "mean": scipys(np.mean, x),
            "sd": scipys(lambda x, axis: np.std(x, axis=axis, ddof=1), x),
            "p10": scipys(lambda x, axis: np.quantile(x, 0.1, axis=axis), x),
            "over_reference": scipys(chance, x, usual),
            "failures": [failed.low, failed.high],
        }
        for column, ends in expected.items():
            assert [row[f"{column}.low"], row[f"{column}.high"]] == pytest.approx(ends, abs=1e-6)  # single precision
    assert ranked.failures["hue-deletion"] not in (0, 1)


def test_the_answer_is_the_best_confirmed_trial(hue: StudyFolder, tmp_path: Path) -> None:
    ranked = ranking(hue.confirmation(), hue)
    assert hue.answer().equals(ranked[ranked.trial.notna()].iloc[0])
    copy = shutil.copytree(hue.path, tmp_path / "copy")
    favourite, other = hue.best(2).trial
    rows = hue.confirmation()
    rows.loc[rows.trial == favourite, "isolation"] = 0.1
    rows.to_parquet(copy / "confirmation.parquet")
    assert study.load(copy).best().trial.item() == favourite
    assert study.load(copy).answer().trial == other
    rows[rows.trial.isna()].to_parquet(copy / "confirmation.parquet")
    with pytest.raises(InputError, match="found no confirmed trial, expected one"):
        study.load(copy).answer()


def test_ties_are_called_ties_and_differences_are_not(hue: StudyFolder) -> None:
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.05, 64)  # of the seeds, which all settings share

    def made(name: Any, mean: Any, noise: Any) -> Any:
        values = np.clip(mean + luck + rng.normal(0, noise, 64), 0, 1)
        return pd.DataFrame(
            {"setting": name, "trial": pd.NA, "seed": range(64), "isolation": values, "diverged": False}
        )

    rows = pd.concat([made("a", 0.9, 0.02), made("b", 0.899, 0.02), made("c", 0.88, 0.005)], ignore_index=True)
    ranked = ranking(rows, hue).set_index("setting")
    assert ranked.loc[["a", "b"], "tied"].all()
    assert not ranked.loc["c", "tied"]


def test_a_setting_that_fails_more_often_is_no_tie(hue: StudyFolder) -> None:
    """One failed seed of 64 widens the interval of the mean difference until it holds 0."""
    values = 0.9 + 0.005 * np.random.default_rng(0).normal(size=64)
    best = pd.DataFrame({"setting": "best", "trial": pd.NA, "seed": range(64), "isolation": values, "diverged": False})
    alike = best.assign(setting="alike", isolation=values - 0.0001)
    risky = best.assign(setting="risky", isolation=values - 0.0001)
    risky.loc[5, "isolation"] = 0.095
    ranked = ranking(pd.concat([best, alike, risky], ignore_index=True), hue).set_index("setting")
    assert ranked.failures.tolist() == [0, 0, 1 / 64]
    assert ranked.tied.tolist() == [True, False, False]
    noisy = alike.assign(isolation=values + 0.001 * np.sin(range(64)) - 0.0001)
    ranked = ranking(pd.concat([best, noisy], ignore_index=True), hue).set_index("setting")
    assert ranked.tied.tolist() == [True, True]


def test_a_diverged_replica_counts_as_a_useless_one(hue: StudyFolder) -> None:
    rows = hue.confirmation()
    broken = rows.assign(diverged=rows.seed == rows.seed.min())
    broken.loc[broken.diverged, "isolation"] = 0
    ranked, whole = ranking(broken, hue).set_index("setting"), ranking(rows, hue).set_index("setting")
    good = rows[broken.diverged & (rows.isolation > 0)].setting  # what the broken replica was good for
    assert len(good)
    assert (ranked["mean"] < whole["mean"])[good].all()
    assert (ranked["min"] == 0).all()
    assert (ranked.failures >= 1 / 64).all()


def test_a_study_is_compared_with_settings_of_its_concept(spaces: Path) -> None:
    setting = study.read(spaces / "subspace-ablation.toml").setting()
    settings = {concept: setting.model_copy(update={"concept": concept}) for concept in ("hue", "red", "green")}
    names = {concept: [file.stem for file in experiment.references(of)] for concept, of in settings.items()}
    assert names == {"hue": ["hue-deletion", "subspace-ablation"], "red": ["subspace-ablation-red"], "green": []}


@pytest.mark.parametrize(
    ("against", "said"),
    [
        (["hue.toml"], "hue.toml: found ranges, expected a fixed setting to compare with (--against)"),
        (["subspace-ablation.toml", "subspace-ablation.toml"], "found a second setting named subspace-ablation"),
        (["none.toml"], "no such file"),
        (
            ["subspace-ablation-red.toml"],
            "subspace-ablation-red.toml: found the concept red, expected the study's, hue (--against)",
        ),
    ],
)
def test_what_cannot_be_compared_with_is_one_line(hue: StudyFolder, spaces: Path, against: Any, said: Any) -> None:
    with pytest.raises(InputError) as error:
        candidates(hue, 1, 64, [spaces / file for file in against])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.live
def test_a_setting_that_cannot_be_trained_is_one_line(
    hue: StudyFolder, spaces: Path, command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    for name in ("subspace-ablation.toml", "subspace-ablation.csv"):
        (tmp_path / name).write_bytes((spaces / name).read_bytes())
    toml = (
        (tmp_path / "subspace-ablation.toml")
        .read_text()
        .replace("bottleneck = 4", "bottleneck = 4\nhidden = 1000000000000000")
    )
    (tmp_path / "subspace-ablation.toml").write_text(toml)
    done = command("confirm", hue.path, "--top", 0, "--against", tmp_path / "subspace-ablation.toml")
    assert done.returncode == 1
    assert "training again failed" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_setting_without_a_term_is_the_same_but_for_it(hue: StudyFolder) -> None:
    trial = hue.best().trial.item()
    whole, *others = (candidate.setting for candidate in leave_one_out(hue, trial))
    assert whole == hue.setting(trial)
    assert len(others) == 5
    for term, without in zip(whole.regularizers, others, strict=True):
        assert without.regularizers == {k: v for k, v in whole.regularizers.items() if k != term}
        assert without.schedule.properties == tuple(p for p in whole.schedule.properties if p.name != term)
        assert (without.model, without.labels, without.data) == (whole.model, whole.labels, whole.data)


def test_a_terms_worth_is_what_the_whole_setting_scores_more_seed_by_seed(hue: StudyFolder) -> None:
    luck = np.random.default_rng(0).normal(0, 0.1, 64)
    scores = {"trial 3": 0.8 + luck, "without norm": 0.8 + luck, "without separate": 0.5 + luck}
    frames = [
        pd.DataFrame({"setting": name, "seed": range(64), "isolation": values, "diverged": False})
        for name, values in scores.items()
    ]
    found = worths(pd.concat(frames), hue).set_index("term")
    assert found.index.tolist() == ["separate", "norm"]
    assert found.loc["separate", ["worth", "worth.low", "worth.high"]].tolist() == pytest.approx([0.3, 0.3, 0.3])
    assert found.loc["norm", "worth"] == pytest.approx(0)
    assert found.loc["separate", "mean"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_the_best_is_trained_without_each_of_its_terms(
    hue: StudyFolder, spaces: Path, command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    copy = shutil.copytree(hue.path, tmp_path / "hue")
    done = command(
        "confirm", copy, "--top", 1, "--seeds", 4, "--leave-one-out", "--against", spaces / "subspace-ablation.toml"
    )
    assert done.returncode == 0, done.stderr
    rows = study.load(copy).leave_one_out()
    assert rows.setting.unique().tolist()[1:] == [
        f"without {t}" for t in ("separate", "planar", "norm", "norm-v", "polar")
    ]
    whole = study.load(copy).confirmation().query("trial.notna()").isolation.tolist()
    assert rows.isolation[:4].tolist() == pytest.approx(whole, abs=1e-3)
    assert "without each of its terms" in done.stdout


def test_nothing_to_confirm_is_one_line(hue: StudyFolder) -> None:
    with pytest.raises(InputError, match="found nothing to confirm, expected --top 1 or more, or --against"):
        candidates(hue, 0, 2, [])
