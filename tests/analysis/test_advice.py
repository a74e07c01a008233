"""What a reader is told to do."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import advice, effects
from analysis.responses import Responses, responses
from study.evidence.ranking import ranking
from study.record.folder import StudyFolder


@pytest.fixture(scope="module")
def known(hue: StudyFolder) -> Any:
    """The shares and plateaus of a study, and what was found of its trials."""
    trials, distributions = hue.trials(), hue.space.distributions
    noise = effects.noise(trials, 4, "isolation")
    free = effects.plateaus(trials, distributions, noise)
    return noise, effects.importances(trials, distributions), free, responses(trials, distributions, free)


def test_the_best_confirmed_trial_is_chosen_and_else_the_searchs_favourite(hue: StudyFolder) -> None:
    ranked = ranking(hue.confirmation(), hue)
    choice = advice.choose(hue, ranked)
    assert choice.trial == ranked.trial.dropna().iloc[0]
    assert choice.ties == ranked.setting[1:][ranked.tied[1:]].tolist()
    assert advice.choose(hue, None).trial == hue.best().trial.item()


def test_a_better_reference_is_to_be_set(hue: StudyFolder, known: Any) -> None:
    ranked = ranking(hue.confirmation(), hue).assign(tied=False)
    ranked.loc[len(ranked)] = ranked.iloc[0]
    ranked = ranked.sort_index(key=lambda i: (i + 1) % len(ranked), ignore_index=True)
    ranked.loc[0, ["setting", "trial", "tied"]] = ["hue-deletion", pd.NA, True]  # type: ignore[assignment]
    choice = advice.choose(hue, ranked)
    assert choice.better == "hue-deletion"
    said = advice.recommended(hue, choice, known[1], known[2])
    assert said.startswith("**What to set:** the setting `hue-deletion`")
    assert f"study export hue {choice.trial}" in said


def test_the_dearest_to_leave_is_listed_first(hue: StudyFolder, known: Any) -> None:
    _, shares, free, _ = known
    shares = shares.assign(**dict.fromkeys(shares.filter(like="PED"), 0.1))  # all set the best trials apart
    names = list(advice.important(shares))
    lost = {name: {"mean": 0.1 * place, "low": -0.0001, "high": 0.2 * place} for place, name in enumerate(names)}
    costs = pd.DataFrame.from_dict(lost, orient="index")
    table = advice.recommendations(shares, free, hue.row(3).iloc[0], Responses({}, costs, 0.5))
    assert table.index.tolist() == names[::-1]
    assert table["lost outside"].iloc[-1] == "nothing"
    assert table["lost outside"].iloc[0].startswith(f"{0.1 * (len(names) - 1):.3f} [0.000, ")


def test_what_the_best_trials_do_not_depend_on_is_not_to_keep(hue: StudyFolder, known: Any) -> None:
    _, shares, free, _ = known
    first, second = shares.index[:2]
    shares = shares.assign(**dict.fromkeys(shares, 0.0))
    shares.loc[[first, second], [name for name in shares if name.startswith("fANOVA")]] = 0.4
    shares.loc[first, [name for name in shares if name.startswith("PED")]] = 0.3
    best, unknown = hue.row(3).iloc[0], Responses({}, pd.DataFrame(), np.nan)
    assert advice.recommendations(shares, free, best, unknown).index.tolist() == [first]
    assert advice.not_to_keep(shares, free, unknown).startswith(f"Not listed: {second}, ")
    costs = pd.DataFrame({"mean": 0.1, "low": [0.05], "high": 0.2}, index=[second])  # leaving it costs something
    dear = Responses({}, costs, 0.5)
    assert advice.recommendations(shares, free, best, dear).index.tolist() == [second, first]
    assert advice.not_to_keep(shares, free, dear) == ""


@pytest.mark.parametrize("width", [0.0, 1.0])
def test_parameters_that_hardly_matter_are_counted(hue: StudyFolder, known: Any, width: Any) -> None:
    """A plateau as wide as chance says nothing; a narrow one does."""
    _, shares, free, _ = known
    wide = free.assign(share=width, **{"by chance": 1.0})
    said = advice.recommended(hue, advice.Choice(3, []), shares, wide)
    others = len(free) - len(advice.important(shares))
    assert (f"{others} of the other {others} parameters hardly matter" in said) == bool(width)


def test_of_too_few_trials_no_more_is_said(hue: StudyFolder, known: Any) -> None:
    _, shares, free, _ = known
    choice = advice.Choice(3, [])
    assert "too few trials to tell" in advice.recommended(hue, choice, shares.head(0), free)
    assert advice.recommended(hue, choice, shares, free.head(0)).endswith("may be moved is not known.")


def test_what_is_not_known_names_ties_and_noise(hue: StudyFolder, known: Any) -> None:
    noise, shares, _, found = known
    said = advice.unknown(hue, advice.Choice(3, [f"trial {n}" for n in range(6)]), noise, shares, found)
    assert "trial 0, trial 1, trial 2, trial 3, trial 4 and trial 5 cannot be told apart from it" in said
    assert f"less than {noise:.3f}" in said
    assert "not 300 steps long" in said
    assert not np.isnan(noise)
