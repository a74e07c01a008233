"""Optuna proposes settings and is told the truth about them: every rung's value, and how each trial ended."""

from __future__ import annotations

from typing import Any

import optuna
from ray.tune import Callback
from ray.tune.search import Searcher

from study.recorder import Listener, Recorder
from study.space import Space
from study.trial import INTERRUPTED, OBJECTIVE, Report, Trial


class OptunaSearch(Searcher):
    """A Ray Tune searcher that asks an Optuna study for settings.

    Unlike Ray's own, it tells Optuna of a trial stopped by the scheduler as PRUNED, with every rung's value up to the
    last, and of a diverged or failed one as FAIL; none is left RUNNING. Each trial that has ended is recorded before
    Optuna is told, so that what Optuna knows to be done is on disk.
    """

    def __init__(self, study: optuna.Study, space: Space, recorder: Recorder):
        super().__init__(metric=OBJECTIVE, mode="max")
        self.running: dict[str, Trial] = {}
        self._study = study
        self._space = space
        self._recorder = recorder

    def suggest(self, trial_id: str) -> dict[str, Any]:
        trial = Trial(self._study.ask(self._space.distributions))
        self.running[trial_id] = trial
        return {"trial": trial.number, "parameters": trial.ask.params}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._end(trial_id, "the worker died" if error else "")

    def close(self) -> None:
        """End the trials that are still running, which were interrupted."""
        for trial_id in list(self.running):
            self._end(trial_id, INTERRUPTED)

    def _end(self, trial_id: str, reason: str) -> None:
        trial = self.running.pop(trial_id)
        if reason or not trial.reports:
            trial.hear(Report.failed(reason or "it reported nothing"))
        self._recorder.record(trial)
        trial.tell(self._study)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the journal is written as the search goes on."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class Reports(Callback):
    """Hands each report to the search, and takes it out of Tune's hands, which would keep and serialise it."""

    def __init__(self, search: OptunaSearch, listeners: list[Listener]):
        self._search = search
        self._listeners = listeners

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        for listener in self._listeners:
            listener.started(trial.config["trial"])

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict[str, Any], **info: Any) -> None:
        self._search.running[trial.trial_id].hear(result.pop("report"))
