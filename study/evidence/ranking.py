"""What a confirmation says: how settings rank on held-out seeds, how surely, and how much the search flattered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import stats

from study.search.goal import Goal, counted


class RankedStudy(Protocol):
    """What a ranking needs to know of a study: `StudyFolder` has it."""

    @property
    def goal(self) -> Goal: ...

    def trials(self) -> pd.DataFrame: ...

    @property
    def references(self) -> list[str]: ...


def reference(confirmed: pd.DataFrame, folder: RankedStudy) -> str | None:
    """The confirmed setting that others are compared with: the first of the experiment's references that is there.

    If the experiment is not here, it is the first fixed setting.
    """
    fixed = confirmed[confirmed.trial.isna()].setting.unique().tolist()
    return next((name for name in folder.references or fixed if name in fixed), None)


def ranking(confirmed: pd.DataFrame, folder: RankedStudy) -> pd.DataFrame:
    """A row for each confirmed setting, the best first, of the goal's score on held-out seeds.

    mean, sd and p10, each with the ends `.low` and `.high` of a 95% bootstrap interval; min, which has none, since no
    resample goes below it; failures, the share of replicas that diverged or are worse than the objective's
    `Metric.failure`, with Wilson's interval, which a share of 0 has, too; `value`, the goal's aggregate; `searched`,
    what the search had measured, and `optimism`, that minus `value`; `over_reference`, the chance that a replica of the
    setting does better than one of the setting that `reference` names (Agarwal et al. 2021), with its interval; and
    `tied`: whether the 95% interval of its mean difference from the best, seed by seed, holds 0, and no more of its
    replicas fail: one bad seed in many widens the interval, and must not pass for a tie. Of a metric of which less is
    better, p10 and min are the 90th percentile and the largest.
    """
    goal = folder.goal
    metric, declared = goal.objectives[0], goal.first
    usual = reference(confirmed, folder)
    sign = 1.0 if goal.directions[0] == "maximize" else -1.0
    searched = folder.trials().set_index("trial")["value"]
    scores = {
        str(name): sign * counted(rows.set_index("seed"), metric, declared).sort_index()
        for name, rows in confirmed.groupby("setting", sort=False)
    }
    table = []
    for name, rows in confirmed.groupby("setting", sort=False):
        row: dict[str, Any] = {"setting": name, "trial": rows.trial.iloc[0], "value": goal.values(rows)[0]}
        own = scores[str(name)].to_numpy()
        for statistic, function in _STATISTICS.items():
            value, low, high = _with_interval(function, own)
            if sign < 0 and statistic != "sd":  # in the metric's own terms again
                value, low, high = -value, -high, -low
            row |= {statistic: value, f"{statistic}.low": low, f"{statistic}.high": high}
        row["min"] = sign * own.min()
        worse = False if declared.failure is None else sign * rows[metric] < sign * declared.failure
        failed = int((rows.diverged | worse).sum())
        likely = stats.binomtest(failed, len(rows)).proportion_ci(method="wilson")
        row |= {"failures": failed / len(rows), "failures.low": likely.low, "failures.high": likely.high}
        row["searched"] = searched.get(row["trial"], np.nan) if pd.notna(row["trial"]) else np.nan
        row["optimism"] = sign * (row["searched"] - row["value"])
        if usual is not None:
            row |= _over(own, scores[usual].to_numpy())
        table.append(row)
    ranked = pd.DataFrame(table)
    ranked = ranked.sort_values(["value", "mean"], ascending=sign < 0, kind="stable", ignore_index=True)
    best = scores[ranked.setting[0]]
    equal = [_tied((best - scores[name]).dropna().to_numpy()) for name in ranked.setting]
    ranked["tied"] = np.array(equal) & (ranked.failures <= ranked.failures[0])
    return ranked


def worths(rows: pd.DataFrame, folder: RankedStudy) -> pd.DataFrame:
    """What each term of a setting is worth, of `StudyFolder.leave_one_out`: a row for each, the worthiest first.

    mean: what replicas score without the term; worth: what the whole setting scores more, seed by seed, with the ends
    of its 95% bootstrap interval. A term whose interval holds 0 may be left out.
    """
    sign = 1.0 if folder.goal.directions[0] == "maximize" else -1.0
    scores = {
        str(name): counted(part.set_index("seed"), folder.goal.objectives[0], folder.goal.first).sort_index()
        for name, part in rows.groupby("setting", sort=False)
    }
    whole, *without = scores
    table = []
    for name in without:
        worth, low, high = _with_interval(np.mean, (sign * (scores[whole] - scores[name])).dropna().to_numpy())
        term, mean = name.removeprefix("without "), scores[name].mean()
        table.append({"term": term, "mean": mean, "worth": worth, "worth.low": low, "worth.high": high})
    return pd.DataFrame(table).sort_values("worth", ascending=False, kind="stable", ignore_index=True)


_STATISTICS: dict[str, Callable[..., Any]] = {
    "mean": np.mean,
    "sd": lambda x, axis: np.std(x, axis=axis, ddof=1),
    "p10": lambda x, axis: np.quantile(x, 0.1, axis=axis),
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
    return {"over_reference": value, "over_reference.low": low, "over_reference.high": high}


def _tied(differences: np.ndarray) -> bool:
    if not differences.any():
        return True
    _, low, high = _with_interval(np.mean, differences)
    return not (low > 0 or high < 0)
