"""The schedulers that stop hopeless trials early, and the audit of their decisions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from study.record.folder import StudyFolder
from study.search.plan import SchedulerName
from study.search.trial import RUNG, SCORE

FIRST = 2
"""The first rung at which a trial may be stopped."""


def scheduler(name: SchedulerName, rungs: int) -> TrialScheduler:
    """The scheduler of this name, for trials with this number of rungs.

    - `asha` (Li et al. 2020) looks at rungs 2, 4, 8 and so on, and stops a trial that is not in the better half there.
    - `hyperband` assigns trials to three brackets, which do the same but start at rungs 2, 4 and 8.
    - `median` (Golovin et al. 2017) stops a trial if its best score so far is below the median of the others' mean
      scores so far.
    - `none` stops no trial.
    """
    halving = partial(
        _Halving,
        time_attr=RUNG,
        metric=SCORE,
        mode="max",
        max_t=rungs + 1,  # trials end by themselves, at `rungs`
        grace_period=min(FIRST, rungs),
        reduction_factor=2,
    )
    match name:
        case "asha":
            return halving()
        case "hyperband":
            return halving(brackets=3)
        case "median":
            return _Median(RUNG, SCORE, "max", grace_period=FIRST, min_samples_required=3)
        case "none":
            return InOrder()  # type: ignore[no-untyped-call]


def decisive(name: SchedulerName, rungs: int) -> set[int]:
    """The rungs at which a scheduler looks at a trial that goes on. Only these are reported to it.

    Example:
        >>> sorted(decisive("asha", 10)), sorted(decisive("none", 10))
        ([2, 4, 8], [])
    """
    match name:
        case "asha" | "hyperband":
            return {FIRST * 2**k for k in range(rungs.bit_length() - 1)}
        case "median":
            return set(range(1, rungs))
        case "none":
            return set()


class InOrder(FIFOScheduler):
    """A scheduler that stops no trial and leaves it to Tune to start them in their order.

    Ray's own look for a trial to start among all that there ever were, at each step.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        return None


class _Halving(InOrder, AsyncHyperBandScheduler):
    """Ray's rule."""


class _Median(InOrder, MedianStoppingRule):
    """Ray's rule, except that it never pauses a trial: our trials keep no checkpoint to resume from."""

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Forget the scores of a trial that will start again."""
        self._results.pop(trial, None)

    def _on_insufficient_samples(self, tune_controller: Any, trial: Any, time: float) -> str:
        return TrialScheduler.CONTINUE


class Audited(InOrder):
    """A scheduler that exempts a share of the trials that `inner` would stop: they run to the end.

    It calls `exempt` with the id of each. `seed` fixes which ones are chosen.
    """

    def __init__(self, inner: TrialScheduler, share: float, seed: int, exempt: Callable[[str], None]):
        super().__init__()  # type: ignore[no-untyped-call]
        self._inner = inner
        self._share = share
        self._coins = np.random.default_rng((seed, 1))
        self._exempt = exempt
        self._exempted: set[str] = set()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._inner.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if trial.trial_id in self._exempted:
            return TrialScheduler.CONTINUE
        decision = self._inner.on_trial_result(tune_controller, trial, result)
        if decision == TrialScheduler.STOP and self._coins.random() < self._share:
            self._exempted.add(trial.trial_id)
            self._inner.on_trial_remove(tune_controller, trial)
            self._exempt(trial.trial_id)
            return TrialScheduler.CONTINUE
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if trial.trial_id not in self._exempted:
            self._inner.on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        if trial.trial_id not in self._exempted:
            self._inner.on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        if trial.trial_id not in self._exempted:
            self._inner.on_trial_remove(tune_controller, trial)


class _Past:
    """A trial that has ended: schedulers need only its id."""

    def __init__(self, number: int):
        self.trial_id = f"past-{number}"


def replay(scheduler: TrialScheduler, scores: dict[int, list[float]]) -> None:
    """Show a new scheduler the trials that have ended: their scores at each rung, by number."""
    for number, values in scores.items():
        past: Any = _Past(number)
        controller: Any = None
        scheduler.on_trial_add(controller, past)
        for rung, score in enumerate(values, start=1):
            result = {RUNG: rung, SCORE: score}
            scheduler.on_trial_result(controller, past, result)
        scheduler.on_trial_complete(controller, past, result)


def scores(folder: StudyFolder, seeds: list[int]) -> dict[int, list[float]]:
    """The scores of each ended trial at its rungs, by number, over the replicas of some seeds.

    An exempted trial's end where it would have stopped.
    """
    if not len(trials := folder.trials()):
        return {}
    counted = folder.replicas().merge(trials[["trial", "steps"]], on="trial")
    counted = counted[(counted.step <= counted.steps) & counted.seed.isin(seeds)]
    by_trial: dict[int, list[float]] = {}
    for trial, ended in counted.groupby("trial"):
        by_trial[cast(int, trial)] = [folder.goal.score(rows) for _, rows in ended.groupby("step")]
    return by_trial
