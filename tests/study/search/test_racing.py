"""A race: what is stopped and what is not, what a raced trial leaves, and a small study that races for real."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from optuna.trial import TrialState as OptunaState
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from scipy import stats

import study
from anchoring import InputError
from study.experiment import Metric
from study.record.lock import driving
from study.record.recovery import reconcile
from study.record.trial_state import TrialState
from study.record.weights import joined
from study.search import journal, worker
from study.search.goal import Goal
from study.search.plan import Plan
from study.search.racing import Race
from study.search.run import run
from study.search.schedulers import scheduler, scores
from study.search.trial import RUNG, SCORE, Report, TrialRecord
from study.space.space import Space

STEPS = 100
PLAN = Plan(race=True, seeds=16)
GOAL = Goal({"depth": Metric("how deep", diverged=0.0), "width": Metric("how wide", diverged=0.0)})


def rows_of(seeds: list[int], depths: Any, widths: Any = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"seed": seeds, "step": STEPS, "diverged": False, "depth": depths, "width": widths})


class Trials:
    """Trials that run one after the other, as Ray Tune would tell a race of them."""

    def __init__(
        self, goal: Goal = GOAL, inner: TrialScheduler | None = None, past: pd.DataFrame | None = None
    ) -> None:
        self.record: Any = None
        self.race = Race(inner or FIFOScheduler(), goal, lambda _: self.record, past)
        self.goal = goal

    def run(self, number: int, depths: np.ndarray, widths: float = 1.0) -> int:
        """With how many seeds a trial ended, whose replicas reach these depths."""
        trial: Any = SimpleNamespace(trial_id=str(number))
        self.record = TrialRecord(optuna.trial.FixedTrial({}), self.goal)  # type: ignore[arg-type]
        self.race.on_trial_add(None, trial)
        for heat, seeds in enumerate(PLAN.heats, start=1):
            rows, whole = rows_of(seeds, depths[: len(seeds)], widths), heat == len(PLAN.heats)
            depths = depths[len(seeds) :]
            state = TrialState.COMPLETE if whole else TrialState.STOPPED
            report = Report(state, STEPS, 0.0, rows, {STEPS: [0.0]}, heats=heat)
            result = {RUNG: 1, SCORE: 0.0, "report": report}
            decision = TrialScheduler.STOP if whole else self.race.on_trial_result(None, trial, result)
            self.record.reports.append(report)
            if decision == TrialScheduler.STOP:
                break
        self.race.on_trial_complete(None, trial, {RUNG: 1, SCORE: 0.0})
        return len(self.record.final)


def slowly(trials: list[np.ndarray]) -> list[int]:
    """With how many seeds each trial ends, by the definition: Student's t by hand, the best of all complete trials."""
    ends = [4, 8, 16]
    complete: list[np.ndarray] = []
    seeds = []
    for depths in trials:
        best = max(complete, key=np.mean) if complete else None
        for n in ends:
            apart = None if best is None else depths[:n] - best[:n]
            if n < 16 and apart is not None:
                se = math.sqrt(sum((apart - apart.mean()) ** 2) / (n - 1) / n)
                if apart.mean() < 0 and (se == 0 or stats.t.cdf(apart.mean() / se, n - 1) < 0.05):
                    break
        else:
            complete.append(depths)
        seeds.append(n)
    return seeds


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0, 0.3), st.integers(1, 12))
def test_a_race_stops_what_a_slow_reference_stops(seed: int, spread: float, n: int) -> None:
    random = np.random.default_rng(seed)
    trials = [0.5 + random.normal(0, spread) + random.normal(0, 0.05, 16) for _ in range(n)]
    together = Trials()
    assert [together.run(number, depths) for number, depths in enumerate(trials)] == slowly(trials)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.floats(0, 0.5))
def test_what_equals_the_incumbent_or_is_better_on_every_seed_is_never_stopped(seed: int, by: float) -> None:
    depths = np.random.default_rng(seed).normal(0.5, 0.1, 16)
    together = Trials()
    assert [together.run(0, depths), together.run(1, depths), together.run(2, depths + by)] == [16, 16, 16]
    assert together.run(3, depths - 0.01) == 4  # the control: a little worse on every seed


def test_a_trial_as_good_as_the_incumbent_is_seldom_stopped() -> None:
    random = np.random.default_rng(0)
    seeds = [
        Trials(past=rows_of(PLAN.replica_seeds, random.normal(0.5, 0.1, 16))).run(0, random.normal(0.5, 0.1, 16))
        for _ in range(150)
    ]
    assert 0.02 < np.mean(np.array(seeds) < 16) < 0.15  # two tests at 5%


def test_what_breaks_a_constraint_is_no_incumbent() -> None:
    together = Trials(Goal(GOAL.metrics, constraints=("width >= 0.5",)))
    noise = np.random.default_rng(0).normal(0, 0.01, 16)
    assert together.run(0, 0.9 + noise, widths=0.1) == 16
    assert together.race.incumbent is None
    assert together.run(1, 0.5 + noise) == 16
    assert together.run(2, 0.3 + noise) == 4


def test_a_race_begun_anew_goes_on_as_if_it_had_seen_the_past() -> None:
    random = np.random.default_rng(3)
    trials = [0.5 + random.normal(0, 0.1) + random.normal(0, 0.1, 16) for _ in range(40)]
    whole = Trials()
    seeds = [whole.run(number, depths) for number, depths in enumerate(trials)]
    complete = [depths for depths, n in zip(trials[:20], seeds, strict=False) if n == 16]
    best = max(complete, key=np.mean)
    again = Trials(past=rows_of(PLAN.replica_seeds, best))
    assert [again.run(number, depths) for number, depths in enumerate(trials[20:], start=20)] == seeds[20:]
    assert len(set(seeds)) == 3


def test_the_scheduler_within_knows_only_the_first_heat() -> None:
    class Noted(FIFOScheduler):
        known: list[str] = []

        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            self.known.append("added")

        def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
            self.known.append("complete")

    inner = Noted()
    Trials(inner=inner).run(0, np.ones(16))
    assert inner.known == ["added", "complete"]


@pytest.mark.parametrize("died_in", ["first", "second"])
def test_a_trial_whose_worker_died_races_anew(died_in: str) -> None:
    together = Trials(inner=scheduler("asha", 4))
    trial: Any = SimpleNamespace(trial_id="0")
    together.record = TrialRecord(optuna.trial.FixedTrial({}), GOAL)  # type: ignore[arg-type]
    together.race.on_trial_add(None, trial)
    for heats in range(["first", "second"].index(died_in) + 1):
        report = Report(TrialState.STOPPED, STEPS, 0.0, rows_of(PLAN.heats[0], 0.5), {STEPS: [0.5]}, heats=heats)
        together.race.on_trial_result(None, trial, {RUNG: 2, SCORE: 0.5, "report": report})
    together.race.on_trial_error(None, trial)
    assert together.run(0, np.ones(16)) == 16


# The plan


@pytest.mark.parametrize(("seeds", "heats"), [(8, [4, 4]), (16, [4, 4, 8]), (20, [5, 5, 10]), (9, [4, 5])])
def test_heats_double_and_are_all_seeds(seeds: int, heats: list[int]) -> None:
    plan = Plan(race=True, seeds=seeds, seed=2)
    assert [len(heat) for heat in plan.heats] == heats
    assert [seed for heat in plan.heats for seed in heat] == plan.replica_seeds
    assert Plan(seeds=seeds, race=False).heats == [Plan(seeds=seeds).replica_seeds]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"seeds": 7}, "--race: found --seeds 7, expected 8 or more, to begin with 4"),
        ({"objectives": ("depth", "distance")}, "--race: found 2 objectives, expected one"),
        ({"aggregate": "p10"}, "--race: found --aggregate p10, expected mean"),
        ({"audit": 0.1}, "--race: found --audit, which exempts trials from stopping, expected one of the two"),
    ],
)
def test_a_plan_that_cannot_race_says_so_in_a_line(options: Any, found: str) -> None:
    with pytest.raises(InputError) as error:
        Plan(race=True, **options)
    assert str(error.value).startswith(found)
    assert "\n" not in str(error.value)


def test_a_race_is_the_default_where_trials_can_race_and_no_scheduler_is_named() -> None:
    assert (Plan().races, Plan().stopped_by) == (True, "none")
    cannot: list[dict[str, Any]] = [{"seeds": 7}, {"objectives": ("a", "b")}, {"aggregate": "lcb"}, {"audit": 0.5}]
    for options in cannot:
        assert (Plan(**options).races, Plan(**options).stopped_by) == (False, "asha")
    for name in ("asha", "none"):
        assert (Plan(scheduler=name).races, Plan(scheduler=name).stopped_by) == (False, name)
        assert (Plan(scheduler=name, race=True).races, Plan(scheduler=name, race=True).stopped_by) == (True, name)
    assert (Plan(race=False).races, Plan(race=False).stopped_by) == (False, "asha")
    old = {"trials": 4, "minutes": None, "seeds": 16, "scheduler": "asha"}  # a manifest of before
    assert not Plan.of_manifest(old, "old").races


# A worker


def reported(space: Space, monkeypatch: pytest.MonkeyPatch, parameters: Any, **options: Any) -> list[Report]:
    heard: list[dict[str, Any]] = []
    monkeypatch.setattr("ray.tune.report", heard.append)
    monkeypatch.setattr(worker, "limit_memory", lambda *_: None)
    plan = Plan(**{"seeds": 16, "rungs": 4, **options})
    worker.run_trial({"parameters": parameters}, space, plan, Goal.of(plan, space.metrics()))
    assert [result["done"] for result in heard] == [False] * (len(heard) - 1) + [True]
    return [result["report"] for result in heard]


def expect_the_same(race: list[Report], whole: list[Report]) -> None:
    """A race in which nothing is stopped leaves what a trial with all seeds at once does."""
    ends = [report for report in race if report.heats]
    assert [report.heats for report in ends] == [*range(1, len(ends) + 1)]
    assert [report.state for report in race] == [*[TrialState.STOPPED] * (len(race) - 1), TrialState.COMPLETE]
    raced, usual = (pd.concat([report.replicas for report in of]).sort_values(["step", "seed"]) for of in (race, whole))
    pd.testing.assert_frame_equal(raced.reset_index(drop=True), usual.reset_index(drop=True), rtol=1e-5)
    assert race[-1].values == {step: pytest.approx(value) for step, value in _values(whole).items()}
    weights = [safetensors.torch.load(of[-1].model or b"") for of in (race, whole)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-4, atol=1e-5)


def _values(reports: list[Report]) -> dict[int, list[float]]:
    return {step: value for report in reports for step, value in report.values.items()}


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_heats_leave_what_all_seeds_at_once_leave(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    space: Any = Space.read(workplace / "bowl.toml", None, workplace / "bowl.py")
    race, whole = (
        reported(space, monkeypatch, {"steepness.1": 1.0, "rate": rate}, race=raced, scheduler=name)
        for raced, name in ((True, "asha"), (False, "none"))
    )
    expect_the_same(race, whole)


def test_heats_of_networks_leave_what_all_seeds_at_once_leave(spaces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space.read(spaces / "hue.toml", 20)
    parameters = {name: getattr(of, "low", None) or of.choices[0] for name, of in space.distributions.items()}  # type: ignore[attr-defined]
    small = {"scheduler": "none", "seeds": 8, "rungs": 2}
    race, whole = (reported(space, monkeypatch, parameters, race=raced, **small) for raced in (True, False))
    assert len(race) == 2
    expect_the_same(race, whole)


def test_an_error_in_a_later_heat_leaves_the_heats_before(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space: Any = Space.read(workplace / "bowl.toml", None, workplace / "bowl.py")
    train = type(space.experiment).train

    def failing(self: Any, setting: Any, seeds: list[int], *, on_rung: Any, **how: Any) -> Any:
        def on_rung_or_not(rung: Any, model: Any) -> None:
            if 4 in seeds and rung.step == 10:
                raise MemoryError
            on_rung(rung, model)

        return train(self, setting, seeds, on_rung=on_rung_or_not, **how)

    monkeypatch.setattr(type(space.experiment), "train", failing)
    reports = reported(space, monkeypatch, {"steepness.1": 1.0, "rate": 0.1}, race=True)
    record = TrialRecord(optuna.trial.FixedTrial({}), Goal(space.metrics()), reports)  # type: ignore[arg-type]
    assert record.state is TrialState.FAILED
    assert record.final.seed.tolist() == [0, 1, 2, 3]


def test_constants_of_a_model_are_not_joined() -> None:
    parts = [{"at": torch.full((n, 2), float(n)), "axes": torch.tensor([1.0, 2.0, 3.0])} for n in (4, 8)]
    together = safetensors.torch.load(joined([safetensors.torch.save(part) for part in parts], [4, 8]))
    assert together["at"].shape == (12, 2)
    assert together["axes"].tolist() == [1.0, 2.0, 3.0]


# A study that races


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory, command: Callable[..., Any]) -> Any:
    """A study that raced, as it does by default, and what it printed."""
    out = tmp_path_factory.mktemp("runs")
    experiment = Path(__file__).parents[1] / "experiments"
    small = ("--trials", 24, "--seeds", 8, "--rungs", 4, "--cpus", 1, "--confirm", 0, "--no-report")
    space = (experiment / "bowl.toml", "--experiment", experiment / "bowl.py")
    done = command("run", *space, "--name", "raced", "--out", out, *small)
    assert done.returncode == 0, done.stderr
    return study.load(out / "raced", experiment / "bowl.py"), done


@pytest.mark.live
def test_a_study_gives_seeds_to_what_is_not_behind(raced: Any) -> None:
    folder, done = raced
    assert "4 to 8 seeds each" in " ".join(done.stdout.split())
    trials, final = folder.trials(), folder.final()
    seeds = final.groupby("trial").seed.nunique()
    assert set(seeds) == {4, 8}
    assert (seeds[trials.trial[trials.state == "complete"]] == 8).all()
    assert (seeds[trials.trial[trials.state == "stopped"]] == 4).all()
    best = None
    for _, trial in trials.iterrows():  # one worker: in this order
        rows = final[final.trial == trial.trial].set_index("seed").depth
        if best is not None and trial.steps == trials.steps.max():
            first = rows.loc[:3], best.loc[:3]
            assert (stats.ttest_rel(*first, alternative="less").pvalue < 0.05) == (trial.state == "stopped")
        if trial.state == "complete":
            best = rows if best is None or rows.mean() > best.mean() else best
        assert trial["depth.mean"] == pytest.approx(rows.mean())
        assert trial.value == pytest.approx(rows.mean())
    assert folder.best().trial.item() == folder.final()[lambda of: of.seed == 7].groupby("trial").depth.mean().idxmax()


@pytest.mark.live
def test_a_resumed_race_has_the_incumbent_that_it_had(
    raced: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study.load(shutil.copytree(raced[0].path, tmp_path / "raced"), raced[0].given.file)
    told: dict[str, Any] = {}
    monkeypatch.setattr("ray.tune.run", lambda *_, **how: told.update(how))
    with driving(folder.path):
        run(folder.plan().but(trials=30), folder, [])
    incumbent = told["scheduler"].incumbent
    assert set(incumbent.trial) == {folder.best().trial.item()}
    assert incumbent.seed.tolist() == folder.seeds()


@pytest.mark.live
def test_a_resumed_race_shows_the_scheduler_within_the_first_heat(raced: Any) -> None:
    folder, first = raced[0], raced[0].plan().heats[0]
    known = scores(folder, first)
    rows = folder.replicas()[folder.replicas().seed.isin(first)]
    assert known.keys() == set(folder.trials().trial)
    for trial, of in rows.groupby("trial"):
        assert known[int(str(trial))] == pytest.approx(of.groupby("step").depth.mean().tolist())


@pytest.mark.live
def test_what_a_race_leaves_can_be_read_and_made_anew(raced: Any, tmp_path: Path) -> None:
    folder, _ = raced
    for trial in folder.optuna().trials:
        means = folder.replicas()[folder.replicas().trial == trial.number].groupby("step").depth.mean()
        assert trial.intermediate_values == pytest.approx(means.to_dict())
        assert trial.state in (OptunaState.COMPLETE, OptunaState.PRUNED)
    assert len(folder.model(folder.best().trial.item()).at) == 8
    for lost in ("trials.parquet", "optuna.journal"):
        mended = study.load(shutil.copytree(folder.path, tmp_path / lost), folder.given.file)
        (mended.path / lost).unlink()
        search = journal.search(mended.path, RandomSampler(), mended.goal.directions)
        reconcile(search, mended)
        known = folder.trials().columns.drop(["seconds", "reason"])
        pd.testing.assert_frame_equal(mended.trials()[known], folder.trials()[known])
        for again, before in zip(search.trials, folder.optuna().trials, strict=True):
            assert (again.state, again.value) == (before.state, before.value)
            assert again.intermediate_values == pytest.approx(before.intermediate_values)
