from typing import Any

import pytest

from analysis import confirmed
from study.evidence.ranking import ranking
from study.record.folder import StudyFolder
from study.registry import Source
from study.search.goal import Goal


def test_the_confirmed_answer_is_the_rankings(hue: StudyFolder) -> None:
    said, ranked = confirmed.answer(hue), ranking(hue.confirmation(), hue)
    top, reference = ranked.iloc[0], ranked[ranked.setting == "hue-deletion"].iloc[0]
    assert f"is best: mean isolation {top['mean']:.3f} (95% interval" in said
    assert f"The setting `hue-deletion` (“Hue deletion”) has {reference['mean']:.3f}" in said
    best = ranked[ranked.trial.notna()].iloc[0]
    assert f"The search had measured {best.searched:.3f} for {best.setting}, {abs(best.optimism):.3f}" in said
    for name in ranked.setting[1:][ranked.tied[1:]]:
        assert name.lower() in said.lower().partition(" with it")[0]


def test_a_search_that_found_nothing_better_says_so(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    worse = hue.confirmation()
    worse.loc[worse.trial.notna(), "isolation"] /= 10
    monkeypatch.setattr(type(hue), "confirmation", lambda _: worse)
    assert "**The search found nothing better.**" in confirmed.answer(hue)


@pytest.fixture
def scored(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the confirmed trials scores on the 64 seeds, by a function of the trial's place and the seed's."""

    def give(function: Any) -> Any:
        rows = hue.confirmation()
        trials = rows.trial.dropna().unique()
        for place, trial in enumerate(trials):
            rows.loc[rows.trial == trial, "isolation"] = [function(place, seed) for seed in range(64)]
        monkeypatch.setattr(type(hue), "confirmation", lambda _: rows)
        return [f"trial {trial}" for trial in trials]

    return give


def test_failures_are_said_beside_the_best_and_are_no_tie(hue: StudyFolder, scored: Any) -> None:
    safe, risky = scored(lambda place, seed: 0.09 if place and seed == 7 else 0.95 + 0.0001 * (seed % 9))
    said = confirmed.answer(hue)
    assert f"{safe} is best: " in said
    assert "no seed failed" in said
    assert "No other confirmed setting ties with it." in said
    assert f"More seeds fail with {risky} (1 of 64)." in said
    assert "No other confirmed setting is measurably safer." in said


def test_the_safest_is_named_if_it_is_not_the_best(hue: StudyFolder, scored: Any) -> None:
    mean, safe = scored(lambda place, seed: 0.9 if place else 0.1 if seed == 7 else 0.95)
    said = confirmed.answer(hue)
    assert f"{mean} is best: " in said
    assert "1 of 64 seeds failed.**" in said
    assert f"**The safest is {safe}**: no seed failed, 10th percentile 0.900, worst seed 0.900, mean 0.900." in said


def test_another_aggregate_is_not_taken_for_the_mean(
    hue: StudyFolder, scored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert " by the " not in confirmed.answer(hue)
    _, steady = scored(lambda place, seed: 0.9 if place else 0.99 if seed > 8 else 0.7)
    monkeypatch.setitem(hue.__dict__, "goal", Goal(hue.metrics, aggregate="p10"))
    assert f"{steady} is best by the 10th percentile of isolation, 0.900: mean isolation 0.900" in confirmed.answer(hue)


def test_without_the_experiment_settings_are_named_without_their_titles(
    hue: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "The setting `hue-deletion` (“" in confirmed.answer(hue)
    monkeypatch.setitem(hue.__dict__, "source", Source("mine"))  # which is not here
    assert "The setting `hue-deletion` has " in confirmed.answer(hue)
