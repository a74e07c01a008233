"""The figures say what the data say. Each test reads the drawn figure back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import study
from analysis import plots, style
from study.evidence.ranking import ranking
from study.record.folder import StudyFolder


@pytest.fixture
def best(hue: StudyFolder) -> Any:
    return hue.best(3).trial.tolist()


@pytest.mark.parametrize("letter", ["x", "y"])
def test_an_interval_is_drawn_from_end_to_end_wherever_its_estimate_is(letter: str) -> None:
    _, axis = style.drawing(4, 3)
    estimate, low, high = np.array([0.3, 0.1, -0.2]), np.array([0.05, 0.0, -0.1]), np.array([0.2, 0.3, 0.1])
    style.interval(axis, letter, range(3), estimate, low, high, "black")
    (bars,) = axis.collections
    along = 0 if letter == "x" else 1
    drawn = [sorted(end[along] for end in segment) for segment in bars.get_segments()]  # type: ignore[attr-defined]
    assert drawn == [pytest.approx(ends) for ends in zip(low, high, strict=True)]
    dots = axis.lines[-1]
    assert np.asarray(dots.get_data()[along]) == pytest.approx(estimate)
    assert np.asarray(dots.get_data()[1 - along]) == pytest.approx(range(3))


def test_schedules_draw_every_property_of_every_setting(hue: StudyFolder, best: Any) -> None:
    settings = {f"trial {trial}": hue.setting(trial) for trial in best}
    figure = plots.schedules(settings, references={"subspace ablation": hue.setting(0)})
    assert [axis.get_title() for axis in figure.axes] == [
        *("learning rate", "weight of separate", "weight of planar", "weight of norm", "weight of polar"),
    ]  # the weight of norm-v is constant
    first = figure.axes[1].lines[0]
    assert first.get_ydata() == pytest.approx(settings[f"trial {best[0]}"].schedule.table()["separate"])
    assert len([line for line in figure.axes[1].lines if line.get_label() == "subspace ablation"]) == 1


def test_a_property_that_never_changes_is_not_drawn(hue: StudyFolder, best: Any) -> None:
    setting = hue.setting(best[0])
    columns = [
        replace(p, values=p.values[:1] * len(p.values)) if p.name == "norm" else p for p in setting.schedule.properties
    ]
    constant = setting.model_copy(update={"schedule": replace(setting.schedule, properties=tuple(columns))})
    assert "norm" in plots.moving({"best": setting})
    assert "norm" not in plots.moving({"best": constant})
    assert "norm" in plots.moving({"best": constant, "other": setting})
    titles = [axis.get_title() for axis in plots.schedules({"best": constant}).axes]
    assert len(titles) == len(plots.moving({"best": setting})) - 1
    assert "weight of norm" not in titles


def test_learning_curves_draw_every_trial(hue: StudyFolder, best: Any) -> None:
    axis = plots.learning_curves(hue.trials(), hue.replicas(), best, "isolation").axes[0]
    labelled = {line.get_label(): line for line in axis.lines}
    rows = hue.replicas()[hue.replicas().trial == best[0]]
    expected = rows.groupby("step").isolation.mean()
    assert labelled[f"trial {best[0]}"].get_ydata() == pytest.approx(expected.to_numpy())
    curves = hue.replicas().groupby(["trial", "step"]).isolation.mean()
    drawn = [line.get_ydata().tolist() for line in axis.lines]
    assert all(curves[trial].tolist() in drawn for trial in hue.trials().trial)
    crosses = [line for line in axis.lines if line.get_marker() == "x" and len(line.get_xdata()) == 1]  # type: ignore[arg-type]
    assert len(crosses) == ((hue.trials().state == "stopped") & ~hue.trials().audited).sum()
    assert axis.get_ylabel()


def test_schedules_name_their_phases(hue: StudyFolder, best: Any) -> None:
    figure = plots.schedules({"best": hue.setting(best[0])})
    assert all([text.get_text().strip() for text in axis.texts] == ["Settle"] for axis in figure.axes)


def test_every_trial_has_its_own_colour_and_no_label_is_missing(hue: StudyFolder, best: Any) -> None:
    assert len(set(style.PALETTE)) == 5
    axis = plots.learning_curves(hue.trials(), hue.replicas(), best, "isolation").axes[0]
    shown = [line.get_color() for line in axis.lines if line.get_label().startswith("trial")]  # type: ignore[attr-defined]
    assert len(set(shown)) == len(best)


def test_the_confirmation_shows_every_replica_and_the_interval_of_each_mean(hue: StudyFolder) -> None:
    rows = hue.confirmation()
    ranked = ranking(rows, hue)
    (axis,) = plots.confirmation(rows, ranked, "isolation").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ranked.setting.tolist()
    dots = sum(len(collection.get_offsets()) for collection in axis.collections if len(collection.get_offsets()) > 1)  # type: ignore[arg-type, misc]
    assert dots == len(rows)
    low, high = axis.get_ylim()
    assert low > high  # the best is on top


def test_the_dominated_area_is_that_of_the_staircase() -> None:
    assert plots._dominated_area(np.array([[0.0, 0.0]])) == 1
    assert plots._dominated_area(np.array([[0.5, 0.5], [0.25, 0.75], [0.9, 0.9]])) == pytest.approx(0.3125)


def test_a_reference_is_drawn_beside_what_is_like_it(hue: StudyFolder, best: Any, spaces: Path) -> None:
    reference = study.read(spaces / "hue-deletion.toml").setting()  # whose Subspace is named subspace, at another layer
    vibrant = reference.model_copy(update={"labels": hue.setting(best[0]).labels})
    figure = plots.schedules({"best": hue.setting(best[0])}, {"reference": vibrant})
    planar = figure.axes[2]
    assert planar.get_title() == "weight of planar"
    (drawn,) = [line for line in planar.lines if line.get_label() == "reference"]
    expected = reference.schedule.table()["subspace"]
    assert drawn.get_ydata() == pytest.approx(np.where(expected > 0, expected, np.nan), nan_ok=True)


def test_the_trade_off_draws_every_complete_trial_in_turn(hue: StudyFolder, best: Any) -> None:
    complete = hue.trials()[hue.trials().state == "complete"]
    texts = [f"trial {trial}" for trial in complete.trial]
    parts = ["utility", "hue_blindness"]
    (axis,) = plots.trade_off(complete, parts, best, texts, "isolation").axes
    others, bests = axis.collections[:2]
    assert [*others.get_urls(), *bests.get_urls()] == sorted(texts, key=lambda text: int(text[6:]) in best)
    low, high = axis.get_xlim()
    expected = complete[complete.trial.isin(best)]["utility.mean"].clip(low, high)
    assert np.asarray(bests.get_offsets())[:, 0] == pytest.approx(expected.to_numpy())
    assert "equal isolation" in [text.get_text() for text in axis.get_legend().get_texts()]
    (plain,) = plots.trade_off(complete, parts, best, texts).axes
    assert len(plain.get_legend().get_texts()) == len(best)  # no curves


def test_a_product_is_seen_in_the_data(hue: StudyFolder) -> None:
    final, parts = hue.final(), ["utility", "hue_blindness"]
    assert plots.is_product(final, "isolation", parts)
    assert not plots.is_product(final, "hue_residual", parts)
    assert not plots.is_product(final, "isolation", parts[:1])
