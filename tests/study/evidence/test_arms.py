"""Arms: single changes to a setting, judged by bands of seed noise, and the simplest setting that is left."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import study
from anchoring import InputError
from anchoring.dopesheet import Dopesheet
from study.evidence.arms import REFERENCE, Arm, read_arms, standard
from study.evidence.ranking import ranking
from study.evidence.simplifying import simplify
from study.evidence.verdicts import BETTER, UNRESOLVED, WORSE, by_chance, verdicts
from study.experiment import Metric
from study.search.goal import Goal
from study.space.doses import doses
from study.space.space import Space
from tests.conftest import SPACES
from tests.study.conftest import EXPERIMENTS

METRICS = {"depth": Metric("how deep", diverged=0.0), "loss": Metric("how bad", higher_is_better=False, diverged=9.0)}


def sheet(document: Any) -> Dopesheet:
    return Dopesheet.parse(document["schedule"]["rows"], document["schedule"]["file"])


@pytest.fixture
def whole() -> Space:
    return Space.read(SPACES / "subspace-ablation.toml")


def changed(space: Space) -> dict[str, Any]:
    arms = standard(space.document(), space.setting().trained)
    return {arm.name: arm.change(space.document()) for arm in arms}


def test_the_standard_arms_are_valid_settings_that_differ_in_what_they_say(whole: Space) -> None:
    document, arms = whole.document(), changed(whole)
    before = sheet(document)
    for made in arms.values():
        assert made != document
        whole.validate(made)
    for term in whole.setting().trained:
        assert set(arms[f"without {term}"]["regularizers"]) == set(document["regularizers"]) - {term}
    assert len(sheet(arms["half the steps"])) == 1001
    assert len(sheet(arms["a quarter of the steps"])) == 501
    for name, label in document["labels"].items():
        assert arms["half the labels"]["labels"][name]["scale"] == label["scale"] / 2
    straight = sheet(arms["straight lines"])
    for column, was in zip(straight.properties, before.properties, strict=True):
        assert (column.values, column.steps) == (was.values, was.steps)
        assert column.timing == ("linear" if len(set(was.values)) > 1 else was.timing)
    assert document == whole.document()  # nothing was changed in place


def test_a_constant_is_the_peak_the_mean_or_of_the_same_dose(whole: Space) -> None:
    document, arms = whole.document(), changed(whole)
    rate = sheet(document).table()["lr"][:-1]
    held = {name for name in arms if " at its " in name and not name.startswith("every")}
    assert len(held) % 3 == 0
    for name in held:
        term, _, kind = name.partition(" at its ")
        weights = sheet(document).table()[term][:-1]
        table = sheet(arms[name]).table()
        assert np.ptp(table[term]) == 0
        expected = {
            "peak": weights.max(),
            "mean": weights.mean(),
            "dose": sum(float(w) * float(r) for w, r in zip(weights, rate, strict=True)) / float(sum(rate)),
        }
        assert table[term][0] == pytest.approx(expected[kind])
        for other, values in table.items():
            if other != term:
                np.testing.assert_array_equal(values, sheet(document).table()[other])
    for term, (dose, _) in doses(sheet(document)).items():
        together = doses(sheet(arms["every weight at its dose"]))[term][0]
        assert together == pytest.approx(dose)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('without = "polar"', lambda d: "polar" not in d["regularizers"]),
        ('without = ["polar", "norm"]', lambda d: not {"polar", "norm"} & d["regularizers"].keys()),
        ('steps = "half"', lambda d: len(sheet(d)) == 1001),
        ("steps = 301", lambda d: len(sheet(d)) == 301),
        ('schedule.planar = "constant(peak)"', lambda d: np.ptp(sheet(d).table()["planar"]) == 0),
        ("schedule.lr = 0.02", lambda d: set(sheet(d).table()["lr"]) == {0.02}),
        ('schedule.lr = "straight"', lambda d: "linear" in [p.timing for p in sheet(d).properties if p.name == "lr"]),
        ("labels.vibrant.scale = 0.25", lambda d: d["labels"]["vibrant"]["scale"] == 0.25),
        ('labels.vibrant.scale = "half"', lambda d: d["labels"]["vibrant"]["scale"] == 0.25),
        ("regularizers.separate.power = 4\nsteps = 501", lambda d: d["regularizers"]["separate"]["power"] == 4),
    ],
)
def test_arms_from_a_file(whole: Space, tmp_path: Path, text: str, made: Any) -> None:
    (tmp_path / "arms.toml").write_text(f"[arms.mine]\n{text}\n")
    (arm,) = read_arms(tmp_path / "arms.toml", whole.document())
    document = arm.change(whole.document())
    assert arm.name == "mine"
    assert made(document)
    whole.validate(document)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "arms.toml: found nothing, expected tables such as [arms.flat]"),
        ("[arms]", "expected tables such as [arms.flat]"),
        ("[arms", "arms.toml: cannot be read ("),
        ("[arms.x]", "arms.x: found {}, expected a table of changes"),
        ("[arms.reference]\nsteps = 7", "arms.reference: found the name of the setting as it is"),
        ('[arms.x]\nwithout = "gravity"', "arms.x.without: found 'gravity', expected one of separate, "),
        (
            '[arms.x]\nsteps = "third"',
            "arms.x.steps: found 'third', expected half, quarter, twice or a number of steps",
        ),
        ('[arms.x]\nschedule.gravity = "straight"', "arms.x.schedule.gravity: found no such property, expected one of"),
        (
            '[arms.x]\nschedule.lr = "constant(peek)"',
            "arms.x.schedule.lr: found 'constant(peek)', expected constant(peak)",
        ),
        ("[arms.x]\nschedule = 1", "arms.x.schedule: found 1, expected a property, as in schedule.lr"),
        ("[arms.x]\ngravity = 9.81", "arms.x.gravity: unknown key, expected without, steps, schedule, or one of"),
        ("[arms.x]\nsteps = 2001", "arms.x: found no change, expected one"),
    ],
)
def test_wrong_arms_are_one_located_line(tmp_path: Path, say: Any, text: str, said: str) -> None:
    (tmp_path / "arms.toml").write_text(text)
    arguments = ("--arms", tmp_path / "arms.toml", "--out", tmp_path / "runs")
    output, code = say("arms", SPACES / "subspace-ablation.toml", *arguments)
    assert (code, output.count("\n")) == (2, 1)
    assert said in output
    assert not (tmp_path / "runs").exists()


def test_an_arm_that_is_no_setting_is_refused_before_anything_is_written(tmp_path: Path, say: Any) -> None:
    (tmp_path / "arms.toml").write_text("[arms.x]\nregularizers.separate.power = -1\n")
    arguments = ("--arms", tmp_path / "arms.toml", "--out", tmp_path / "runs")
    output, code = say("arms", SPACES / "subspace-ablation.toml", *arguments)
    assert (code, output.count("\n")) == (2, 1)
    assert "arms.toml: x: " in output
    assert "separate.power" in output
    output, code = say("arms", SPACES / "hue.toml", "--out", tmp_path / "runs")
    assert (code, "found ranges" in output) == (2, True)
    assert not (tmp_path / "runs").exists()


def rows(**settings: Any) -> pd.DataFrame:
    parts = [pd.DataFrame({"setting": name, "seed": range(len(x)), "depth": x}) for name, x in settings.items()]
    return pd.concat(parts, ignore_index=True).assign(diverged=False, loss=lambda of: -of.depth)


@given(st.integers(2, 30), st.integers(0, 10_000), st.floats(-1, 1))
def test_verdicts_are_paired_t_statistics_beyond_two(n: int, seed: int, effect: float) -> None:
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, 3, n)
    arm = luck + effect + rng.normal(0, 0.5, n)
    judged = verdicts(rows(reference=luck, other=arm), METRICS).set_index("metric")
    test = stats.ttest_rel(arm, luck)
    row = judged.loc["depth"]
    assert row["difference"] / (row.band / 2) == pytest.approx(test.statistic, rel=1e-6)
    interval = test.confidence_interval()
    assert [row.low, row.high] == pytest.approx([interval.low, interval.high])
    better = BETTER if test.statistic > 2 else WORSE if test.statistic < -2 else UNRESOLVED
    assert row.verdict == better
    assert judged.loc["loss"].verdict == better  # less of it is better
    if better == UNRESOLVED:
        sd = (arm - luck).std(ddof=1)
        assert 2 * sd / np.sqrt(row.seeds) <= abs(row["difference"]) * (1 + 1e-9)
    else:
        assert np.isnan(row.seeds)


def test_by_chance_is_how_often_nothing_exceeds_its_band() -> None:
    rng = np.random.default_rng(0)
    null = rng.normal(0, 1, (20_000, 6))
    beyond = np.abs(null.mean(1)) > 2 * null.std(axis=1, ddof=1) / np.sqrt(6)
    assert by_chance(20_000, 6) == pytest.approx(beyond.sum(), rel=0.05)


def test_diverged_replicas_count_and_missing_metrics_do_not() -> None:
    table = rows(reference=[1.0, 1.0, 1.0], other=[1.0, 1.0, 1.0])
    table.loc[5, ["depth", "diverged"]] = [np.nan, True]
    judged = verdicts(table, METRICS | {"speed": Metric("how fast")}).set_index("metric")
    assert judged.loc["depth", "difference"] == pytest.approx(-1 / 3)
    assert judged["difference"].isna()["speed"]
    assert judged.loc["speed", "verdict"] == UNRESOLVED


def test_simplifying_makes_each_change_that_costs_nothing_and_no_other() -> None:
    """A toy: 'a' and 'b' are free alone but not together, 'c' is always free, 'd' costs."""

    def measured(document: Any) -> np.ndarray:
        lost = 0.5 * ("d" in document) + 0.5 * ("a" in document and "b" in document)
        gained = 0.01 * ("a" in document)
        return np.linspace(0.8, 0.9, 8) + gained - lost + 1e-3 * np.sin(np.arange(8))

    def arm(name: str) -> Arm:
        return Arm(name, lambda document: {**document, name: True})

    names = ["a", "b", "c", "d"]
    single = rows(**{REFERENCE: measured({})}, **{name: measured({name: 1}) for name in names})
    trained = []

    def train(name: str, document: Any) -> pd.DataFrame:
        trained.append(name)
        return rows(**{name: measured(document)})

    simplest, accepted, tried = simplify({}, [arm(name) for name in names], single, Goal(METRICS), train)
    assert accepted == ["a", "c"]
    assert simplest == {"a": True, "c": True}
    assert trained == ["a + b", "a + c"]
    assert set(tried.setting) == {"a + b", "a + c"}


@pytest.mark.live
def test_arms_are_trained_judged_simplified_and_reported(command: Callable[..., Any], tmp_path: Path) -> None:
    shutil.copytree(EXPERIMENTS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "arms.toml").write_text(
        '[arms.gentle]\nschedule.lr = 0.1\n\n[arms.even]\nsteepness = [1.0, 1.0]\n\n[arms.short]\nsteps = "half"\n'
    )
    (tmp_path / "fixed.toml").write_text(
        'title = "Fixed"\nexperiment = "bowl"\nschedule = "bowl-slow.csv"\nsteepness = [1.0, 1.5]\n'
    )
    arguments = (tmp_path / "fixed.toml", "--experiment", tmp_path / "bowl.py", "--out", tmp_path, "--name", "judged")
    done = command("arms", *arguments, "--arms", tmp_path / "arms.toml", "--seeds", 6, "--cpus", 1, "--simplify")
    assert done.returncode == 0, done.stderr
    folder = study.load(tmp_path / "judged", tmp_path / "bowl.py")
    assert folder.trials().state.tolist() == ["complete"]
    of = folder.arms()
    assert of.setting.unique().tolist() == [REFERENCE, "gentle", "even", "short"]
    assert all(set(part.seed) == set(folder.seeds()) for _, part in of.groupby("setting"))
    known = of[of.setting == REFERENCE].depth.tolist()
    assert known == pytest.approx(folder.final(0).depth.tolist())
    judged = verdicts(of, folder.metrics).set_index(["arm", "metric"]).verdict
    assert judged["gentle", "depth"] in (BETTER, WORSE)
    assert judged["short", "depth"] == WORSE
    accepted = folder.manifest()["accepted"]
    assert "short" not in accepted
    if accepted:
        names = set(ranking(folder.confirmation(), folder).setting)
        assert names == {REFERENCE, "simplest"}
        simplest = Space.read(tmp_path / "judged" / "simplest" / "judged-simplest.toml", None, tmp_path / "bowl.py")
        assert not simplest.distributions
    assert "Arms of judged on 6 seeds" in done.stdout
    assert "gentle" in (folder.path / "arms.html").read_text()
    assert not set(folder.plan().held_out_seeds(64)) & set(folder.seeds())


def test_every_metric_has_a_verdict(hue: Any) -> None:
    with pytest.raises(KeyError, match=REFERENCE):
        verdicts(hue.confirmation(), hue.metrics)


def test_arms_need_something_to_change(workplace: Path, say: Any) -> None:
    (workplace / "one.csv").write_text("STEP,lr\n0,0.1\n1,\n")
    (workplace / "one.toml").write_text('title = "1"\nexperiment = "bowl"\nschedule = "one.csv"\nsteepness = [1, 1]\n')
    output, code = say("arms", "one.toml", "--experiment", "bowl.py")
    assert code == 2
    assert "found nothing that the standard arms change" in output
    with pytest.raises(InputError):
        study.arms("one.toml", experiment="bowl.py", out=workplace / "runs")
