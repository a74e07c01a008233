import doctest
from typing import Any

import pytest
from scipy import stats

from analysis import words
from study.record.folder import StudyFolder
from study.search.goal import Goal


def test_the_favourite_counts_trials_and_gives_the_bests_spread(hue: StudyFolder) -> None:
    said = words.favourite(hue)
    best = hue.best().iloc[0]
    states = hue.trials().state.value_counts()
    assert f"The search's favourite of 14 settings ({states['complete']} complete, {states['stopped']} stopped)" in said
    assert f"{best['isolation.mean']:.3f} ± {best['isolation.sd']:.3f} (sd over 4 seeds)" in said
    assert f"worst seed {best['isolation.min']:.3f}" in said
    assert (
        f"Its utility is {best['utility.mean']:.3f} and its hue blindness is {best['hue_blindness.mean']:.3f}" in said
    )


def test_a_favourite_by_another_aggregate_says_by_which(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert " by the " not in words.favourite(hue)
    monkeypatch.setitem(hue.__dict__, "goal", Goal(hue.metrics, aggregate="p10"))
    best = hue.best().iloc[0]
    assert f", by the 10th percentile of isolation, {best['value']:.3f}, is trial {best.trial}" in words.favourite(hue)


def test_of_a_metric_of_which_less_is_better_the_worst_tenth_is_above(
    hue: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (hue.goal.sign, words.percentile(hue), words.score_of(hue)) == (1, "10th percentile", "isolation")
    monkeypatch.setitem(hue.__dict__, "goal", Goal(hue.metrics, objectives=("hue_residual",), aggregate="lcb"))
    assert (hue.goal.sign, words.percentile(hue), words.score_of(hue)) == (
        -1,
        "90th percentile",
        "minus hue_residual",
    )
    assert words.aggregate(hue) == "upper bound of the mean"
    assert "worst seed" not in words.favourite(hue)  # trials.parquet has only that of the best seeds


def test_ties_are_those_that_a_paired_test_cannot_tell_and_that_fail_no_more(hue: StudyFolder) -> None:
    replicas = hue.replicas()
    final = replicas[replicas.step == 300].pivot_table(index="seed", columns="trial", values="isolation")
    best, *others = hue.best(14).trial.tolist()
    failures = (final < 0.5).sum()
    equal = [t for t in others if stats.ttest_rel(final[best], final[t]).pvalue > 0.05]
    expected = [t for t in equal if failures[t] <= failures[best]]
    assert words.tied_with_best(hue) == expected
    at_level_0 = [t for t in others if failures[t] <= failures[best]]  # at which nothing can be told apart
    assert words.tied_with_best(hue, level=0) == at_level_0
    for tie in expected[:5]:
        assert str(tie) in words.favourite(hue)


def test_one_failed_seed_ends_a_tie(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    best, other = hue.best(2).trial
    replicas = hue.replicas()
    for trial in (best, other):  # equally good
        replicas.loc[(replicas.trial == trial) & (replicas.step == 300), "isolation"] = [0.9, 0.91, 0.92, 0.93]
    monkeypatch.setattr(type(hue), "replicas", lambda _: replicas)
    assert other in words.tied_with_best(hue)
    replicas.loc[(replicas.trial == other) & (replicas.step == 300), "isolation"] = [0.9, 0.91, 0.92, 0.1]
    assert other not in words.tied_with_best(hue)


def test_failed_is_diverged_or_worse_than_declared(hue: StudyFolder) -> None:
    final = hue.final()
    expected = final.diverged | (final.isolation < 0.5)
    assert hue.goal.failed(final).tolist() == expected.tolist()
    assert words.failures(hue) == "diverged, or had isolation below 0.5"


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (list("abcdef"), "a, b, c, d, e and f"),  # not "and 1 others"
        (list("abcdefg"), "a, b, c, d, e and 2 others"),
    ],
)
def test_lists_read_as_a_persons(items: Any, text: Any) -> None:
    assert words.listed(items) == text


def test_the_examples_do_what_they_say() -> None:
    assert doctest.testmod(words) == (0, 3)


def test_no_favourite_without_a_complete_trial(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = hue.trials().assign(state="stopped")
    monkeypatch.setattr(type(hue), "trials", lambda _: trials)
    with pytest.raises(ValueError, match="no trial is complete"):
        words.favourite(hue)


def test_references_are_the_experiments_by_their_files_names(hue: StudyFolder) -> None:
    assert list(words.references(hue)) == ["hue-deletion", "subspace-ablation"]
    assert words.references(hue)["subspace-ablation"].title == "Subspace ablation, where this project began"
