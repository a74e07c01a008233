"""What the exempted trials say, of a real study and of made-up ones."""

import pytest
from scipy import stats

from analysis.audit import audit, in_words, whole
from study.record.folder import StudyFolder
from study.search.goal import Goal


def test_a_real_audit_counts_what_was_spared_and_saved(hue: StudyFolder) -> None:
    found, trials = audit(hue), hue.trials()
    assert found.exempted == trials.audited.sum() > 0
    stopped = trials[(trials.state == "stopped") & ~trials.audited]
    assert found.saved == pytest.approx((300 - stopped.steps).sum() / (300 * len(trials)))
    final = hue.final().groupby("trial").isolation.mean()
    best = final[trials[trials.state == "complete"].trial].max()
    assert found.winners == [t for t in trials[trials.audited].trial if final[t] > best]
    assert f"saved {found.saved:.0%} of all optimizer steps" in in_words(found)


def test_ranks_are_spearmans_over_the_trials_that_ran_to_the_end(hue: StudyFolder) -> None:
    found = audit(hue)
    means = hue.replicas().groupby(["trial", "step"]).isolation.mean().unstack().dropna()
    assert len(means) == (hue.trials().state.eq("complete") | hue.trials().audited).sum()
    for step, row in found.ranks.iterrows():
        assert row["rank correlation"] == pytest.approx(stats.spearmanr(means[step], means[300]).statistic)
        assert row["low"] <= row["rank correlation"] <= row["high"]
        assert row["trials"] == len(means)


def test_a_spared_trial_that_breaks_a_constraint_has_not_won(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = whole(hue)
    best_spared = ended[ended.audited].value.max()
    complete = hue.trials().trial[hue.trials().state == "complete"]
    replicas = hue.replicas()
    replicas.loc[replicas.trial.isin(complete), "isolation"] = best_spared / 2
    monkeypatch.setattr(type(hue), "replicas", lambda _: replicas)
    won = audit(hue).winners
    assert won
    assert "**Stopping early lost " in in_words(audit(hue))
    replicas.loc[replicas.trial.isin(won), "utility"] = 0
    monkeypatch.setitem(hue.__dict__, "goal", Goal(hue.metrics, constraints=("utility >= 0.001",)))
    assert audit(hue).winners == []


def test_a_study_without_an_audit_says_how_to_have_one(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = hue.trials().assign(audited=False)
    monkeypatch.setattr(type(hue), "trials", lambda _: trials)
    found = audit(hue)
    assert found.exempted == 0
    assert found.chance == (0.0, 1.0)
    assert "study run --audit 0.1" in in_words(found)
