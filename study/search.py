"""Optuna proposes settings and is told the truth about them: every rung's value, and how each trial ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
from ray.tune import Callback
from ray.tune.search import Searcher

from study.space import Space
from study.trial import OBJECTIVE, Report, Trial


class OptunaSearch(Searcher):
    """A Ray Tune searcher that asks an Optuna study for settings.

    Unlike Ray's own, it tells Optuna of a trial stopped by the scheduler as PRUNED, with every rung's value up to the
    last, and of a diverged or failed one as FAIL; none is left RUNNING. `record` is called with each trial that has
    ended before Optuna is told, so that what Optuna knows to be done is on disk.
    """

    def __init__(self, study: optuna.Study, space: Space, record: Callable[[Trial], None]):
        super().__init__(metric=OBJECTIVE, mode="max")
        self.running: dict[str, Trial] = {}
        self._study = study
        self._space = space
        self._record = record

    def suggest(self, trial_id: str) -> dict[str, Any]:
        trial = Trial(self._study.ask(self._space.distributions))
        self.running[trial_id] = trial
        return {"trial": trial.number, "parameters": trial.ask.params}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        trial = self.running.pop(trial_id)
        if error:
            trial.hear(Report.failed("the worker died"))
        self._record(trial)
        trial.tell(self._study)

    def close(self) -> None:
        """Tell Optuna that trials still running will not end."""
        for trial in self.running.values():
            self._study.tell(trial.ask, state=optuna.trial.TrialState.FAIL)
        self.running.clear()

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the journal is written as the search goes on."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class Reports(Callback):
    """Hands each report to the search, and takes it out of Tune's hands, which would keep and serialise it."""

    def __init__(self, search: OptunaSearch):
        self._search = search

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict[str, Any], **info: Any) -> None:
        self._search.running[trial.trial_id].hear(result.pop("report"))
