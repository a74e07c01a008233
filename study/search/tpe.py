"""TPE for long searches: what a proposal costs does not grow with the number of trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from study import private

NEWEST = 250
"""How many of the newest trials the sampler sees. If there are more, TPE still calls as many of them good."""

GOOD = 25
"""How many trials TPE calls good, at most."""

SLACK = 50
"""How many more it may see before the older ones are dropped, as dropping takes a sort."""

COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)


class BoundedTPE(TPESampler):
    """Multivariate TPE of one objective that sees the best trials, the newest ones and those that run.

    TPE compares the density of the good trials, at most 25, with that of all others. The good ones here are those of
    the whole history. The others' density is estimated from the newest 250, to which TPE gives the greatest weights
    anyway. Up to 250 trials it proposes what Optuna's own sampler does.

    Args:
        seed: fixes its random numbers.
        liar: count trials that run among the bad ones, so that two workers do not try the same.
        known: complete trials of other studies, which count as older ones of this. Their numbers are negative.
    """

    def __init__(self, seed: int, liar: bool, known: Sequence[FrozenTrial] = ()):
        super().__init__(seed=seed, multivariate=True, constant_liar=liar)
        self._known = known
        self._seen: list[FrozenTrial] | None = None  # trials that have ended, by number
        self._points: dict[int, tuple[float, ...]] = {}  # those of the trials that it sees, in Optuna's numbers
        self._running: dict[int, None] = {}
        self._ended: list[int] = []

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        super().before_trial(study, trial)
        self._running[private.identifier(trial)] = None

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        super().after_trial(study, trial, state, values)
        self._running.pop(private.identifier(trial), None)
        self._ended.append(private.identifier(trial))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(self._view(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(self._view(study), trial, search_space)

    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], study: optuna.Study
    ) -> dict[str, np.ndarray]:
        """Compute what Optuna's own does, but only once for a trial that has ended."""
        private.quicken_normals()
        points = []
        for trial in trials:
            if (point := self._points.get(trial.number)) is None:
                own = super()._get_internal_repr([trial], search_space, study)
                point = tuple(value for values in own.values() for value in values.tolist())
                if trial.state.is_finished():
                    self._points[trial.number] = point
            if point:
                points.append(point)
        columns = zip(*points, strict=True) if points else [()] * len(search_space)
        return {name: np.asarray(column) for name, column in zip(search_space, columns, strict=True)}

    def _view(self, study: optuna.Study) -> Any:
        """What it sees of a study."""
        storage = private.storage(study)
        running = [storage.get_trial(number) for number in self._running]
        return _View(study, [*self._ended_trials(study), *running])

    def _ended_trials(self, study: optuna.Study) -> list[FrozenTrial]:
        if self._seen is None:
            self._seen = [*self._known, *study.get_trials(deepcopy=False, states=COUNTED)]
        else:
            new = [private.storage(study).get_trial(number) for number in self._ended]
            self._seen += [trial for trial in new if trial.state in COUNTED]
        self._ended.clear()
        if len(self._seen) > NEWEST + GOOD + SLACK:
            self._seen.sort(key=lambda trial: trial.number)
            good = private.good_trials(study, self._seen[:-NEWEST], GOOD)
            self._seen = [*good, *self._seen[-NEWEST:]]
            kept = {trial.number for trial in self._seen}
            self._points = {number: point for number, point in self._points.items() if number in kept}
        return self._seen


class _View:
    """A study that has only some of its trials."""

    def __init__(self, study: optuna.Study, trials: list[FrozenTrial]):
        self._study = study
        self._trials = trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(self, deepcopy: bool = True, states: Any = None, use_cache: bool = False) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]
