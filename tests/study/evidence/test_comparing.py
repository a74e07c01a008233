"""Studies side by side: the best so far over work, how answers differ, refusals, and the page."""

import itertools
import json
import math
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

import study
from study.evidence.comparing import (
    answers,
    at_work,
    best_so_far,
    difference,
    differing,
    ended_order,
    is_ordered,
    named,
)
from study.evidence.verdicts import verdicts
from study.experiment import Metric
from study.record.folder import StudyFolder
from study.search import journal
from study.watch.comparison import stopping_in_words
from tests.conftest import GOLDEN

METRIC = Metric("how deep", diverged=0.0)


def rows(values: Sequence[float], first: int = 0, setting: str = "reference") -> pd.DataFrame:
    seeds = range(first, first + len(values))
    return pd.DataFrame({"setting": setting, "seed": seeds, "depth": values, "diverged": False})


def copied(name: str, to: Path, **manifest: Any) -> StudyFolder:
    """A copy of a golden study, perhaps with other entries in its manifest."""
    path = shutil.copytree(GOLDEN / name, to)
    file = path / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **manifest}))
    return study.load(path)


def reordered(folder: StudyFolder, order: Sequence[int]) -> None:
    """Replace a study's journal by one in which trials end in this order."""
    (folder.path / journal.NAME).unlink()
    search = journal.search(folder.path, optuna.samplers.RandomSampler(), ["maximize"])
    asked = [search.ask() for _ in order]
    for number in order:
        search.tell(asked[number], 0.5)


def slowly(folder: StudyFolder, order: Sequence[int]) -> list[tuple[int, int, float, float]]:
    """What `best_so_far` says, one replica after another."""
    found: list[tuple[int, int, float, float]] = []
    work, best = 0, -math.inf
    replicas = folder.replicas()
    for trial in order:
        row = folder.row(trial).iloc[0]
        mine = replicas[replicas.trial == trial]
        for seed in mine.seed.unique():
            work += max(mine[mine.seed == seed].step)
        if row.state == "complete" and row.feasible and row["value"] > best:
            best = row["value"]
            values = [0.0 if r.diverged else r.isolation for _, r in mine.iterrows() if r.step == row.steps]
            mean = sum(values) / len(values)
            error = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
            found.append((work, trial, mean, 2 * error))
    return [*found, (work, *found[-1][1:])]


@pytest.mark.parametrize("name", ["hue", "outcomes"])
@pytest.mark.parametrize("turned", [False, True], ids=["as it was", "the other way round"])
def test_the_best_so_far_is_that_of_a_slow_reference(name: str, turned: bool, tmp_path: Path) -> None:
    folder = copied(name, tmp_path / name)
    order = sorted(folder.trials().trial.tolist(), reverse=turned)
    if turned:
        reordered(folder, order)
    assert ended_order(folder) == order
    found = best_so_far(folder)
    np.testing.assert_allclose(found.astype(float).to_numpy(), slowly(folder, order), rtol=1e-6)
    assert found.trial.iloc[-1] == folder.best().trial.item()
    for _, row in found.iterrows():  # the aggregate is the mean
        assert row["mean"] == pytest.approx(folder.row(int(row.trial))["value"].item())


def test_work_counts_the_seeds_that_a_trial_had(tmp_path: Path) -> None:
    """In a race, a stopped trial has fewer seeds than a complete one."""
    folder = copied("hue", tmp_path / "hue")
    whole = best_so_far(folder).work.iloc[-1]
    rows = folder.replicas()
    stopped = rows[rows.trial == 1]
    part = folder.path / "replicas.parquet" / "00001.parquet"
    stopped[stopped.seed < 1].to_parquet(part, index=False)
    assert best_so_far(folder).work.iloc[-1] == whole - stopped.step.max() * 3


def test_a_race_is_told_from_its_scheduler() -> None:
    assert stopping_in_words(study.Plan(scheduler="none")) == "none"
    assert stopping_in_words(study.Plan(race=True)) == "race"
    assert stopping_in_words(study.Plan(race=True, scheduler="asha")) == "asha, race"
    assert stopping_in_words(study.Plan(race=False)) == "asha"


def test_without_a_journal_trials_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = copied("hue", tmp_path / "hue")
    assert is_ordered(folder)
    (folder.path / journal.NAME).unlink()
    assert not is_ordered(folder)
    assert ended_order(folder) == list(range(14))


def test_a_study_whose_trials_all_break_a_constraint_has_no_best_but_its_work(tmp_path: Path) -> None:
    folder = copied("hue", tmp_path / "hue")
    table = folder.path / "trials.parquet"
    folder.trials().assign(feasible=False).to_parquet(table)
    found = best_so_far(folder)
    assert len(found) == 1
    assert found.work.item() == slowly(study.load(GOLDEN / "hue"), range(14))[-1][0]
    assert found["mean"].isna().all()
    assert at_work(found, 10**12) is None


def test_what_stood_after_so_much_work() -> None:
    progress = pd.DataFrame({"work": [5, 9, 20], "trial": [1, 4, 4], "mean": [0.2, 0.5, 0.5], "band": 0.1})
    assert at_work(progress, 4) is None
    assert [at_work(progress, work)["trial"] for work in (5, 8, 9, 99)] == [1, 1, 4, 4]


VALUES = st.lists(st.floats(-5, 5), min_size=2, max_size=12)


@settings(max_examples=30)
@given(VALUES, VALUES, st.integers(0, 14))
@example([0.0, 0.0], [0.0, 5.5e-151], 1)  # whose variances have squares of 0
def test_differences_are_those_of_scipy(ours: list[float], theirs: list[float], first: int) -> None:
    found = difference(rows(ours, first), rows(theirs), "depth", METRIC)
    a, b = dict(zip(itertools.count(first), ours)), dict(enumerate(theirs))
    common = sorted(a.keys() & b.keys())
    assert found["paired"] == (len(common) if len(common) > 1 else 0)
    if found["paired"]:
        x, y = np.array([a[seed] for seed in common]), np.array([b[seed] for seed in common])
        apart, spread = x - y, np.ptp(x - y)
        test = partial(stats.ttest_rel, x, y)
        judged = verdicts(pd.concat([rows(theirs), rows(ours, first, "arm")]), {"depth": METRIC}).iloc[0]
        for name in ("difference", "low", "high", "band"):
            assert found[name] == pytest.approx(judged[name], abs=1e-9, nan_ok=True)
        assert found["verdict"] == judged.verdict
        mean = apart.mean()
    else:
        spread, mean = min(np.ptp(ours), np.ptp(theirs)), np.mean(ours) - np.mean(theirs)
        test = partial(stats.ttest_ind, ours, theirs, equal_var=False)
    assert found["difference"] == pytest.approx(mean, abs=1e-12)
    if spread > 1e-3:
        interval = test().confidence_interval(0.95)
        assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


def test_a_single_seed_has_a_difference_and_no_verdict() -> None:
    found = difference(rows([0.9]), rows([0.4]), "depth", METRIC)
    assert found["difference"] == pytest.approx(0.5)
    assert (found["verdict"], found["paired"]) == ("not resolved", 0)
    assert math.isnan(found["low"])


def test_diverged_replicas_count_in_a_difference() -> None:
    ours = rows([0.8, math.nan]).assign(diverged=[False, True])
    assert difference(ours, rows([0.8, 0.6]), "depth", METRIC)["difference"] == pytest.approx(-0.3)


def test_answers_stand_side_by_side(tmp_path: Path) -> None:
    one, two = copied("hue", tmp_path / "one"), copied("hue", tmp_path / "two")
    best = one.answer()
    file = two.path / "confirmation.parquet"
    confirmed = two.confirmation()
    confirmed[confirmed.setting != best.setting].to_parquet(file)  # the answer is another trial
    bare = copied("hue", tmp_path / "bare")
    (bare.path / "confirmation.parquet").unlink()
    studies = named([one, two, bare])
    found = answers(studies)
    assert found.study.tolist() == ["one", "two", "bare"]
    assert found.setting.tolist()[:2] == [best.setting, two.answer().setting]
    assert found["mean"].tolist()[:2] == [best["mean"], two.answer()["mean"]]
    assert found.difference[1] == pytest.approx(found["mean"][1] - found["mean"][0])
    assert found.paired[1] == found.seeds[0] == 64
    assert found.loc[2, ["trial", "mean", "difference"]].isna().all()
    assert math.isnan(found.difference[0])
    unequal = differing(studies, found)
    ours, theirs = one.parameters(int(found.trial[0])), two.parameters(int(found.trial[1]))
    assert list(unequal.columns) == ["one", "two"]
    assert set(unequal.index) == {name for name in ours if ours[name] != theirs[name]}
    assert all(unequal.one[name] == ours[name] for name in unequal.index)


def test_studies_of_one_name_are_called_by_their_folders(tmp_path: Path) -> None:
    studies = [copied("hue", tmp_path / place / "hue") for place in ("a", "b")]
    assert list(named(studies)) == [str(folder.path) for folder in studies]
    assert list(named(studies[:1])) == ["hue"]


def test_what_cannot_be_compared_is_one_line(say: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    copied("hue", tmp_path / "one")
    copied("hue", tmp_path / "two", objectives=["utility"])
    copied("bowl", tmp_path / "bowl")
    copied("hue", tmp_path / "none")
    table = tmp_path / "none" / "trials.parquet"
    pd.read_parquet(table).assign(state="stopped").to_parquet(table)
    other = copied("hue", tmp_path / "other")
    toml = other.path / "study.toml"
    toml.write_text('concept = "red"\n' + toml.read_text())
    cases: list[tuple[tuple[Any, ...], str]] = [
        (("one",), "error: studies: found 1, expected two or more to compare\n"),
        (("one", "one"), "error: one: found this study twice, expected distinct studies\n"),
        (("one", "nowhere"), "nowhere"),
        (("one", "two"), "error: two: found the objective utility, expected that of one, isolation\n"),
        (("one", "bowl"), "error: bowl: found the experiment bowl, expected that of one, excolor\n"),
        (("one", "other"), "error: other: found the concept red, expected that of one, hue\n"),
        (("one", "none"), "error: none: found no complete trial, expected at least one to compare\n"),
        (("one", "two", "--to", "page.txt"), "error: two: found the objective"),
    ]
    for arguments, said in cases:
        output, code = say("compare", *arguments)
        assert said in output
        assert code == 2
        assert output.count("\n") == 1
    copied("hue", tmp_path / "three")
    for to in ("page.txt", "nowhere/page.html", "."):
        output, code = say("compare", "one", "three", "--to", to)
        assert output.startswith(f"error: --to: found '{to}', expected a file such as comparison.html")
        assert code == 2
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.live
def test_compare_prints_tables_and_writes_a_page(command: Any, tmp_path: Path) -> None:
    copied("hue", tmp_path / "runs" / "one")
    copied("hue", tmp_path / "runs" / "two", sampler="random")
    (tmp_path / "runs" / "two" / journal.NAME).unlink()
    done = command("compare", "one", "two", "--to", "page.html", "--figures", "figures", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for said in (
        "Searches: the best isolation so far",
        "random",
        "without a journal, in two, in the order of their numbers",
        "on 64 common seeds",
        "+0.0000 (+0.0000 to +0.0000) not resolved",
    ):
        assert said in text
    page = (tmp_path / "page.html").read_text()
    assert "<h1" in page
    assert "do not differ measurably in isolation" in page
    assert page.count("data:image/png") == 1
    assert "<script" not in page
    assert sorted(file.name for file in (tmp_path / "figures").iterdir()) == ["compare.pdf", "compare.svg"]
