"""Does recording how trials really ended find better settings? Run `-m benchmarks.search` on functions of known optima.

Ray's `OptunaSearch` records a trial that the scheduler stopped as COMPLETE, with the value that it had then, and leaves
a diverged one RUNNING. Ours records them as PRUNED and FAIL. Here the real searchers and the real ASHA run without Ray:
simulated workers take one unit of time per rung. All arms get the same number of trials, the same replicas' noise and
the same random numbers. In all of them a diverged trial ends by itself, which favours Ray's.

Regret is the optimum minus the true final value of the trial that one would pick: the one with the best observed value
of those that ran to the end. Optuna 5's default TPE has our settings, so "Ray's" and "ours" differ only in what they
record. The default of Optuna 4, "v4", was different. "Random" shows what search itself is worth.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.optuna import OptunaSearch as RaysSearch
from rich.console import Console
from rich.table import Table

from study.experiment import Metric
from study.record.trial_state import TrialState
from study.search.goal import Goal
from study.search.plan import Plan
from study.search.samplers import sampler
from study.search.schedulers import scheduler
from study.search.searcher import OptunaSearch
from study.search.trial import RUNG, SCORE, Reached, Report

REPEATS, TRIALS, RUNGS, WORKERS, REPLICAS, NOISE = 20, 60, 10, 4, 16, 0.05
BEST, KINDS = 0.9, {"a": 1.0, "b": 0.9, "c": 0.8}
DIVERGED_AT = 3  # the rung at which trials diverge, after some that looked well
SHARES = (0.25, 0.5, 1.0, math.inf)  # of the smallest budget that an arm spent
LINEAR, LOG = FloatDistribution(-1, 3), FloatDistribution(1e-4, 1e-1, log=True)
FLOATS = [LOG, LINEAR, LINEAR, LOG]


@dataclass(frozen=True)
class Landscape:
    """A function over a space that is `BEST` at its optimum. The first parameter sets how fast trials approach it.

    `shape` and `diverges` take each float's place in its range, from 0 to 1. Slow trials end higher, so curves cross,
    and the optimum is in the lowest quarter of the first range. With an `overshoot`, fast trials forget some of what
    they learnt, so their curves fall.
    """

    name: str
    floats: list[FloatDistribution]
    shape: Callable[[np.ndarray], float]  # 1 at the optimum
    diverges: Callable[[np.ndarray], bool] = lambda u: False
    overshoot: float = 0.0

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return {**{f"x{i}": d for i, d in enumerate(self.floats)}, "kind": CategoricalDistribution(list(KINDS))}

    def place(self, parameters: dict[str, Any]) -> np.ndarray:
        ends = [(parameters[f"x{i}"], d.low, d.high, d.log) for i, d in enumerate(self.floats)]
        return np.array([math.log(x / a) / math.log(b / a) if log else (x - a) / (b - a) for x, a, b, log in ends])

    def value(self, parameters: dict[str, Any], rung: int = RUNGS) -> float:
        u = self.place(parameters)
        if self.diverges(u) and rung >= DIVERGED_AT:
            return float("nan")
        speed = 0.15 + 1.5 * u[0]
        reached = (1 - math.exp(-rung * speed)) / (1 - math.exp(-RUNGS * speed))
        reached += self.overshoot * u[0] * (1 - rung / RUNGS)
        return BEST * KINDS[parameters["kind"]] * self.shape(u) * reached


def bowl(u: np.ndarray, *centre: float) -> float:
    """A parabola around its optimum."""
    return 1 - 0.5 * float(((u - centre) ** 2).sum())


def hartmann6(u: np.ndarray) -> float:
    """The Hartmann function of six dimensions, divided by its maximum."""
    a = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
    p = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991]]
    p += [[2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]
    return float(np.exp(-(np.array(a) * (u - np.array(p) / 1e4) ** 2).sum(1)) @ [1, 1.2, 3, 3.2]) / 3.3223680114155


def terraces(u: np.ndarray) -> float:
    """The logarithm of Branin's function, upside down, in twelve steps. The highest, 1, is around its three minima."""
    x, y = 15 * u[0] - 5, 15 * u[1]
    branin = (y - 5.1 * x**2 / (4 * math.pi**2) + 5 * x / math.pi - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
    above = max(branin + 10 - 0.39788735772, 0)
    return math.ceil(12 * (1 - math.log1p(above) / math.log1p(308))) / 12


LANDSCAPES = [
    Landscape("bowl", FLOATS, lambda u: bowl(u, 0.25, 0.6, 0.35, 0.7)),
    Landscape("bowl, overshot", FLOATS, lambda u: bowl(u, 0.25, 0.6, 0.35, 0.7), overshoot=0.5),
    Landscape("Hartmann 6", [LOG, LOG, LINEAR, LINEAR, LINEAR, LOG], hartmann6),
    Landscape(
        "Branin, diverging",
        FLOATS,
        lambda u: bowl(u[[0, 3]], 0.25, 0.6) * terraces(u[1:3]),
        diverges=lambda u: u[0] + u[3] > 1.2,
    ),
]


def ours(landscape: Landscape, seed: int) -> tuple[OptunaSearch, optuna.Study]:
    plan = Plan(seed=seed, cpus=WORKERS)
    study = optuna.create_study(direction="maximize", sampler=sampler(plan, 0))
    recorder: Any = SimpleNamespace(record=lambda trial: None)
    space: Any = landscape
    return OptunaSearch(
        study, space, Goal.of(plan, {"isolation": Metric("the landscape", diverged=0.0)}), recorder
    ), study


def rays(landscape: Landscape, **how: Any) -> tuple[RaysSearch, optuna.Study]:
    search: Any = RaysSearch(landscape.distributions, metric=SCORE, mode="max", **how)
    return search, search._ot_study


def number(seed: int) -> int:
    """The sampler's seed, as ours is derived from a plan's."""
    return int(np.random.SeedSequence((seed, 0)).generate_state(1)[0])


Arm = Callable[[Landscape, int], tuple[Any, optuna.Study]]
"""Makes a searcher for a landscape from a seed, and returns it with its Optuna study."""

ARMS: dict[str, Arm] = {
    "ours": ours,
    "Ray's": lambda space, seed: rays(space, seed=number(seed)),
    "Ray's, v4 TPE": lambda space, seed: rays(
        space, sampler=TPESampler(seed=number(seed), multivariate=False, constant_liar=False)
    ),
    "random": lambda space, seed: rays(space, sampler=RandomSampler(number(seed))),
}


@dataclass
class Run:
    """The outcome of a search: the rungs that it spent, and the ends of the trials that ran to the end.

    Each end has the rungs spent by then, the observed value and the true one.
    """

    study: optuna.Study
    spent: int = 0
    ends: list[tuple[int, float, float]] = field(default_factory=list)

    def regret(self, budget: float = math.inf) -> float:
        """The regret after `budget` rungs. If no trial has ended by then, it is `BEST`."""
        return BEST - max(((seen, true) for when, seen, true in self.ends if when <= budget), default=(0, 0.0))[1]


def simulate(landscape: Landscape, arm: Arm, seed: int, trials: int = TRIALS) -> Run:
    """Let simulated workers train trials in turn, a rung each, and call searcher and ASHA as Ray Tune would."""
    search, study = arm(landscape, seed)
    honest = isinstance(search, OptunaSearch)
    asha, run = scheduler("asha", RUNGS), Run(study)
    controller: Any = None

    def start(number: int) -> Any:
        trial: Any = SimpleNamespace(trial_id=str(number), rung=0)
        config = search.suggest(trial.trial_id)
        trial.parameters = config.get("parameters", config)
        trial.noise = np.random.default_rng((seed, number)).normal(0, NOISE, REPLICAS)
        asha.on_trial_add(controller, trial)
        return trial

    workers = deque(start(number) for number in range(min(WORKERS, trials)))
    started = len(workers)
    while workers:
        trial = workers.popleft()
        trial.rung, run.spent = trial.rung + 1, run.spent + 1
        seen = landscape.value(trial.parameters, trial.rung) + trial.noise
        state = TrialState.COMPLETE if trial.rung == RUNGS else TrialState.STOPPED
        if np.isnan(seen).all():
            state = TrialState.DIVERGED
        counted = np.nan_to_num(seen) if honest else seen  # a diverged replica counts as a useless one
        score = float(counted.mean())
        result = {"training_iteration": trial.rung, RUNG: trial.rung, SCORE: score}  # by which Ray's counts
        decision = asha.on_trial_result(controller, trial, result)
        if decision != TrialScheduler.STOP:
            search.on_trial_result(trial.trial_id, result)
        if honest:
            columns = {"step": np.full(REPLICAS, trial.rung), "diverged": np.isnan(seen), "isolation": seen}
            record = search.running[trial.trial_id]
            record.add(Report.of([Reached(state, trial.rung, columns, None)], record.goal, 0.0))
        if decision != TrialScheduler.STOP and state is TrialState.STOPPED:
            workers.append(trial)
            continue
        asha.on_trial_complete(controller, trial, result)
        search.on_trial_complete(trial.trial_id, result)
        if state is TrialState.COMPLETE:
            run.ends.append((run.spent, score, landscape.value(trial.parameters)))
        if started < trials:
            workers.append(start(started))
            started += 1
    return run


def interval(values: np.ndarray, sign: str = "", digits: int = 0) -> str:
    """The mean and its 95% bootstrap interval, in thousandths, with `digits` decimals."""
    means = np.random.default_rng(0).choice(values * 1000, (10_000, len(values))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    mean, low, high = (f"{number:{sign}.{digits}f}" for number in (values.mean() * 1000, low, high))
    return f"{mean} [{low}, {high}]"


def main() -> None:
    """Print regrets and budgets of all arms."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger(RaysSearch.__module__).setLevel(logging.ERROR)  # it warns of each NaN that Optuna refuses
    table = Table("", "rungs", *[f"at {share:.0%}" for share in SHARES[:-1]], "minus ours", "at the end", "minus ours")
    table.title = f"Regret, in thousandths, of {REPEATS} searches of {TRIALS} trials: mean [95% interval]"
    table.caption = f"Optima are {1000 * BEST:.0f}. Percentages are of the fewest rungs that an arm spent with a seed."
    for landscape in LANDSCAPES:
        table.add_row(f"[bold]{landscape.name}")
        runs = [[simulate(landscape, arm, seed) for arm in ARMS.values()] for seed in range(REPEATS)]
        fewest = [min(run.spent for run in same) for same in runs]
        regrets = np.array(  # [seed, arm, share]
            [[[run.regret(s * n) for s in SHARES] for run in same] for same, n in zip(runs, fewest, strict=True)]
        )
        for i, name in enumerate(ARMS):
            spent = np.mean([same[i].spent for same in runs])
            *means, equal, end = regrets[:, i].T
            apart = [interval(d, "+") if i else "" for d in (regrets[:, i] - regrets[:, 0]).T[-2:]]
            texts = [f"{spent:.0f}", *[f"{1000 * m.mean():.0f}" for m in means], interval(equal)]
            table.add_row(f"  {name}", *texts, apart[0], interval(end), apart[1], end_section=i == len(ARMS) - 1)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
