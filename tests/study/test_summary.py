from types import SimpleNamespace

import optuna
import pytest

from study import summary


def test_importances_are_shares_and_find_what_matters():
    search = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    search.optimize(lambda t: -abs(t.suggest_float("x", -1, 1)) + 0.01 * t.suggest_float("y", 0, 1), n_trials=200)
    shares = summary.importances(SimpleNamespace(optuna=lambda: search))
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares) == ["x", "y"]
    assert shares["x"] > 0.9


def test_too_few_complete_trials_have_no_importances(outcomes):
    assert (outcomes.trials.state == "complete").sum() < 10
    assert summary.importances(outcomes) == {}


def test_a_metrics_table_counts_the_diverged(outcomes):
    diverged = outcomes.trials[outcomes.trials.state == "diverged"].trial.iloc[0]
    rows = outcomes.replicas[outcomes.replicas.trial == diverged]
    table = summary.metrics(rows)
    assert table.row_count == len(summary.metric_names(rows)) == 8
    assert "2 of them diverged" in table.caption
