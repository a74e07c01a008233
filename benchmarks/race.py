"""Are seeds better spent where they decide? Run `-m benchmarks.race`: 20 searches of each of four arms, of equal cost.

A search ends when its trainings have taken as many replica-steps as 20 whole trials of 16 seeds. All arms have the
default space, real trainings, the real worker, searcher and schedulers, and the same random numbers. Only Ray is left
out: one worker trains one trial after another. Each answer, the best complete trial, is confirmed on 64 held-out seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import optuna
import pandas as pd
import torch
from ray import tune
from ray.tune.schedulers import TrialScheduler
from rich.console import Console
from rich.table import Table

from benchmarks.search import interval
from study.experiment import Rung
from study.record.trial_state import TrialState
from study.search import worker
from study.search.goal import Goal
from study.search.plan import HELD_OUT, Plan
from study.search.racing import Race
from study.search.samplers import sampler
from study.search.schedulers import scheduler
from study.search.searcher import OptunaSearch
from study.search.trial import Reached, TrialRecord
from study.space.space import Space

HERE = Path(__file__).parent
REPEATS, WHOLE_TRIALS, STEPS = 20, 20, 2001
SPACE, ROWS = HERE.parent / "search_spaces" / "hue.toml", HERE / "data" / "race.csv"
ARMS: dict[str, dict[str, Any]] = {
    "16 seeds": {"scheduler": "none"},
    "ASHA": {"scheduler": "asha"},
    "race": {"scheduler": "none", "race": True},
    "race and ASHA": {"scheduler": "asha", "race": True},
}


class _StoppedError(BaseException):
    """The scheduler has stopped a trial, or the budget is spent."""


class Search:
    """One search: what Ray Tune would do, with one worker and a budget of replica-steps."""

    def __init__(self, space: Space, plan: Plan, budget: int):
        self.space, self.plan, self.budget = space, plan, budget
        self.goal = Goal.of(plan, space.metrics())
        self.ended: list[TrialRecord] = []
        self.spent = 0
        study = optuna.create_study(directions=self.goal.directions, sampler=sampler(plan, 0))
        recorder: Any = SimpleNamespace(record=self.ended.append)
        self.search = OptunaSearch(study, space, self.goal, recorder)
        self.scheduler: Any = scheduler(plan.stopped_by, plan.rungs)
        if plan.races:
            self.scheduler = Race(self.scheduler, self.goal, lambda trial_id: self.search.running[trial_id])

    def run(self) -> None:
        """Train trials until the budget is spent. The last is not counted."""
        number = 0
        while self.spent < self.budget:
            self.train(SimpleNamespace(trial_id=str(number)))
            number += 1

    def train(self, trial: Any) -> None:
        """Train a trial, and let the scheduler stop it."""
        config = self.search.suggest(trial.trial_id)
        self.scheduler.on_trial_add(None, trial)
        record = self.search.running[trial.trial_id]
        last: dict[str, Any] = {}

        def report(result: dict[str, Any]) -> None:
            last.update(result)
            rows = result["report"].replicas
            before = record.reports[-1].step if record.reports and result["report"].heats <= 1 else 0
            self.spent += rows.seed.nunique() * (result["report"].step - before)
            if self.spent > self.budget:
                raise _StoppedError
            decision = TrialScheduler.STOP
            if not result["done"]:
                decision = self.scheduler.on_trial_result(None, trial, result)
            record.add(result["report"])
            if decision == TrialScheduler.STOP and not result["done"]:
                raise _StoppedError

        with patch.object(tune, "report", report), patch.object(worker, "limit_memory", lambda *_: None):
            try:
                worker.run_trial(config, self.space, self.plan, self.goal)
            except _StoppedError:
                if self.spent > self.budget:
                    return
        self.scheduler.on_trial_complete(None, trial, last)
        self.search.on_trial_complete(trial.trial_id)

    def answer(self) -> TrialRecord:
        """The best complete trial."""
        complete = [trial for trial in self.ended if trial.state is TrialState.COMPLETE]
        return max(complete, key=lambda trial: self.goal.score(trial.final))

    def row(self) -> dict[str, Any]:
        """What the search found: how many trials, and its answer's value in the search and on held-out seeds."""
        best, states = self.answer(), [trial.state for trial in self.ended]
        rows = confirmed(self.space, best.optuna_trial.params, self.plan)
        return {
            "trials": len(states),
            "complete": states.count(TrialState.COMPLETE),
            "searched": self.goal.values(best.final)[0],
            "confirmed": self.goal.values(rows)[0],
            "sd": float(self.goal.scores(rows).std()),
        }


def confirmed(space: Space, parameters: dict[str, Any], plan: Plan) -> pd.DataFrame:
    """A setting's replicas on held-out seeds."""
    reached: list[Reached] = []
    setting, seeds, experiment = space.setting(parameters), plan.held_out_seeds(HELD_OUT), space.experiment

    def on_rung(rung: Rung, model: torch.nn.Module) -> None:
        reached.append(Reached.of(rung, model, seeds, experiment, setting))

    experiment.train(setting, seeds, rungs=1, compiled=True, on_rung=on_rung)
    return pd.DataFrame(reached[-1].columns)


def measure(repeats: range, whole_trials: int) -> None:
    """Run the searches, and add a row for each to the file."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    space = Space.read(SPACE, None)
    for repeat in repeats:
        for arm, options in ARMS.items():
            plan = Plan(seed=repeat, cpus=1, compiled=True, **options)
            search = Search(space, plan, whole_trials * plan.seeds * STEPS)
            search.run()
            row = {"repeat": repeat, "arm": arm, **search.row()}
            pd.DataFrame([row]).round(6).to_csv(ROWS, mode="a", header=not ROWS.exists(), index=False)
            print(row, flush=True)


def show(rows: pd.DataFrame) -> None:
    """Print the arms, and their differences by repeat."""
    values = rows.pivot_table(index="repeat", columns="arm", values="confirmed").dropna()
    table = Table("", "trials", "complete", "in the search", "confirmed", "sd", "minus 16 seeds", "minus ASHA")
    table.title = f"{len(values)} searches of each: means; differences in thousandths, with 95% intervals"
    for arm in ARMS:
        mean = rows[rows.arm == arm].mean(numeric_only=True)
        others = [values[arm] - values[other] if arm != other else None for other in list(ARMS)[:2]]
        apart = ["" if of is None else interval(of.to_numpy(), "+", 1) for of in others]
        figures = f"{mean.trials:.0f}", f"{mean.complete:.0f}", f"{mean.searched:.4f}", f"{mean.confirmed:.4f}"
        table.add_row(arm, *figures, f"{values[arm].std():.4f}", *apart)
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", action="store_true", help="print the table of what was measured")
    parser.add_argument("--repeats", type=int, nargs=2, default=(0, REPEATS), help="the first, and one after the last")
    parser.add_argument("--trials", type=int, default=WHOLE_TRIALS, help="whole trials that a search may cost")
    options = parser.parse_args()
    if not options.show:
        measure(range(*options.repeats), options.trials)
    show(pd.read_csv(ROWS))


if __name__ == "__main__":
    main()
