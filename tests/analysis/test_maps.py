"""The map: models that know where a known space keeps its requirements, and pages that say so."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from analysis import map_plots, mapped, maps, parallel
from analysis.maps import NEAR_BEST, Map
from study.record.folder import StudyFolder
from study.search.points import sobol
from study.watch.report import write_report

RANGES: Any = {
    "x": FloatDistribution(0, 1),
    "y": FloatDistribution(1e-3, 1, log=True),
    "kind": CategoricalDistribution(["a", "b", "c"]),
    "idle": FloatDistribution(0, 1),
}


class Space:
    distributions = RANGES


class Goal:
    """A disc in x and log y is best; the constraint is kept right of x = 0.4, and not by kind c."""

    sign = 1

    def violations(self, rows: Any) -> dict[str, float]:
        return {"room >= 0": -float(rows.room.iloc[0])}


class Folder:
    space, goal = Space(), Goal()

    def __init__(self, trials: pd.DataFrame) -> None:
        self._trials = trials

    def trials(self) -> pd.DataFrame:
        return self._trials

    def final(self) -> pd.DataFrame:
        return self._trials


def truth(x: Any, y: Any, kind: Any) -> tuple[Any, Any]:
    room = x - 0.4 - 0.5 * (kind == "c")
    return 1 - (x - 0.6) ** 2 - (y - 0.5) ** 2, room


@pytest.fixture(scope="module")
def known() -> Map:
    points = pd.DataFrame(sobol(Space(), 200, 0))  # type: ignore[arg-type]
    height = np.log(points.y / 1e-3) / np.log(1e3)
    value, room = truth(points.x, height, points.kind)
    noise = np.random.default_rng(0).normal(0, 0.005, 200)
    trials = points.add_prefix("param.").assign(
        trial=range(200), state="complete", value=value + noise, room=room, feasible=room >= 0
    )
    found = maps.fit(Folder(trials), 0.05)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_models_know_requirements_that_trials_do_not_show_them(known: Map) -> None:
    assert set(known.models) == {"room >= 0", NEAR_BEST}
    assert min(known.r2.values()) > 0.9
    unseen = np.random.default_rng(1).random((500, 4))
    unseen[:, 2] = np.round(unseen[:, 2] * 2) / 2
    kinds = np.array(["a", "b", "c"])[(unseen[:, 2] * 2).astype(int)]
    value, room = truth(unseen[:, 0], unseen[:, 1], kinds)
    likely = known.probabilities(unseen)
    best = known.trials["value"][known.trials.feasible].max()
    for name, kept in {"room >= 0": room >= 0, NEAR_BEST: value >= best - 0.05}.items():
        assert ((likely[name] > 0.5) == kept).mean() > 0.95
        sure = (likely[name] < 0.02) | (likely[name] > 0.98)
        assert sure.mean() > 0.5
        assert ((likely[name] > 0.5) == kept)[sure].mean() > 0.99


def test_panels_show_the_region_and_leave_blank_what_no_trial_is_near(known: Map) -> None:
    likely, covered = maps.panel(known, ("x", "y"))
    assert covered.mean() > 0.9
    assert likely[12, 14] > 0.5 > likely[12, 4]  # x of 0.6 and of 0.2
    assert likely[23, 14] < 0.2
    by_kind, _ = maps.panel(known, ("kind", "x"))
    assert by_kind.shape == (24, 3)
    left = known.points[:, 0] < 0.5
    half = Map(known.trials[left], known.inside[left], known.points[left], RANGES, known.models, known.r2, known.band)
    _, seen = maps.panel(half, ("x", "y"))
    assert seen[:, :12].mean() > 0.85
    assert not seen[:, 14:].any()


def test_the_requirement_that_fails_is_the_one_that_is_missed_most(known: Map) -> None:
    missed = maps.fails(known)
    assert ((missed == "") == (known.inside >= 0).all(axis=1)).all()
    assert set(missed) == {"", "room >= 0", NEAR_BEST}
    assert maps.middle(known) in known.trials.index[missed == ""]


def test_freedom_ends_where_the_requirement_does(known: Map) -> None:
    center = maps.middle(known)
    assert center is not None
    free = maps.freedom(known, center)
    assert list(free.index) == ["x", "y", "idle"]
    assert free.low["x"] == pytest.approx(0.4, abs=0.08)
    assert free.below["x"] == "room >= 0"
    assert free.above["x"] == NEAR_BEST
    assert (free.low["idle"], free.high["idle"], free.below["idle"], free.above["idle"]) == (0, 1, "", "")
    assert ((free.low <= free["at"]) & (free["at"] <= free.high)).all()


def test_few_trials_or_parameters_make_no_map(known: Map) -> None:
    few = known.trials.head(maps.ENOUGH - 1)
    assert maps.fit(Folder(few), 0.05) is None  # type: ignore[arg-type]
    assert maps.fit(Folder(pd.DataFrame({"trial": [], "state": []})), 0.05) is None  # type: ignore[arg-type]


def test_doses_stand_as_parameters() -> None:
    rng = np.random.default_rng(0)
    trials = pd.DataFrame({"dose.a": rng.random(30) + 0.1, "centroid.a": [np.nan, *rng.random(29)], "dose.b": 1.0})
    table, ranges = maps.with_doses(trials)
    assert list(ranges) == ["dose.a", "centroid.a"]
    assert ranges["dose.a"].log  # type: ignore[attr-defined]
    assert table["param.centroid.a"].notna().all()


def test_a_click_on_an_axis_hides_the_lines_that_cross_it_there() -> None:
    columns = pd.DataFrame({"x": [0.0, 0.5, 1.0], "y": [0.1, np.nan, 0.9]}, index=["trial 1", "trial <2>", "trial 3"])
    text = parallel.coordinates(columns, pd.Series(["#000", "#111", "#222"]), ["x<|0|1", "y|0|1"], "what is drawn")
    lines = re.findall(r'<polyline class="([^"]*)"', text)
    assert lines == ["pc0-0 pc1-0", "pc0-2", "pc0-4 pc1-4"]
    for axis in range(2):
        for band in range(parallel.BANDS):
            assert f'<input type="checkbox" id="pc{axis}-{band}" checked' in text
            assert f".pc:has(#pc{axis}-{band}:not(:checked)) .pc{axis}-{band}{{display:none}}" in text
            assert f'for="pc{axis}-{band}"' in text
    assert "<script" not in text
    assert "trial &lt;2&gt;" in text
    assert "x&lt;" in text


def test_figures_are_drawn(known: Map) -> None:
    center = maps.middle(known) or 0
    figure = map_plots.regions(known, ["x", "y", "kind"], {"best": center})
    assert len([axis for axis in figure.axes if axis.get_xlabel()]) == 3
    freedoms = map_plots.freedoms({"the best": maps.freedom(known, center)})
    assert [label.get_text() for label in freedoms.axes[0].get_yticklabels()] == ["x", "y", "idle"]
    trials = known.trials.assign(**{"margin.room >= 0": known.inside["room >= 0"]})
    assert map_plots.trade_offs(trials, ["room >= 0"], "value", {"best": center}).axes


def test_a_safe_setting_gives_up_a_band_for_the_largest_margin(
    monkeypatch: pytest.MonkeyPatch, hue: StudyFolder
) -> None:
    table = pd.DataFrame(
        {
            "trial": [4, 7, 9, 11],
            "value": [0.90, 0.89, 0.89, 0.80],
            "feasible": [True, True, False, True],
            "margin": [1.0, 3.0, 9.0, 8.0],
            "binds": "room >= 0",
            "band": 0.02,
        }
    )
    monkeypatch.setattr(mapped, "_candidates", lambda folder: table)
    assert mapped.recommended(hue) == {"best": 4, "safe": 7}
    monkeypatch.setattr(mapped, "_candidates", lambda folder: table.assign(margin=[5.0, 3.0, 9.0, 8.0]))
    assert mapped.recommended(hue) == {"best": 4}


@pytest.mark.live
def test_the_page_says_what_to_take_and_draws_without_scripts(hue: StudyFolder) -> None:
    page = Path(write_report(hue, "map")).read_text()
    assert "Best: trial" in re.sub("<[^>]*>", "", page)
    assert "The noise floor of every metric" in page
    assert "<script" not in page
