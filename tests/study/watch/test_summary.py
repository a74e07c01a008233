import io
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from rich.console import Console

from anchoring.dopesheet import Dopesheet
from study.experiment import Metric
from study.record.folder import StudyFolder
from study.record.tables import metric_names
from study.search.goal import Goal
from study.space.space import Space
from study.watch import summary


def test_importances_are_shares_and_find_what_matters(tmp_path: Path) -> None:
    (tmp_path / "optuna.journal").touch()
    search = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    search.optimize(lambda t: -abs(t.suggest_float("x", -1, 1)) + 0.01 * t.suggest_float("y", 0, 1), n_trials=200)
    shares = summary.importances(
        SimpleNamespace(goal=Goal({"isolation": Metric("", diverged=0.0)}), optuna=lambda: search, path=tmp_path)  # type: ignore[arg-type]
    )
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares) == ["x", "y"]
    assert shares["x"] > 0.9


def test_too_few_complete_trials_have_no_importances(outcomes: StudyFolder) -> None:
    assert (outcomes.trials().state == "complete").sum() < 10
    assert summary.importances(outcomes) == {}


def test_a_metrics_table_counts_the_diverged(outcomes: StudyFolder) -> None:
    diverged = outcomes.trials()[outcomes.trials().state == "diverged"].trial.iloc[0]
    rows = outcomes.replicas()[outcomes.replicas().trial == diverged]
    table = summary.metrics(rows)
    assert table.row_count == len(metric_names(rows)) == 8
    assert "2 diverged" in table.caption


def test_a_schedule_is_drawn_with_its_keys_and_what_has_no_column(spaces: Path) -> None:
    setting = Space.read(spaces / "subspace-ablation.toml").setting({})
    bare = Dopesheet.parse([["STEP", "lr"], ["0", "1e-3"], ["99", "1"]])
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(summary.drawn_schedule(bare, setting.regularizers, width=20))
    text = console.export_text()
    assert "▁" in text
    assert "█" in text
    assert "o" + " " * 18 + "o" in text
    assert text.count("no column, weight 1") == 5
