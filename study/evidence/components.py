"""What seed noise is made of: the share of a metric's variance that each part of a seed has, in a crossed design."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from anchoring.errors import InputError
from study.search.goal import Goal, counted

PARTS = ("init", "data", "labels")
"""What a replica's seed fixes: its initial weights, its samples, and its labels."""

REST = "together"
"""What only combinations of the parts decide."""

FAILED = "failed"
"""Whether a replica failed, as a number."""

RESAMPLES = 1000


def factors_of(text: str) -> list[tuple[str, ...]]:
    """The factors of a design: parts that vary together are joined by "+".

    Raises InputError unless each part is named once.

    Examples:
        >>> factors_of("init, data+labels")
        [('init',), ('data', 'labels')]
    """
    factors = [tuple(re.split(r"\s*\+\s*", factor.strip())) for factor in text.split(",")]
    if sorted(part for factor in factors for part in factor) != sorted(PARTS) or len(factors) < 2:
        raise InputError(f"--vary: found {text!r}, expected {', '.join(PARTS)}, two of them perhaps joined by '+'")
    return factors


def design(factors: Sequence[tuple[str, ...]], levels: int, first: int) -> list[dict[str, int]]:
    """Every combination of the factors' levels: the seed of each part.

    Args:
        factors: `factors_of`.
        levels: how many seeds each factor has.
        first: the first of these seeds. The same seeds are used for all parts.
    """
    seeds = range(first, first + levels)
    return [
        {part: seed for factor, seed in zip(factors, combination, strict=True) for part in factor}
        for combination in itertools.product(seeds, repeat=len(factors))
    ]


def components(rows: pd.DataFrame, factors: Sequence[tuple[str, ...]], goal: Goal) -> pd.DataFrame:
    """The share of each metric's variance that each factor has by itself, and what combinations have together.

    Estimates are those of a crossed design with random levels and one replica in each cell: from mean squares, and 0 if
    they would be negative. Intervals are 95% percentiles of 1,000 bootstrap resamples. Each draws the levels of every
    factor anew (the pigeonhole bootstrap, Owen 2007, Ann. Appl. Stat. 1:386).

    Args:
        rows: a row for each combination, with a column for each part, `diverged` and the metrics.
        factors: `factors_of`.
        goal: the study's metrics, and what makes a replica fail.

    Returns:
        A row for each factor (`init`, or `data+labels`; last `together`) of each metric that varies, and of `failed`:
        `metric`, `factor`, `share`, `low`, `high`, and `sd`, the standard deviation that the factor alone would make.
    """
    names, parts = ["+".join(factor) for factor in factors], [factor[0] for factor in factors]
    values = {
        name: counted(rows, name, metric).reindex(rows.index) for name, metric in goal.metrics.items() if name in rows
    }
    values[FAILED] = goal.failed(rows).astype(float)
    table: list[dict[str, Any]] = []
    for metric, column in values.items():
        cube = _cube(rows.assign(value=column.astype(float)), parts)
        if np.isnan(cube).any() or np.ptp(cube) == 0:
            continue
        found = _variances(cube)
        total = sum(found) or 1.0
        resampled = np.array([_shares(cube, random) for random in np.random.default_rng(0).spawn(RESAMPLES)])
        low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
        for place, name in enumerate([*names, REST]):
            table.append(
                {
                    "metric": metric,
                    "factor": name,
                    "share": found[place] / total,
                    "low": low[place],
                    "high": high[place],
                    "sd": float(np.sqrt(found[place])),
                }
            )
    return pd.DataFrame(table)


def _cube(rows: pd.DataFrame, parts: Sequence[str]) -> np.ndarray:
    """The values by level of each factor."""
    ordered = rows.sort_values(list(parts))["value"].to_numpy()
    return ordered.reshape([rows[part].nunique() for part in parts])


def _variances(cube: np.ndarray) -> list[float]:
    """The variance that each axis has by itself, and last that of their combinations."""
    mean, axes = cube.mean(), range(cube.ndim)
    effects = [cube.mean(axis=tuple(other for other in axes if other != axis)) - mean for axis in axes]
    main = sum(effect.reshape([-1 if axis == other else 1 for other in axes]) for axis, effect in enumerate(effects))
    rest = cube - mean - main
    freedom = cube.size - 1 - sum(size - 1 for size in cube.shape)
    together = float((rest**2).sum() / freedom)
    alone = [
        max(0.0, float((effect**2).sum()) / (size - 1) - together * size / cube.size)
        for effect, size in zip(effects, cube.shape, strict=True)
    ]
    return [*alone, together]


def _shares(cube: np.ndarray, random: np.random.Generator) -> list[float]:
    """The shares of a resample: the levels of each factor drawn anew."""
    drawn = cube[np.ix_(*(random.integers(0, size, size) for size in cube.shape))]
    found = _variances(drawn)
    return [variance / (sum(found) or 1.0) for variance in found]
