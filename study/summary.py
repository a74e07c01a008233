"""Tables for the terminal: what a study found, what a training measured, and what a trial was."""

from __future__ import annotations

import warnings

import optuna
import pandas as pd
from rich.table import Table

from excolor import Setting
from study.folder import NOT_METRICS, StudyFolder
from study.live import format_value


def best_settings(folder: StudyFolder, n: int = 3) -> Table:
    """The best settings side by side: their isolation, then a row per parameter, the most important first."""
    best = folder.best(n)
    table = Table(title=f"The {len(best)} best settings of {folder.name}", title_justify="left")
    table.add_column("", no_wrap=True)
    table.add_column("importance", justify="right", no_wrap=True)
    for trial in best.trial:
        table.add_column(f"trial {trial}", justify="right", no_wrap=True)
    for name, label in _HEADLINES.items():
        cells = [f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(best[f"{name}.mean"], best[f"{name}.sd"], strict=True)]
        table.add_row(label, "", *cells)
    table.add_row("worst seed", "", *(f"{value:.3f}" for value in best["isolation.min"]), end_section=True)
    weights = importances(folder)
    for name in weights or folder.space.distributions:
        values = [format_value(value) for value in best[f"param.{name}"].tolist()]
        table.add_row(name, f"{weights[name]:.0%}" if weights else "", *values)
    if weights:
        table.caption = "importance: share of what separates good complete trials from the rest (PED-ANOVA)"
    return table


def importances(folder: StudyFolder) -> dict[str, float]:
    """Each parameter's share of what makes a complete trial good (PED-ANOVA, sums to 1), the largest first.

    Empty if too few trials are complete to say.
    """
    study = folder.optuna()
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(complete) < 10 or len({trial.value for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


def metrics(replicas: pd.DataFrame) -> Table:
    """Every metric over the replicas of one trial at one rung."""
    table = Table(title=f"{len(replicas)} replicas after {replicas.step.iloc[0]:,} steps", title_justify="left")
    for column in ("metric", "mean", "sd", "10th percentile", "min", "max"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name in replicas.columns.drop(list(NOT_METRICS), errors="ignore"):
        values = replicas[name].dropna()
        sd = values.std() if len(values) > 1 else 0.0
        figures = (values.mean(), sd, values.quantile(0.1), values.min(), values.max())
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
    if replicas.diverged.any():
        table.caption = f"{replicas.diverged.sum()} of them diverged: 0 in isolation, left out of the other metrics"
    return table


def schedule(setting: Setting) -> Table:
    """A setting's keyframes after resolution, a row per key."""
    table = Table(title=f"Schedule, {len(setting.schedule):,} steps", title_justify="left")
    table.add_column("step", justify="right")
    rows = setting.schedule.rows
    words = {"phase": [row.phase for row in rows], "actions": [", ".join(row.actions) for row in rows]}
    words = {title: cells for title, cells in words.items() if any(cells)}
    for title in words:
        table.add_column(title)
    for column in setting.schedule.properties:
        table.add_column(column.name, justify="right")
    keys = [dict(zip(p.steps, p.values, strict=True)) for p in setting.schedule.properties]
    for i, row in enumerate(rows):
        cells = [column[i] for column in words.values()]
        cells += [format_value(column[row.step]) if row.step in column else "" for column in keys]
        table.add_row(f"{row.step:,}", *cells)
    return table


_HEADLINES = {"isolation": "isolation", "utility": "utility", "hue_blindness": "hue blindness"}
