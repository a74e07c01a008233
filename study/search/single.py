"""Training a fixed setting here and now: a study of one trial, without Ray and without a search."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace

import optuna
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from study.experiment import Rung
from study.record.folder import StudyFolder
from study.record.recorder import Recorder
from study.search import journal
from study.search.examination import examined
from study.search.goal import Goal
from study.search.plan import Plan
from study.search.trial import Report, TrialRecord
from study.space.space import Space


def train_once(space: Space, plan: Plan, goal: Goal, console: Console, examine: bool) -> list[Report]:
    """Train a space without ranges and return its reports, the last with the experiment's examination if asked for."""
    torch.set_num_threads(1)  # as in a study's workers, so that a replayed trial is the same to the last bit
    experiment, setting = space.experiment, space.setting()
    start = time.perf_counter()
    reports: list[Report] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} steps"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as progress:
        task = progress.add_task(f"training {plan.seeds} replicas", total=len(setting.schedule))

        def on_rung(rung: Rung, model: nn.Module) -> None:
            report = Report.of(rung, model, plan.replica_seeds, time.perf_counter() - start, experiment, setting)
            reports.append(report)
            so_far = f"{goal.objectives[0]} {goal.values(report.replicas)[0]:.3f}"
            progress.update(task, completed=rung.step, description=f"training {plan.seeds} replicas, {so_far}")

        with space.source.located(str(space.file)) if space.source.file else nullcontext():
            model = experiment.train(
                setting, plan.replica_seeds, rungs=plan.rungs, compiled=plan.compiled, on_rung=on_rung
            )
            if examine:
                progress.update(task, description=f"examining {plan.seeds} replicas")
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
    Recorder(folder.path, []).record(trial)
    trial.finish(search)
