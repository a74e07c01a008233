import pytest
from scipy import stats

from analysis import words
from study.evidence.ranking import ranking


def test_the_answer_counts_trials_and_gives_the_bests_spread(hue):
    answer = words.answer(hue)
    best = hue.best().iloc[0]
    states = hue.trials.state.value_counts()
    assert f"The best of 14 settings ({states['complete']} complete, {states['stopped']} stopped)" in answer
    assert f"{best['isolation.mean']:.3f} ± {best['isolation.sd']:.3f} (sd over 4 seeds)" in answer
    assert f"worst seed {best['isolation.min']:.3f}" in answer


def test_ties_are_those_that_a_paired_test_cannot_tell(hue):
    replicas = hue.replicas
    final = replicas[replicas.step == 300].pivot_table(index="seed", columns="trial", values="isolation")
    best, *others = hue.best(14).trial.tolist()
    expected = [t for t in others if stats.ttest_rel(final[best], final[t]).pvalue > 0.05]
    assert words.tied_with_best(hue) == expected
    assert words.tied_with_best(hue, level=0) == others  # at level 0 nothing can be told apart
    for tie in expected[:5]:
        assert str(tie) in words.answer(hue)


def test_the_table_has_every_metric_and_parameter(hue):
    table = words.best_table(hue, 2)
    measured = {name.removesuffix(".mean") for name in hue.trials if name.endswith(".mean")}
    assert list(table.columns) == [f"trial {trial}" for trial in hue.best(2).trial]
    assert set(table.index) >= {*measured, *hue.space.distributions}
    assert measured <= set(hue.metrics)


def test_no_answer_without_a_complete_trial(hue, monkeypatch):
    trials = hue.trials.assign(state="stopped")
    monkeypatch.setattr(type(hue), "trials", trials)
    with pytest.raises(ValueError, match="no trial is complete"):
        words.answer(hue)


def test_the_confirmed_answer_is_the_rankings(hue):
    said, ranked = words.confirmed(hue), ranking(hue.confirmation, hue)
    top, reference = ranked.iloc[0], ranked[ranked.setting == "published"].iloc[0]
    assert f"{top.setting} is best: isolation {top['mean']:.3f} (95% interval" in said
    assert (
        f"The published setting (“The published hue deletion (experiment 2.7.1)”) has {reference['mean']:.3f}" in said
    )
    best = ranked[ranked.trial.notna()].iloc[0]
    assert f"The search had measured {best.searched:.3f} of {best.setting}, {abs(best.optimism):.3f} too" in said
    for name in ranked.setting[1:][ranked.tied[1:]]:
        assert name in said.partition("It ties with ")[2].partition(".")[0]
    table = words.ranking_table(ranked)
    assert table["mean"].iloc[0].startswith(f"{top['mean']:.3f} [{top['mean.low']:.3f}")


def test_a_search_that_found_nothing_better_says_so(hue, monkeypatch):
    worse = hue.confirmation
    worse.loc[worse.trial.notna(), "isolation"] /= 10
    monkeypatch.setattr(type(hue), "confirmation", worse)
    assert "**The search found nothing better**: trial" in words.confirmed(hue)


def test_tooltips_tell_a_trials_setting(hue):
    told = words.tooltips(hue.trials, ["peak", "separate.power"])
    row = hue.trials.iloc[3]
    assert told[3].splitlines()[0].startswith(f"trial {row.trial}: isolation {row['isolation.mean']:.3f}")
    assert told[3].splitlines()[2] == f"separate.power = {row['param.separate.power']}"


def test_named_colours_are_swatches_of_what_is_answered(hue):
    trial = int(hue.best().trial.iloc[0])
    model = hue.model(trial)
    table = words.named_colors(model, hue.setting(trial).ablation.apply(model), 0)
    assert table.shape == (17, 4)
    assert "#ff0000" in table.loc["red", "true"]
    assert "#808080" in table.loc["red", "oracle"]


def test_ties_are_named_as_in_a_sentence(hue):
    tied = words.tied_with_best(hue)
    assert words.ties(hue)[: len(tied[:5])] == [f"trial {trial}" for trial in tied[:5]]
