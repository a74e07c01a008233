"""Running a study: Ray Tune launches the trials, Optuna proposes them, a scheduler stops the hopeless ones early."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from ray import tune

from anchoring.errors import InputError
from study import private
from study.record.budget import minutes_used, record_minutes
from study.record.folder import StudyFolder
from study.record.recorder import Listener, Recorder
from study.record.recovery import clean, reconcile
from study.search import journal, known, points
from study.search.interrupt import interruptible
from study.search.limits import Clock, TimeLimit, Waiting
from study.search.plan import Plan
from study.search.racing import Race
from study.search.samplers import sampler
from study.search.schedulers import Audited, replay, scheduler, scores
from study.search.searcher import GaveUpError, OptunaSearch, Reports
from study.search.worker import run_trial

WITHOUT_END = 1_000_000  # trials, or seconds
RETRIES = 2  # of a trial whose worker died


def run(plan: Plan, folder: StudyFolder, listeners: list[Listener]) -> None:
    """Run a study's trials into its folder, on the Ray at hand, until there are as many as the plan says.

    Those that the folder has already are not repeated, and those that were interrupted come first. No other process may
    be writing to the folder. Raises KeyboardInterrupt soon after a SIGINT, and OSError if something cannot be written;
    what is recorded by then is whole.
    """
    clean(folder)
    prior = known.as_trials(folder.prior(), folder.space, plan.seed)
    study = journal.search(folder.path, sampler(plan, len(folder.trials()), prior), folder.goal.directions)
    reconcile(study, folder)
    if (listed := folder.path / points.NAME).is_file():
        points.enqueue(study, points.read(listed, folder.space))
    recorder = Recorder(folder.path, journal.of(study), listeners)
    past = len(folder.trials())
    clock, used = Clock(), minutes_used(folder)

    def is_over() -> bool:
        return plan.minutes is not None and used + clock() / 60 >= plan.minutes

    search = OptunaSearch(study, folder.space, folder.goal, recorder, is_over)
    stopping = scheduler(plan.stopped_by, plan.rungs)
    np.random.seed(plan.seed + past)  # by which Ray draws hyperband's brackets
    replay(stopping, scores(folder, plan.heats[0]))
    if plan.audit:
        stopping = Audited(stopping, plan.audit, plan.seed + past, lambda trial_id: search.running[trial_id].exempt())
    if plan.races:
        best = folder.best().trial
        incumbent = folder.final(best.item()) if len(best) else None
        stopping = Race(stopping, folder.goal, lambda trial_id: search.running[trial_id], incumbent)
    left = (plan.trials or WITHOUT_END) - past
    if left <= 0:
        return
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # why a trial failed is in its row
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(WITHOUT_END)  # what Tune would restore itself from grows with trials
    waiting = Waiting(clock, is_over, search.give_up)
    with (
        suppress(GaveUpError),
        recorder,
        interruptible(search.interrupt),
        minutes_recorded(folder, used, clock),
        _without_tunes_files(folder.path / "ray"),
        private.trainables_remembered(),
    ):
        tune.run(
            tune.with_parameters(run_trial, space=folder.space, plan=plan, goal=folder.goal),
            name="ray",
            trial_dirname_creator=lambda trial: f"{trial.config['trial']:05d}",
            storage_path=str(folder.path.resolve()),
            num_samples=left,
            max_concurrent_trials=plan.at_once,  # none is proposed ahead: with one worker a study is reproducible
            resources_per_trial={"cpu": 1},
            search_alg=search,
            scheduler=stopping,
            reuse_actors=True,
            max_failures=RETRIES,
            callbacks=[Reports(search, listeners), TimeLimit(plan.limit * 60, clock), waiting],
            raise_on_failed_trial=False,
            verbose=0,
        )


@contextmanager
def _without_tunes_files(path: Path) -> Iterator[None]:
    """Remove, on leaving, what Tune keeps to restore itself from: pickles, and we go on from the journal."""
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def minutes_recorded(folder: StudyFolder, used: float, clock: Clock) -> Iterator[None]:
    """Record, on leaving, how long this search took besides those that `used` minutes before."""
    try:
        yield
    finally:
        with suppress(OSError, InputError):  # a folder that is full or gone: what ended the search says so
            record_minutes(folder, used + clock() / 60)
