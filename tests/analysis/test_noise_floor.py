"""The noise floor, on tables whose variance components are known."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis import noise_floor, noise_plots
from study.experiment import Metric
from study.record.folder import StudyFolder
from study.search.goal import Goal


class Folder:
    """A study of tables [trials, seeds], one for each metric, and of confirmed ones."""

    def __init__(self, tables: dict[str, Any], confirmed: dict[str, Any] | None = None, sign: int = 1) -> None:
        self.goal = Goal({name: Metric("of it", diverged=0.0, higher_is_better=sign > 0) for name in tables})
        self._final, self._confirmed = (
            rows_of(tables),
            rows_of(confirmed or {name: np.zeros((0, 2)) for name in tables}),
        )
        first = next(iter(tables.values()))
        values = np.nanmean(first, axis=1) if len(first) else []
        self._trials = pd.DataFrame({"trial": range(len(first)), "state": "complete", "value": values})

    def trials(self) -> Any:
        return self._trials

    complete = trials

    def final(self) -> Any:
        return self._final

    def confirmation(self) -> Any:
        return self._confirmed


def rows_of(tables: dict[str, Any]) -> Any:
    trials, seeds = next(iter(tables.values())).shape
    index = pd.MultiIndex.from_product([range(trials), range(seeds)], names=["trial", "seed"])
    frame = pd.DataFrame({name: table.ravel() for name, table in tables.items()}, index=index)
    return frame.assign(diverged=False).reset_index()


def found(folder: Any) -> Any:
    return noise_floor.floors(folder).set_index(["metric", "set"])


def drawn(trials: int, seeds: int, setting: float, seed: float, noise: float, of: int = 0) -> Any:
    """Values whose three parts have these standard deviations."""
    random = np.random.default_rng(of)
    parts = random.normal(0, setting, (trials, 1)), random.normal(0, seed, (1, seeds))
    return 0.5 + parts[0] + parts[1] + random.normal(0, noise, (trials, seeds))


def test_known_components_are_found_and_what_a_seed_does_to_all_trials_alike_cancels() -> None:
    row = found(Folder({"value": drawn(600, 40, setting=0.03, seed=0.5, noise=0.1)})).loc[("value", "complete")]
    assert row.band == pytest.approx(2 * 0.1 * np.sqrt(2 / 40), rel=0.03)
    assert row.typical == pytest.approx(0.03 * np.sqrt(2), rel=0.1)
    assert row.sd == pytest.approx(np.hypot(0.5, 0.1), rel=0.3)  # 40 seeds know little of their own spread
    assert row.se == pytest.approx(row.sd / np.sqrt(40))
    assert row.ratio == pytest.approx(row.typical / row.band)
    assert (row["trials"], row.seeds) == (600, 40)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """In 400 such studies, 89% of the bands' did, and 91% of those of typical differences."""
    held = []
    for of in range(30):
        row = found(Folder({"value": drawn(40, 4, 0.1, 0.05, 0.1, of)})).loc[("value", "complete")]
        held.append(
            [
                row["band.low"] <= 2 * 0.1 * np.sqrt(2 / 4) <= row["band.high"],
                row["typical.low"] <= 0.1 * np.sqrt(2) <= row["typical.high"],
            ]
        )
    assert np.mean(held, axis=0).tolist() == pytest.approx([0.9, 0.9], abs=0.1)


def test_seeds_alone_tell_a_twentieth_of_pairs_apart_and_settings_more() -> None:
    tables = {"noise": drawn(300, 16, 0, 0.1, 0.1), "settings": drawn(300, 16, 0.2, 0.1, 0.1)}
    rows = found(Folder(tables))
    assert rows.told["noise", "complete"] == pytest.approx(0.046, abs=0.015)
    assert rows["ratio.low"]["noise", "complete"] == 0
    assert rows.told["settings", "complete"] > 0.7
    assert rows["ratio.low"]["settings", "complete"] > 1


@given(
    arrays(
        float, st.tuples(st.integers(2, 5), st.integers(2, 5)), elements=st.floats(-100, 100).map(lambda x: round(x, 2))
    )
)
def test_estimates_are_those_of_the_textbook(table: Any) -> None:
    """The slow reference: an analysis of variance with two crossed factors, cell by cell."""
    trials, seeds = table.shape
    mean = table.mean()
    rest = within = between = 0.0
    for i in range(trials):
        between += seeds * (table[i].mean() - mean) ** 2 / (trials - 1)
        for j in range(seeds):
            rest += (table[i, j] - table[i].mean() - table[:, j].mean() + mean) ** 2 / ((trials - 1) * (seeds - 1))
            within += (table[i, j] - table[i].mean()) ** 2 / (trials * (seeds - 1))
    got = noise_floor._estimates(table)
    assert got["sd"] == pytest.approx(np.sqrt(within), abs=1e-9)
    assert got["band"] == pytest.approx(2 * np.sqrt(2 * rest / seeds), abs=1e-6)
    assert got["typical"] ** 2 == pytest.approx(2 * max(0, between - rest) / seeds, abs=1e-6)


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=8), st.integers(0, 30))
def test_pairs_apart_are_counted(means: list[int], band: int) -> None:
    pairs = [abs(a - b) > band for a, b in combinations(means, 2)]
    assert noise_floor.told(np.array(means, float), band) == pytest.approx(np.mean(pairs))


def test_the_better_half_is_that_of_the_objective_whichever_way_is_better() -> None:
    tables = {"loss": drawn(40, 4, 0.2, 0, 0.01), "other": np.repeat(np.arange(40.0)[:, None], 4, axis=1)}
    for sign in (1, -1):
        folder = Folder(tables, sign=sign)
        best = folder.trials()["value"].sort_values(ascending=sign < 0).index[:20]
        row = found(folder).loc[("other", "better half")]
        assert row["trials"] == 20
        assert row.typical == pytest.approx(np.sqrt(2) * np.std(best, ddof=1))
        assert (row.band, row.ratio) == (0, np.inf)


def test_confirmed_trials_are_a_set_of_their_own_and_their_seeds_are_resampled() -> None:
    folder = Folder({"value": drawn(30, 4, 0.1, 0, 0.1)}, {"value": drawn(3, 64, 0.1, 0, 0.2)})
    row = found(folder).loc[("value", "confirmed")]
    assert (row["trials"], row.seeds) == (3, 64)
    assert row["sd.low"] < 0.2 < row["sd.high"]


def test_nothing_is_said_without_seeds_or_trials_or_of_what_only_seeds_change() -> None:
    assert noise_floor.floors(Folder({"value": drawn(30, 1, 1, 1, 1)})).empty  # type: ignore[arg-type]
    assert noise_floor.floors(Folder({"value": drawn(1, 8, 1, 1, 1)})).empty  # type: ignore[arg-type]
    tables = {"value": drawn(30, 4, 1, 1, 1), "labelled": drawn(30, 4, 0, 1, 0)}
    tables["gone"] = tables["value"] * np.nan
    assert set(noise_floor.floors(Folder(tables)).metric) == {"value"}  # type: ignore[arg-type]


def test_it_is_said_and_drawn(hue: StudyFolder) -> None:
    floors = noise_floor.floors(hue)
    assert {"complete", "confirmed"} <= set(floors.set)
    said = noise_floor.answer(floors, "isolation")
    assert "of the pairs of complete trials" in said
    table = noise_floor.table(floors)
    assert len(table) == len(floors)
    assert list(dict.fromkeys(table.index.get_level_values(0))) == list(dict.fromkeys(floors.metric))
    axis = noise_plots.floors(floors).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(dict.fromkeys(floors.metric))
    assert "bands" in axis.get_xlabel()
