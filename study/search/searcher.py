"""The search: Optuna proposes settings, and learns every rung's value and how each trial ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.search import Searcher

from study import private
from study.record.recorder import Listener, Recorder
from study.search.goal import Goal
from study.search.limits import why_it_died
from study.search.trial import SCORE, Report, TrialRecord
from study.space.space import Space


class GaveUpError(Exception):
    """The minutes are over, and no trial could begin."""


class OptunaSearch(Searcher):
    """A Ray Tune searcher that asks an Optuna study for settings.

    It differs from Ray's own in what Optuna learns: a trial that the scheduler stopped is PRUNED, with every rung's
    value so far, and a diverged or failed one is FAIL. The journal says that a trial has ended only when its files are
    in the study's folder. An interrupted trial is WAITING, and is run first when the study is resumed.

    If a write fails, the exception is kept in `error`, the search stops, and nothing more is written.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        goal: Goal,
        recorder: Recorder,
        is_over: Callable[[], bool] = lambda: False,
    ):
        super().__init__(metric=SCORE, mode="max")
        self.running: dict[str, TrialRecord] = {}
        self.error: Exception | None = None
        self._ending: type[BaseException] | None = None
        self._study = study
        self._space = space
        self._goal = goal
        self._recorder = recorder
        self._is_over = is_over

    def suggest(self, trial_id: str) -> Any:
        if self._is_over() and not self._has_to_run():
            return Searcher.FINISHED
        trial = TrialRecord(self._study.ask(self._space.distributions), self._goal)
        self.running[trial_id] = trial
        return {"trial": trial.number, "parameters": trial.optuna_trial.params}

    def _has_to_run(self) -> bool:
        """Whether a trial runs although the minutes are over: one that was interrupted, or a study's first."""
        trials = self._study.get_trials(deepcopy=False)
        return not trials or any(trial.state is TrialState.WAITING for trial in trials)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:  # `Reports.on_trial_error` ends a failed trial, with the reason
            self.keeping_errors(lambda: self.end(trial_id))

    def end(self, trial_id: str, failure: str = "") -> None:
        """Record that a trial has ended, and tell Optuna."""
        trial = self.running.pop(trial_id)
        if failure or not trial.reports:
            seconds = trial.reports[-1].seconds if trial.reports else 0.0
            trial.add(Report.failed(failure or "it reported nothing", seconds))
        self._recorder.record(trial)
        trial.finish(self._study)

    def keeping_errors(self, act: Callable[[], None]) -> None:
        """Run `act`, which writes files, and keep its exception for `end_step` to raise. Tune would retry the trial."""
        try:
            if self.error is None:
                act()
        except Exception as error:
            self.error = error

    def give_up(self) -> None:
        """Make `end_step` raise GaveUpError."""
        self._ending = GaveUpError

    def interrupt(self, ending: type[BaseException]) -> None:
        """Make `end_step` raise an exception of a class, such as KeyboardInterrupt."""
        self._ending = ending

    def end_step(self) -> None:
        """Begin to write what this step brought, and raise the exception of this step or of earlier writing, if any.

        If interrupted, requeue running trials and raise what was asked.
        """
        self.keeping_errors(self._recorder.commit)
        if self.error:
            raise self.error
        if self._ending:
            requeue(self._study)
            raise self._ending

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is always up to date."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the study is resumed from the journal."""


def requeue(study: optuna.Study) -> None:
    """Make trials that Optuna counts as running WAITING, so that they are run first. No process may be running them."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        private.set_state(study, trial, TrialState.WAITING)


class Reports(Callback):
    """Passes Tune's events on to the search and the listeners, and removes reports, which Tune would keep in memory."""

    def __init__(self, search: OptunaSearch, listeners: list[Listener]):
        self._search = search
        self._listeners = listeners

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._notify(lambda listener: listener.started(trial.config["trial"]))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        report = result.pop("report")
        self._search.keeping_errors(lambda: self._search.running[trial.trial_id].add(report))
        self._notify(lambda listener: listener.reported(trial.config["trial"], report))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        trial.run_metadata.metric_analysis.clear()  # Tune keeps a trial for ever
        trial.run_metadata.metric_n_steps.clear()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial starts again, because its worker died."""
        self._search.running[trial.trial_id].reports.clear()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._search.keeping_errors(lambda: self._search.end(trial.trial_id, why_it_died(trial)))

    def _notify(self, act: Callable[[Listener], None]) -> None:
        for listener in self._listeners:
            self._search.keeping_errors(partial(act, listener))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._search.end_step()
