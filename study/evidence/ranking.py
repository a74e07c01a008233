"""What a confirmation shows: how settings rank on held-out seeds, how certainly, and how optimistic the search was."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numpy as np
import pandas as pd

from study.search.goal import Goal


class RankedStudy(Protocol):
    """The study that a ranking is about. `StudyFolder` is one."""

    @property
    def goal(self) -> Goal:
        """The study's objectives."""

    def trials(self) -> pd.DataFrame:
        """A row for each trial, with columns `trial` and `value`: what the search measured."""

    @property
    def references(self) -> list[str]:
        """Names of settings to compare with, the usual one first. Empty if the experiment is not available."""


def reference(confirmed: pd.DataFrame, folder: RankedStudy) -> str | None:
    """The confirmed setting that others are compared with.

    Args:
        confirmed: the rows of `StudyFolder.confirmation`.
        folder: their study.

    Returns:
        The first of the study's `references` that was confirmed. If it has none, the first fixed setting that was
        confirmed. None if only trials were.

    Examples:
        >>> from types import SimpleNamespace
        >>> confirmed = pd.DataFrame({"setting": ["trial 7", "plain", "usual"], "trial": [7, None, None]})
        >>> reference(confirmed, SimpleNamespace(references=["usual", "plain"]))
        'usual'
    """
    fixed = confirmed[confirmed.trial.isna()].setting.unique().tolist()
    return next((name for name in folder.references or fixed if name in fixed), None)


def ranking(confirmed: pd.DataFrame, folder: RankedStudy) -> pd.DataFrame:
    """Rank the confirmed settings by the first objective on held-out seeds.

    The table has these columns. Those with an interval are followed by its ends, as in `mean.low` and `mean.high`. All
    intervals are 95% bootstrap intervals, except that of `failures`.

    - `setting`, `trial`: its name, and the number of the trial. A fixed setting has none.
    - `value`: the goal's aggregate. Settings are ranked by it.
    - `mean`, `sd`, `p10`, with intervals. If smaller values are better, `p10` is the 90th percentile.
    - `min`: the worst replica, without an interval: no resample can be worse.
    - `failures`: the share of replicas that diverged or are worse than `Metric.failure`, with Wilson's interval, which
      has a width even if no replica failed.
    - `searched`, `optimism`: the value that the search measured, and by how much it is better than `value`.
    - `over_reference`: the chance that a replica does better than a replica of the `reference` (Agarwal et al. 2021),
      with an interval. The column is missing if there is no reference.
    - `feasible`, `binds`, `margin`: whether it keeps the constraints on these seeds, the one that it keeps least, and
      by how many bands. The columns are missing if there are no constraints. What breaks one ranks last.
    - `tied`: whether the setting ties with the best. The interval of their mean difference, seed by seed, contains 0,
      and no larger share of its replicas failed: one bad seed widens the interval, and must not make a tie.

    Args:
        confirmed: the rows of `StudyFolder.confirmation`, one for each setting and seed.
        folder: their study.

    Returns:
        A row for each setting, the best first.

    Examples:
        >>> from types import SimpleNamespace
        >>> from study.experiment import Metric
        >>> goal = Goal({"utility": Metric("how well it works", diverged=0.0, failure=0.5)})
        >>> trials = pd.DataFrame({"trial": [7], "value": [0.95]})
        >>> folder = SimpleNamespace(goal=goal, trials=lambda: trials, references=["usual"])
        >>> confirmed = pd.DataFrame({
        ...     "setting": ["usual"] * 3 + ["trial 7"] * 3,
        ...     "trial": [None] * 3 + [7] * 3,
        ...     "seed": [0, 1, 2] * 2,
        ...     "utility": [0.4, 0.6, 0.8, 0.8, 0.9, 1.0],
        ...     "diverged": False,
        ... })
        >>> ranked = ranking(confirmed, folder)
        >>> ranked[["setting", "value", "failures", "optimism", "over_reference", "tied"]].round(2)
           setting  value  failures  optimism  over_reference   tied
        0  trial 7    0.9      0.00      0.05            0.94   True
        1    usual    0.6      0.33       NaN            0.50  False
    """
    goal = folder.goal
    held = goal.beside(confirmed)
    sign, usual = goal.sign, reference(confirmed, folder)
    searched = folder.trials().set_index("trial")["value"]
    scores = _scores(confirmed, goal)
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
        failed = int(goal.failed(rows).sum())
        low, high = _wilson(failed, len(rows))
        row |= {"failures": failed / len(rows), "failures.low": low, "failures.high": high}
        row["searched"] = searched.get(row["trial"], np.nan) if pd.notna(row["trial"]) else np.nan
        row["optimism"] = sign * (row["searched"] - row["value"])
        if usual is not None:
            row |= _over(own, scores[usual].to_numpy())
        if goal.constraints:
            row["feasible"] = held.keeps(rows)
            row["binds"], row["margin"] = held.tightest(rows)
        table.append(row)
    ranked = pd.DataFrame(table)
    order = ["feasible"] * bool(goal.constraints) + ["value", "mean"]
    ascending = [False] * bool(goal.constraints) + [sign < 0] * 2
    ranked = ranked.sort_values(order, ascending=ascending, kind="stable", ignore_index=True)
    best = scores[ranked.setting[0]]
    equal = [_tied((best - scores[name]).dropna().to_numpy()) for name in ranked.setting]
    ranked["tied"] = np.array(equal) & (ranked.failures <= ranked.failures[0])
    return ranked


def mean_in_words(row: pd.Series) -> str:
    """The mean of a row of `ranking` with its interval.

    Args:
        row: the row.

    Examples:
        >>> mean_in_words(pd.Series({"mean": 0.9, "mean.low": 0.88, "mean.high": 0.915}))
        '0.900 [0.880, 0.915]'
    """
    return f"{row['mean']:.3f} [{row['mean.low']:.3f}, {row['mean.high']:.3f}]"


def worths(rows: pd.DataFrame, folder: RankedStudy) -> pd.DataFrame:
    """How much each regularizer of a setting is worth: how much less the setting scores without it.

    Args:
        rows: the rows of `StudyFolder.leave_one_out`. Those of the whole setting come first.
        folder: their study.

    Returns:
        A row for each regularizer, the most worth first: `term`; `mean`, the score without it; and `worth`, the mean
        difference from the whole setting, seed by seed, with the ends of its 95% bootstrap interval in `worth.low` and
        `worth.high`. If the interval contains 0, the regularizer may be left out.

    Examples:
        >>> from types import SimpleNamespace
        >>> from study.experiment import Metric
        >>> folder = SimpleNamespace(goal=Goal({"utility": Metric("how well it works", diverged=0.0)}))
        >>> rows = pd.DataFrame({
        ...     "setting": ["trial 7"] * 2 + ["without norm"] * 2,
        ...     "seed": [0, 1] * 2,
        ...     "utility": [0.8, 1.0, 0.7, 0.7],
        ...     "diverged": False,
        ... })
        >>> worths(rows, folder)[["term", "mean", "worth"]].round(2)
           term  mean  worth
        0  norm   0.7    0.2
    """
    scores = _scores(rows, folder.goal)
    whole, *without = scores
    table = []
    for name in without:
        worth, low, high = _with_interval(_STATISTICS["mean"], (scores[whole] - scores[name]).dropna().to_numpy())
        term, mean = name.removeprefix("without "), folder.goal.sign * scores[name].mean()
        table.append({"term": term, "mean": mean, "worth": worth, "worth.low": low, "worth.high": high})
    return pd.DataFrame(table).sort_values("worth", ascending=False, kind="stable", ignore_index=True)


def _scores(rows: pd.DataFrame, goal: Goal) -> dict[str, pd.Series]:
    """The scores of each setting's replicas, by seed."""
    settings = rows.set_index("seed").groupby("setting", sort=False)
    return {str(name): goal.scores(part).sort_index() for name, part in settings}


# SciPy has these two intervals, too, but takes half a second to import, and `study status` needs no more of it.


def _with_interval(statistic: Callable[[np.ndarray], Any], sample: np.ndarray) -> tuple[float, float, float]:
    """A statistic of a sample, over the last axis, and the ends of its 95% percentile bootstrap interval."""
    (resampled,) = _resamples(len(sample))
    return _interval(statistic(sample), statistic(sample[resampled]), len(sample))


_STATISTICS: dict[str, Callable[[np.ndarray], Any]] = {
    "mean": lambda x: np.mean(x, axis=-1),
    "sd": lambda x: np.std(x, axis=-1, ddof=1),
    "p10": lambda x: np.quantile(x, 0.1, axis=-1),
}


def _over(scores: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """The chance that a score is higher than another one, where a tie counts half, with its interval."""
    signs = np.sign(scores[:, None] - others)
    a, b = _resamples(len(scores), len(others))
    chances = (((_counts(a) @ signs) * _counts(b)).sum(1) / signs.size + 1) / 2
    value, low, high = _interval((signs.mean() + 1) / 2, chances, min(signs.shape))
    return {"over_reference": value, "over_reference.low": low, "over_reference.high": high}


@cache
def _resamples(*sizes: int) -> list[np.ndarray]:
    """The places that each of 2,000 bootstrap resamples draws from samples of these sizes."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, n, (2000, n)) for n in sizes]


def _counts(drawn: np.ndarray) -> np.ndarray:
    """How often each resample, a row, drew each place."""
    resamples, size = drawn.shape
    rows = drawn + size * np.arange(resamples)[:, None]
    return np.bincount(rows.ravel(), minlength=drawn.size).reshape(resamples, size)


def _interval(value: Any, resampled: np.ndarray, size: int) -> tuple[float, float, float]:
    """A value with the ends that hold 95% of the resampled ones. They are NaN if a sample is a single number."""
    low, high = np.percentile(resampled, (2.5, 97.5)) if size > 1 else (np.nan, np.nan)
    return float(value), float(low), float(high)


def _wilson(failed: int, of: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    z = 1.959963984540054  # the normal distribution's 97.5th percentile
    center = (failed + z * z / 2) / (of + z * z)
    half = z / (of + z * z) * math.sqrt(failed * (of - failed) / of + z * z / 4)
    return (center - half if failed else 0.0), (center + half if failed < of else 1.0)


def _tied(differences: np.ndarray) -> bool:
    if not differences.any():
        return True
    _, low, high = _with_interval(_STATISTICS["mean"], differences)
    return not (low > 0 or high < 0)
