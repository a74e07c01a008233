"""Running a study: Ray Tune launches the trials, Optuna proposes them, ASHA stops the hopeless ones early."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import ray
from ray import tune

from study.folder import StudyFolder
from study.plan import Plan
from study.recorder import Listener, Recorder
from study.schedulers import scheduler
from study.search import OptunaSearch, Reports
from study.space import Space
from study.worker import run_trial


def run(space: Space, plan: Plan, folder: StudyFolder, listeners: list[Listener]) -> int:
    """Run a study's trials into its folder; return how many have ended by themselves, fewer than all if interrupted."""
    sampler = optuna.samplers.TPESampler(seed=plan.seed, multivariate=True, constant_liar=plan.workers > 1)
    study = folder.new_search(sampler)
    recorder = Recorder(folder, listeners)
    search = OptunaSearch(study, space, recorder)
    with _ray(plan.workers):
        try:
            tune.run(
                tune.with_parameters(
                    run_trial, space=space, seeds=plan.replica_seeds, rungs=plan.rungs, compiled=plan.compiled
                ),
                name="ray",
                trial_dirname_creator=lambda trial: f"{trial.config['trial']:05d}",
                storage_path=str(folder.path.resolve()),
                num_samples=plan.trials,
                max_concurrent_trials=plan.workers,  # none is proposed ahead: with one worker a study is reproducible
                resources_per_trial={"cpu": 1},
                search_alg=search,
                scheduler=scheduler(plan.scheduler, plan.rungs),
                reuse_actors=True,
                callbacks=[Reports(search, listeners)],
                raise_on_failed_trial=False,
                verbose=0,
            )
            return len(recorder.trials)
        finally:
            search.close()


@contextmanager
def _ray(workers: int) -> Iterator[None]:
    """A Ray of our own on this machine, quiet, without the loggers and snapshots that cost more than they tell."""
    os.environ.update(
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_GLOBAL_CHECKPOINT_S="3600",
        RAY_AIR_NEW_OUTPUT="0",
        RAY_USAGE_STATS_ENABLED="0",
    )
    ray.init(
        address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    try:
        yield
    finally:
        ray.shutdown()
