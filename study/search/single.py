"""Training a fixed setting here and now: a study of one trial, without Ray and without a search."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import optuna
import torch
from torch import nn

from study.experiment import Rung
from study.record.folder import StudyFolder
from study.record.recorder import Recorder
from study.search import journal
from study.search.examination import examined
from study.search.goal import Goal
from study.search.plan import Plan
from study.search.trial import Reached, Report, TrialRecord
from study.space.doses import dose_columns
from study.space.space import Space
from study.surroundings import alone
from study.watch.screen import Screen


def train_once(space: Space, plan: Plan, goal: Goal, screen: Screen, examine: bool) -> list[Report]:
    """Train a space without ranges and return its reports, the last with the experiment's examination if asked for."""
    experiment, setting = space.experiment, space.setting()
    start = time.perf_counter()
    reports: list[Report] = []
    title = f"training {plan.seeds} replicas"
    with alone(), _one_thread(), screen.progress(title, len(setting.schedule), "steps") as update:

        def on_rung(rung: Rung, model: nn.Module) -> None:
            reached = Reached.of(rung, model, plan.replica_seeds, experiment, setting)
            report = Report.of([reached], goal, time.perf_counter() - start, dose_columns(setting.schedule))
            reports.append(report)
            so_far = f"{goal.objectives[0]} {report.values[rung.step][0]:.3f}"
            update(completed=rung.step, description=f"{title}, {so_far}")

        with space.source.located(str(space.file)) if space.source.file else nullcontext():
            model = experiment.train(
                setting, plan.replica_seeds, rungs=plan.rungs, compiled=bool(plan.compiled), on_rung=on_rung
            )
            if examine:
                update(description=f"examining {plan.seeds} replicas")
                last = reports[-1].replicas
                more = examined(experiment, model, setting, plan.replica_seeds, last.diverged.to_numpy())
                reports[-1] = replace(reports[-1], replicas=last.assign(**more))
    return reports


def keep(reports: list[Report], folder: StudyFolder) -> None:
    """Record a training as the only trial of a new study's folder."""
    search = journal.search(folder.path, optuna.samplers.RandomSampler(), folder.goal.directions)
    trial = TrialRecord(search.ask(), folder.goal)
    for report in reports:
        trial.add(report)
    with Recorder(folder.path, journal.of(search), []) as recorder:
        recorder.record(trial)
        trial.finish(search)


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread, as in a study's workers, so that a replayed trial is the same to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
