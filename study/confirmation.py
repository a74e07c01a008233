"""Confirming a study: its best settings, the seed's and the published one, trained on seeds that no search has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import ray
from scipy import stats

from excolor import InputError, Setting
from excolor.step import step_kinds
from study.folder import StudyFolder
from study.plan import Plan, worth_compiling
from study.space import Space
from study.trial import Report

if TYPE_CHECKING:
    from excolor.models import ColorMLP
    from excolor.training import Rung

SPACES = Path(__file__).parent.parent / "search_spaces"
REFERENCES = (SPACES / "seed.toml", SPACES / "published.toml")
AT_ONCE = 16  # replicas a task, so that workers share the work evenly
FAILURE = 0.5  # a replica of less isolation has failed


@dataclass(frozen=True)
class Candidate:
    """A setting to be confirmed: a trial of the study, or a fixed setting to compare it with."""

    name: str
    space: Space
    parameters: dict[str, Any]
    trial: int | None = None
    compiled: bool = False

    @property
    def setting(self) -> Setting:
        return self.space.setting(self.parameters)


def candidates(folder: StudyFolder, top: int, seeds: int, references: tuple[Path, ...]) -> list[Candidate]:
    """The study's best settings and those to compare them with. Raises InputError if a reference has ranges."""
    plan = Plan.of(folder)
    best = [
        Candidate(f"trial {trial}", folder.space, folder.parameters(trial), trial, plan.compiled)
        for trial in folder.best(top).trial.tolist()
    ]
    made = {kind for candidate in best if candidate.compiled for kind in step_kinds(candidate.setting)}
    others = []
    for file in references:
        space = Space.read(file, plan.steps)
        if space.distributions:
            raise InputError(f"{file}: found ranges, expected a fixed setting to compare with (--against)")
        pays = worth_compiling(space, replace(plan, trials=1, seeds=seeds)) or step_kinds(space.setting({})) <= made
        others.append(Candidate(file.stem, space, {}, compiled=plan.compiled and pays))
    return best + others


def confirm(
    chosen: list[Candidate],
    folder: StudyFolder,
    seeds: list[int],
    advanced: Callable[[int, int], None],
    examined: bool = False,
) -> pd.DataFrame:
    """Train every candidate on the seeds, on the Ray at hand, and write and return confirmation.parquet: a row for each
    candidate and seed, with excolor.examination's metrics if `examined`.

    `advanced` hears how many tasks of how many are done.
    """
    parts = [seeds[start : start + AT_ONCE] for start in range(0, len(seeds), AT_ONCE)]
    task = ray.remote(num_cpus=1)(_train)
    waiting = [task.remote(candidate, part, examined) for candidate in chosen for part in parts]
    todo = list(waiting)
    while todo:
        done, todo = ray.wait(todo)
        advanced(len(waiting) - len(todo), len(waiting))
        ray.get(done)
    table: pd.DataFrame = pd.concat(ray.get(waiting), ignore_index=True)
    folder.write("confirmation.parquet", table.to_parquet(index=False))
    return table


def _train(candidate: Candidate, seeds: list[int], examined: bool) -> pd.DataFrame:
    """One task: the rows of confirmation.parquet of a candidate and some of the seeds."""
    import torch

    from excolor.examination import examine
    from excolor.training import train

    torch.set_num_threads(1)
    reports: list[Report] = []

    def on_rung(rung: Rung, model: ColorMLP) -> None:
        reports.append(Report.of(rung, model, seeds, 0.0))

    setting = candidate.setting
    model, _ = train(setting, seeds, rungs=1, compiled=candidate.compiled, on_rung=on_rung)
    rows = reports[-1].replicas
    if examined:
        rows = rows.assign(**{name: metric.numpy() for name, metric in examine(model, setting, seeds).items()})
    rows.insert(0, "setting", candidate.name)
    rows.insert(1, "trial", pd.Series([candidate.trial] * len(rows), dtype="Int64"))
    return rows


# What the rows say


def ranking(confirmed: pd.DataFrame, folder: StudyFolder) -> pd.DataFrame:
    """A row for each confirmed setting, the best first, of the goal's score on held-out seeds.

    mean, sd, p10, min and failures (the share of replicas that diverged or isolate less than 0.5), each with the ends
    `.low` and `.high` of a 95% bootstrap interval; `value`, the goal's aggregate; `searched`, what the search had
    measured, and `optimism`, that minus `value`; `over_published`, the chance that a replica of the setting does better
    than one of the published setting (Agarwal et al. 2021), with its interval; and `tied`: whether the 95% interval of
    its mean difference from the best, seed by seed, holds 0. Of a metric of which less is better, p10 and min are the
    90th percentile and the largest.
    """
    metric, goal = folder.goal.objectives[0], folder.goal
    sign = 1.0 if goal.directions[0] == "maximize" else -1.0
    searched = folder.trials.set_index("trial")["value"]
    scores = {
        str(name): sign * rows.sort_values("seed")[metric].fillna(0).to_numpy()
        for name, rows in confirmed.groupby("setting", sort=False)
    }
    table = []
    for name, rows in confirmed.groupby("setting", sort=False):
        row: dict[str, Any] = {"setting": name, "trial": rows.trial.iloc[0], "value": goal.values(rows)[0]}
        failed = (rows.diverged | (rows.isolation < FAILURE)).to_numpy(float)
        for statistic, (values, function) in _statistics(scores[str(name)], failed).items():
            value, low, high = _with_interval(function, values)
            if sign < 0 and statistic in ("mean", "p10", "min"):  # in the metric's own terms again
                value, low, high = -value, -high, -low
            row |= {statistic: value, f"{statistic}.low": low, f"{statistic}.high": high}
        row["searched"] = searched.get(row["trial"], np.nan) if pd.notna(row["trial"]) else np.nan
        row["optimism"] = sign * (row["searched"] - row["value"])
        if "published" in scores:
            row |= _over(scores[str(name)], scores["published"])
        table.append(row)
    ranked = pd.DataFrame(table)
    ranked = ranked.sort_values(["value", "mean"], ascending=sign < 0, kind="stable", ignore_index=True)
    best = scores[ranked.setting[0]]
    ranked["tied"] = [name == ranked.setting[0] or _tied(best - scores[name]) for name in ranked.setting]
    return ranked


def _statistics(scores: np.ndarray, failed: np.ndarray) -> dict[str, tuple[np.ndarray, Callable[..., Any]]]:
    return {
        "mean": (scores, np.mean),
        "sd": (scores, lambda x, axis: np.std(x, axis=axis, ddof=1)),
        "p10": (scores, lambda x, axis: np.quantile(x, 0.1, axis=axis)),
        "min": (scores, np.min),
        "failures": (failed, np.mean),
    }


def _with_interval(function: Callable[..., Any], *samples: np.ndarray) -> tuple[float, float, float]:
    """A statistic of samples and the ends of its 95% percentile bootstrap interval."""
    if min(map(len, samples)) < 2:
        return float(function(*samples, axis=-1)), np.nan, np.nan
    interval = stats.bootstrap(
        samples, function, n_resamples=2000, method="percentile", rng=np.random.default_rng(0), vectorized=True
    ).confidence_interval
    return float(function(*samples, axis=-1)), float(interval.low), float(interval.high)


def _over(scores: np.ndarray, others: np.ndarray) -> dict[str, float]:
    def chance(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        """The share of pairs in which the first does better; a tie is half a pair."""
        difference = np.sign(a[..., :, None] - b[..., None, :])
        return (difference.mean((-2, -1)) + 1) / 2

    value, low, high = _with_interval(chance, scores, others)
    return {"over_published": value, "over_published.low": low, "over_published.high": high}


def _tied(differences: np.ndarray) -> bool:
    _, low, high = _with_interval(np.mean, differences)
    return not (low > 0 or high < 0)
