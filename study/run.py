"""Running a study: Ray Tune launches the trials, Optuna proposes them, a scheduler stops the hopeless ones early."""

from __future__ import annotations

from ray import tune

from study.folder import StudyFolder
from study.plan import Plan
from study.recorder import Listener, Recorder
from study.samplers import sampler
from study.schedulers import Audited, replay, scheduler
from study.search import OptunaSearch, Reports, requeue
from study.worker import run_trial

WITHOUT_END = 1_000_000  # trials


def run(plan: Plan, folder: StudyFolder, listeners: list[Listener]) -> bool:
    """Run a study's trials into its folder, on the Ray at hand, until there are as many as the plan says.

    Those that the folder has already are not repeated, and those that were interrupted come first. Returns whether it
    got to the end.
    """
    recorder = Recorder(folder, listeners)
    past = len(recorder.trials)
    study = folder.search(sampler(plan, past), plan.goal.directions)
    requeue(study)
    search = OptunaSearch(study, folder.space, plan.goal, recorder, plan.minutes and plan.minutes * 60)
    stopping = scheduler(plan.scheduler, plan.rungs)
    replay(stopping, folder.scores())
    if plan.audit:
        stopping = Audited(stopping, plan.audit, plan.seed + past, lambda trial_id: search.running[trial_id].spare())
    left = (plan.trials or WITHOUT_END) - past
    if left <= 0:
        return True
    try:
        tune.run(
            tune.with_parameters(run_trial, space=folder.space, plan=plan),
            name="ray",
            trial_dirname_creator=lambda trial: f"{trial.config['trial']:05d}",
            storage_path=str(folder.path.resolve()),
            num_samples=left,
            max_concurrent_trials=plan.at_once,  # none is proposed ahead: with one worker a study is reproducible
            resources_per_trial={"cpu": 1},
            search_alg=search,
            scheduler=stopping,
            reuse_actors=True,
            callbacks=[Reports(search, listeners)],
            raise_on_failed_trial=False,
            verbose=0,
        )
    finally:
        interrupted = bool(search.running)
        search.close()
    return not interrupted
