"""Objectives, constraints, samplers, schedulers and budgets in real, small studies."""

import pytest

import study
from study.report import write_report

SMALL = ("--seeds", 2, "--steps", 40, "--cpus", 2, "--confirm", 0)


@pytest.fixture
def search(spaces, tmp_path, command):
    def run(*options):
        done = command("run", spaces / "hue.toml", "--name", "it", "--out", tmp_path, *SMALL, *options)
        assert done.returncode == 0, done.stderr
        return study.load(tmp_path / "it")

    return run


def test_several_objectives_have_a_front_and_a_report_of_it(search):
    folder = search("--trials", 12, "--scheduler", "median", "--objective", "utility", "--objective", "hue_residual")
    assert [direction.name for direction in folder.optuna().directions] == ["MAXIMIZE", "MINIMIZE"]
    complete, front = folder.trials[folder.trials.state == "complete"], folder.front()
    for _, trial in complete.iterrows():
        beaten = (complete["value.utility"] > trial["value.utility"]) & (
            complete["value.hue_residual"] < trial["value.hue_residual"]
        )
        assert not (beaten.any() and trial.trial in front.trial.tolist())
    assert "What can be had at once" in write_report(folder).read_text()


def test_constraints_reach_optuna_and_what_breaks_them_is_no_answer(search):
    folder = search("--trials", 12, "--sampler", "gp", "--constraint", "utility >= 0.8", "--scheduler", "none")
    rows = folder.trials.set_index("trial")
    for trial in folder.optuna().trials:
        broken = trial.constraints["utility >= 0.8"]
        assert broken == pytest.approx(0.8 - rows["utility.mean"][trial.number], abs=1e-6)
        assert rows.feasible[trial.number] == (broken <= 0)
    assert 0 < len(folder.best(12)) == rows.feasible.sum() < 12


def test_other_samplers_and_aggregates_go_by_their_names(search):
    folder = search("--trials", 8, "--sampler", "cmaes", "--scheduler", "hyperband", "--aggregate", "p10")
    assert len(folder.trials) == 8
    proposed = [tuple(trial.params.values()) for trial in folder.optuna().trials]
    assert len(set(proposed)) == 8
    whole = folder.trials[folder.trials.state == "complete"]
    assert whole["value"].tolist() == pytest.approx(whole["isolation.p10"].tolist())


def test_a_budget_in_minutes_ends_the_search_and_trials_end_by_themselves(search):
    folder = search("--minutes", 0.2, "--sampler", "qmc", "--scheduler", "none")
    assert len(folder.trials)
    assert folder.trials.state.eq("complete").all()
    assert all(trial.state.is_finished() for trial in folder.optuna().trials)
