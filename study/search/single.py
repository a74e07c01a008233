"""Training a fixed setting here and now: a study of one trial, without Ray and without a search."""

from __future__ import annotations

import time
from dataclasses import replace

import optuna
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from anchoring.training import Rung, train
from excolor.examination import examine
from excolor.models import ColorMLP
from study.record.folder import StudyFolder
from study.record.recorder import Recorder
from study.search.plan import Plan
from study.search.trial import Report, Trial
from study.space.space import Space


def train_once(space: Space, plan: Plan, console: Console, examined: bool) -> list[Report]:
    """Train a space without ranges and return its reports, the last with excolor.examination's if `examined`."""
    torch.set_num_threads(1)  # as in a study's workers, so that a replayed trial is the same to the last bit
    setting = space.setting({})
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

        def on_rung(rung: Rung, model: ColorMLP) -> None:
            report = Report.of(rung, model, plan.replica_seeds, time.perf_counter() - start)
            reports.append(report)
            progress.update(
                task,
                completed=rung.step,
                description=f"training {plan.seeds} replicas, isolation {plan.goal.score(report.replicas):.3f}",
            )

        model, _ = train(setting, plan.replica_seeds, rungs=plan.rungs, compiled=plan.compiled, on_rung=on_rung)
        if examined:
            progress.update(task, description=f"examining {plan.seeds} replicas")
            more = {name: metric.numpy() for name, metric in examine(model, setting, plan.replica_seeds).items()}
            reports[-1] = replace(reports[-1], replicas=reports[-1].replicas.assign(**more))
    return reports


def keep(reports: list[Report], folder: StudyFolder) -> None:
    """Record a training as the only trial of a new study's folder."""
    search = folder.search(optuna.samplers.RandomSampler(), folder.goal.directions)
    trial = Trial(search.ask(), folder.goal)
    for report in reports:
        trial.hear(report)
    Recorder(folder, []).record(trial)
    trial.tell(search)
