"""Training a fixed setting here and now: a study of one trial, without Ray and without a search."""

from __future__ import annotations

import time

import optuna
import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from excolor.models import ColorMLP
from excolor.training import Rung, train
from study.folder import StudyFolder
from study.plan import Plan
from study.recorder import Recorder
from study.space import Space
from study.trial import Report, Trial


def train_once(space: Space, plan: Plan, folder: StudyFolder | None, console: Console) -> pd.DataFrame:
    """Train a space without ranges, record it in the folder if there is one, and return its replicas' last rung."""
    torch.set_num_threads(1)  # as in a study's workers, so that a replayed trial is the same to the last bit
    setting = space.setting({})
    start = time.perf_counter()
    reports = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} steps"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"training {plan.seeds} replicas", total=len(setting.schedule))

        def on_rung(rung: Rung, model: ColorMLP) -> None:
            report = Report.of(rung, model, plan.replica_seeds, time.perf_counter() - start)
            reports.append(report)
            progress.update(
                task, completed=rung.step, description=f"training {plan.seeds} replicas, isolation {report.value:.3f}"
            )

        train(setting, plan.replica_seeds, rungs=plan.rungs, on_rung=on_rung)
    if folder:
        search = folder.new_search(optuna.samplers.RandomSampler())
        trial = Trial(search.ask())
        for report in reports:
            trial.hear(report)
        recorder = Recorder(folder, [])
        recorder.record(trial)
        trial.tell(search)
    return reports[-1].replicas
