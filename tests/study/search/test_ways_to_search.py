"""Objectives, constraints, samplers, schedulers, removals and budgets in real, small studies."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import study

pytestmark = pytest.mark.live

SMALL = ("--seeds", 2, "--steps", 40, "--cpus", 1, "--confirm", 0, "--no-report")
OBJECTIVES = ("--objective", "utility", "--objective", "hue_residual", "--constraint", "utility >= 0.8")
WAYS = {
    "objectives": ("hue", "--trials", 10, "--sampler", "gp", *OBJECTIVES, "--scheduler", "median"),
    "names": ("hue", "--trials", 8, "--sampler", "cmaes", "--scheduler", "hyperband", "--aggregate", "p10"),
    "minutes": ("unregularized", "--minutes", 0.4, "--scheduler", "none", "--rungs", 1),
    "removals": ("unregularized", "--trials", 10, "--sampler", "qmc", "--scheduler", "none", "--rungs", 1),
}


@pytest.fixture(scope="module")
def studies(
    spaces: Path, tmp_path_factory: pytest.TempPathFactory, command: Callable[..., subprocess.CompletedProcess[str]]
) -> Any:
    """A study of each way, all at once, as a small one mostly waits."""
    out = tmp_path_factory.mktemp("runs")
    for path in spaces.iterdir():
        kinds = path.read_text().replace('kind = "leace"', 'kind = "choice(ablate, prune, suppress, repel, leace)"')
        (out / path.name).write_text(kinds)

    def run(name: Any) -> Any:
        space, *options = WAYS[name]
        return command("run", out / f"{space}.toml", "--name", name, "--out", out, *SMALL, *options)

    with ThreadPoolExecutor() as together:
        for done in together.map(run, WAYS):
            assert done.returncode == 0, done.stderr
    return {name: study.load(out / name) for name in WAYS}


def test_no_trial_of_the_front_is_beaten_in_every_objective(studies: Any) -> None:
    folder = studies["objectives"]
    assert [direction.name for direction in folder.optuna().directions] == ["MAXIMIZE", "MINIMIZE"]
    complete, front = folder.trials()[folder.trials().state == "complete"], folder.front()
    for _, trial in complete.iterrows():
        beaten = (complete["value.utility"] > trial["value.utility"]) & (
            complete["value.hue_residual"] < trial["value.hue_residual"]
        )
        assert not (beaten.any() and trial.trial in front.trial.tolist())


def test_constraints_reach_optuna_and_what_breaks_them_is_no_answer(studies: Any) -> None:
    folder = studies["objectives"]
    rows = folder.trials().set_index("trial")
    for trial in folder.optuna().trials:
        broken = trial.constraints["utility >= 0.8"]
        assert broken == pytest.approx(0.8 - rows["utility.mean"][trial.number], abs=1e-6)
        assert rows.feasible[trial.number] == (broken <= 0)
    complete = rows[rows.state == "complete"]
    assert 0 < len(folder.best(12)) == complete.feasible.sum() < len(rows)


def test_other_samplers_and_aggregates_go_by_their_names(studies: Any) -> None:
    folder = studies["names"]
    assert len(folder.trials()) == 8
    proposed = [tuple(trial.params.values()) for trial in folder.optuna().trials]
    assert len(set(proposed)) == 8
    whole = folder.trials()[folder.trials().state == "complete"]
    assert whole["value"].tolist() == pytest.approx(whole["isolation.p10"].tolist())


def test_a_budget_in_minutes_ends_the_search_and_trials_end_by_themselves(studies: Any) -> None:
    folder = studies["minutes"]
    assert len(folder.trials())
    assert folder.trials().state.eq("complete").all()
    assert all(trial.state.is_finished() for trial in folder.optuna().trials)


def test_a_study_can_ask_which_removal_is_best(studies: Any) -> None:
    by_kind = studies["removals"].trials().groupby("param.ablation.kind")["isolation.mean"].first()
    assert len(by_kind) >= 4
    assert by_kind.idxmax() == "leace"  # which finds hue wherever it is; nothing put it into dims 0 and 1
