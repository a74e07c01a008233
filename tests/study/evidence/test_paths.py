"""The path from one setting to another: single changes, their order, and what each bought."""

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import study
from anchoring.dopesheet import Dopesheet
from study.evidence.paths import TOTAL, alone, between, differences, gains, walk
from study.experiment import Document, Metric
from study.search.goal import Goal
from study.space.document import rescaled
from study.space.space import Space
from tests.conftest import GOLDEN, SPACES
from tests.study.conftest import EXPERIMENTS

METRIC = Metric("how deep", diverged=0.0)


def document(name: str) -> Document:
    return Space.read(SPACES / f"{name}.toml").document()


def sheet(of: Document) -> Dopesheet:
    return Dopesheet.parse(of["schedule"]["rows"])


def table(of: Document) -> dict[str, np.ndarray]:
    return sheet(of).table()


@pytest.fixture(scope="module")
def start() -> Document:
    return document("subspace-ablation")


@pytest.fixture(scope="module")
def target(start: Document) -> Document:
    """A setting that differs in every way: a term gone, one new, other labels, steps, keys, rates and schedules."""
    header, *rows = rescaled(start, 1001)["schedule"]["rows"]
    place = {cell: number for number, cell in enumerate(header)}
    changed = [list(row) for row in rows]
    changed[0][place["planar"]] = "0.5"
    changed[1][place["lr"]] = "0.05"
    cells = [[cell for column, cell in enumerate(row) if column != place["polar"]] for row in [header, *changed]]
    added = [[*cells[0], "pull:log:linear"], [*cells[1], "0.1"], *([*row, ""] for row in cells[2:])]
    terms = {name: keys for name, keys in start["regularizers"].items() if name != "polar"}
    terms |= {
        "separate": {"term": "Separate", "power": 4},
        "pull": {"term": "Anchor", "point": [1, 0, 0, 0], "labels": {"warm": 1.0}},
    }
    labels = {"vibrant": {**start["labels"]["vibrant"], "scale": 0.25}, "warm": start["labels"]["red"]}
    return {
        **start,
        "data": {**start["data"], "batch": 32},
        "labels": labels,
        "regularizers": terms,
        "schedule": {"file": "target.csv", "rows": added},
    }


ALL = {
    "learning rate", "weight of planar", "settings of separate", "with pull", "without polar",
    "label vibrant", "label red", "label warm", "steps", "data",
}  # fmt: skip


def test_the_differences_are_those_that_were_made(start: Document, target: Document) -> None:
    assert differences(start, target).keys() == ALL
    assert differences(start, start) == {}
    assert differences(target, start).keys() == (ALL - {"with pull", "without polar"}) | {"without pull", "with polar"}


def test_a_schedule_that_is_written_otherwise_is_the_same(start: Document) -> None:
    columns = sheet(start)
    header = ["STEP", *(f"{p.name}:{p.space}:{p.timing}" for p in columns.properties)]
    steps = sorted({step for p in columns.properties for step in p.steps})
    body = [
        [
            str(step),
            *(repr(dict(zip(p.steps, p.values, strict=True)).get(step, "")).strip("'") for p in columns.properties),
        ]
        for step in steps
    ]
    same = {**start, "title": "Another", "schedule": {"file": "other.csv", "rows": [header, *body]}}
    assert differences(start, same) == {}


@settings(max_examples=30)
@given(st.sets(st.sampled_from(sorted(ALL))))
def test_a_setting_between_has_each_part_from_where_it_should(
    start: Document, target: Document, taken: set[str]
) -> None:
    made = between(start, target, taken)
    length = len(sheet(target if "steps" in taken else start))
    ours, theirs = (of if len(sheet(of)) == length else rescaled(of, length) for of in (start, target))
    assert len(sheet(made)) == length
    columns = {
        "lr": theirs if "learning rate" in taken else ours,
        "planar": theirs if "weight of planar" in taken else ours,
        **dict.fromkeys(("separate", "norm", "norm-v"), ours),
        **({} if "without polar" in taken else {"polar": ours}),
        **({"pull": theirs} if "with pull" in taken else {}),
    }
    assert table(made).keys() == columns.keys()
    for name, of in columns.items():
        np.testing.assert_array_equal(table(made)[name], table(of)[name])
    terms = columns.keys() - {"lr"}
    assert made["regularizers"].keys() == terms
    for name in terms:
        whose = target if name == "pull" or (name == "separate" and "settings of separate" in taken) else start
        assert made["regularizers"][name] == whose["regularizers"][name]
    assert made["data"] == (target if "data" in taken else start)["data"]
    labels = {"vibrant", *({"red"} - {name[6:] for name in taken}), *({"warm"} & {name[6:] for name in taken})}
    assert made["labels"].keys() == labels
    assert made["title"] == start["title"]
    assert differences(made, target).keys() == differences(start, target).keys() - taken


def test_the_ends_of_a_path_are_its_settings(start: Document, target: Document) -> None:
    assert between(start, target, []) is start
    assert between(start, target, list(differences(start, target))) is target


def measured(values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"setting": name, "seed": range(len(of)), "depth": of, "diverged": False})
        for name, of in values.items()
    ]
    return pd.concat(parts, ignore_index=True)


WORTH = {"a": 0.1, "b": 0.3, "c": -0.2, "d": 0.05}


def toy(names: Any) -> Document:
    return {**dict.fromkeys(names, 1), "schedule": {"file": "toy.csv", "rows": [["STEP", "lr"], ["0", "1"], ["9", ""]]}}


def train(choices: Mapping[str, Document]) -> pd.DataFrame:
    """Each key has its worth; 'a' is worth nothing before 'd' is there."""
    noise = 1e-3 * np.sin(np.arange(6))
    return measured(
        {
            name: noise + sum(WORTH[key] for key in WORTH if key in of and (key != "a" or "d" in of))
            for name, of in choices.items()
        }
    )


def test_in_each_round_the_change_that_helps_most_comes_next() -> None:
    order, tried = walk(toy(""), toy("abcd"), Goal({"depth": METRIC}), lambda _: True, train)
    assert order == ["b", "d", "a", "c"]
    rounds = tried.groupby("round").setting.unique()
    assert [set(names) for names in rounds] == [set("abcd"), set("acd"), set("ac")]
    # the slow reference: the order that is best in its means, among all orders
    best = max(
        itertools.permutations("abcd"),
        key=lambda names: [train({"x": toy(names[:n])}).depth.mean() for n in range(1, 5)],
    )
    assert order == list(best)
    found = alone(tried, train({"start": toy("")}), "depth", METRIC)
    assert found == pytest.approx({"a": 0.0, "b": 0.3, "c": -0.2, "d": 0.05})


def test_a_change_that_is_not_valid_alone_waits_and_some_are_made_together() -> None:
    goal = Goal({"depth": METRIC})
    order, _ = walk(toy(""), toy("abcd"), goal, lambda of: "b" not in of or "c" in of, train)
    assert order == ["d", "a", "c", "b"]
    order, tried = walk(
        toy(""), toy("abc"), goal, lambda of: not {"b", "c"} & of.keys() or {"b", "c"} <= of.keys(), train
    )
    assert order == ["a", "b + c"]
    assert tried.empty  # there was no choice


def test_less_is_better_where_the_metric_says_so() -> None:
    goal = Goal({"depth": Metric("how bad", higher_is_better=False, diverged=9.0)})
    order, _ = walk(toy(""), toy("abcd"), goal, lambda _: True, train)
    assert order[0] == "c"


@settings(max_examples=30)
@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=2, max_size=6))
def test_gains_add_up_to_the_whole_difference(values: list[list[float]]) -> None:
    rows = measured({f"change {place}": np.array(of) for place, of in enumerate(values)})
    rows.loc[0, ["depth", "diverged"]] = [np.nan, True]  # it counts as 0
    found = gains(rows, "depth", METRIC)
    assert found.change.tolist() == [*(f"change {place}" for place in range(1, len(values))), TOTAL]
    steps, total = found.difference[:-1], found.difference.iloc[-1]
    assert steps.sum() == pytest.approx(total, abs=1e-12)
    assert total == pytest.approx(np.mean(values[-1]) - np.mean([0.0, *values[0][1:]]), abs=1e-12)
    assert found["mean"].iloc[-1] == pytest.approx(np.mean(values[-1]), abs=1e-12)


def test_a_path_needs_two_settings_that_differ_in_one_concept(say: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    folder = study.load(shutil.copytree(GOLDEN / "hue", tmp_path / "hue"))
    best = int(folder.answer().trial)
    assert say("export", "hue", best)[1] == 0
    shutil.copytree(GOLDEN / "bowl", tmp_path / "bowl")
    for name in ("bowl.py", "bowl.toml", "bowl.csv"):
        shutil.copy(EXPERIMENTS / name, tmp_path)
    cases = [
        (("nowhere",), "nowhere"),
        (("hue", "--trial", 99), "found no trial 99"),
        (("hue", "--from", "nowhere.toml"), "nowhere.toml: no such file"),
        (("hue", "--from", SPACES / "hue.toml"), "found ranges"),
        (("hue", "--from", "subspace-ablation-red"), "found the concept red, expected the study's, hue"),
        (("hue", "--from", f"hue-{best}.toml"), f"found the setting of trial {best} itself, expected another one"),
        (("hue", "--from", "bowl.toml"), "bowl"),
        (("bowl",), "bowl"),
    ]
    for arguments, said in cases:
        output, code = say("path", *arguments, "--seeds", 2)
        assert said in output
        assert code == 2
        assert output.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.live
def test_a_path_is_found_measured_and_reported(command: Any, tmp_path: Path) -> None:
    shutil.copytree(EXPERIMENTS, tmp_path, dirs_exist_ok=True)
    shutil.copytree(GOLDEN / "bowl", tmp_path / "runs" / "before")
    experiment = ("--experiment", tmp_path / "bowl.py")
    done = command("path", "before", *experiment, "--seeds", 4, "--cpus", 1, "--name", "walked", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = study.load(tmp_path / "runs" / "walked", tmp_path / "bowl.py")
    before = study.load(tmp_path / "runs" / "before", tmp_path / "bowl.py")
    rows, answer = folder.path_settings(), before.answer()
    first, *changes = rows.setting.unique()
    assert first == "bowl-slow"
    assert set(changes) == set(folder.path_tried().setting) == {"steepness", "learning rate"}
    assert folder.manifest()["to"] == f"{answer.setting} of before"
    assert set(rows.seed) == set(folder.plan().held_out_seeds(64))
    assert not set(rows.seed) & set(folder.seeds())
    found = gains(rows, "depth", folder.goal.first)
    assert found.difference[:-1].sum() == pytest.approx(found.difference.iloc[-1])
    # the end of the path is the study's answer, as it was confirmed on these seeds
    confirmed = before.confirmation()
    ends = confirmed[confirmed.setting == answer.setting].set_index("seed").depth
    np.testing.assert_allclose(rows[rows.setting == changes[-1]].set_index("seed").depth[ends.index], ends, rtol=1e-5)
    assert "From bowl-slow to trial" in done.stdout
    assert "The gains add up" in (folder.path / "path.html").read_text()
