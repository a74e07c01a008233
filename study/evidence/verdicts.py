"""Verdicts: what each arm changes, metric by metric, judged by bands of seed noise on common seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from study.evidence.arms import REFERENCE
from study.experiment import Metric
from study.search.goal import counted

BETTER, WORSE, UNRESOLVED = "better", "worse", "not resolved"


def verdicts(rows: pd.DataFrame, metrics: Mapping[str, Metric]) -> pd.DataFrame:
    """Compare each arm with the reference, seed by seed.

    The band is two standard errors of the mean difference: 2 sd / sqrt(n), where sd is that of the differences on
    common seeds. A difference within it is not resolved. Where an arm makes no real difference, one comparison in 22
    exceeds its band by chance, with few seeds more (`by_chance`).

    Args:
        rows: a row for each arm and seed, with columns `setting`, `seed`, `diverged` and the metrics. The setting
            `reference` is what arms are compared with.
        metrics: the metrics to compare, by name.

    Returns:
        A row for each arm and metric, in their order: `arm`, `metric`; `reference` and `mean`, the means; `difference`,
        with the ends of its 95% t interval, `low` and `high`; `band`; `verdict`: better, worse or not resolved (of a
        metric without an ideal, more or less); and `seeds`, how many would resolve a difference of this size, for what
        is not resolved. All are NaN where a metric does not exist without one of them.

    Examples:
        >>> rows = pd.DataFrame({"setting": ["reference"] * 3 + ["flat"] * 3, "seed": [0, 1, 2] * 2, "diverged": False,
        ...     "utility": [0.7, 0.8, 0.9, 0.6, 0.71, 0.79]})
        >>> verdicts(rows, {"utility": Metric("how well it works")})[["arm", "difference", "band", "verdict"]].round(3)
            arm  difference   band verdict
        0  flat        -0.1  0.012   worse
    """
    by_arm = {str(name): part.set_index("seed", drop=False) for name, part in rows.groupby("setting", sort=False)}
    usual = by_arm.pop(REFERENCE)
    table: list[dict[str, Any]] = []
    for arm, part in by_arm.items():
        for name, metric in metrics.items():
            ours, theirs = (counted(of, name, metric) if name in of else pd.Series(dtype=float) for of in (part, usual))
            differences = (ours - theirs).dropna().to_numpy(dtype=float)
            n = len(differences)
            mean = float(differences.mean()) if n else math.nan
            sd = float(differences.std(ddof=1)) if n > 1 else math.nan
            error = sd / math.sqrt(n) if n else math.nan
            table.append(
                {
                    "arm": arm,
                    "metric": name,
                    "reference": theirs.mean(),
                    "mean": ours.mean(),
                    **judged(mean, error, n - 1, metric),
                    "seeds": _seeds(mean, sd) if abs(mean) <= 2 * error else math.nan,
                }
            )
    return pd.DataFrame(table)


def judged(difference: float, error: float, freedom: float, metric: Metric) -> dict[str, Any]:
    """A mean difference with its 95% t interval, its band of two standard errors, and its verdict.

    Args:
        difference: the mean difference.
        error: its standard error. NaN if there are too few values.
        freedom: the degrees of freedom.
        metric: the declaration of what differs.
    """
    from scipy import stats  # half a second

    half = float(stats.t.ppf(0.975, freedom)) * error if error > 0 else error
    return {
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
        "band": 2 * error,
        "verdict": _verdict(difference, 2 * error, metric),
    }


def by_chance(comparisons: int, seeds: int) -> float:
    """How many comparisons, out of a number, would exceed their bands by chance, if no arm made any difference.

    Examples:
        >>> round(by_chance(100, 16), 1), round(by_chance(100, 4), 1)
        (6.4, 13.9)
    """
    from scipy import stats

    return comparisons * 2 * float(stats.t.sf(2, seeds - 1))


def _verdict(difference: float, band: float, metric: Metric) -> str:
    """What a difference in a metric means beside its band: better, worse or not resolved; else more or less."""
    if math.isnan(difference) or math.isnan(band) or abs(difference) <= band:
        return UNRESOLVED
    if metric.ideal is None:
        return "more" if difference > 0 else "less"
    return BETTER if (difference > 0) == metric.higher_is_better else WORSE


def _seeds(difference: float, sd: float) -> float:
    """The number of seeds whose band is as wide as a difference."""
    return float(np.ceil((2 * sd / difference) ** 2)) if difference else math.inf
