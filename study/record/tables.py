"""A study's tables: how they are read, and how the replicas' rows are summarised in a trial's row."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from anchoring.errors import InputError, reason
from study.record.untrusted import read_frame

NOT_METRICS = ("trial", "seed", "step", "diverged")  # the other columns of replicas.parquet

STATISTICS: dict[str, Callable[[np.ndarray], Any]] = {  # those of pandas to the last bit, in a tenth of the time
    "mean": np.mean,
    "sd": lambda values: (
        np.sqrt(np.var(values, ddof=1, dtype=float).astype(_real(values.dtype))) if len(values) > 1 else np.nan
    ),
    "p10": lambda values: np.percentile(values, np.array([10.0]))[0],
    "min": np.min,
}


def _real(kind: np.dtype) -> np.dtype:
    """The numbers in which pandas gives a statistic of such numbers."""
    return kind if kind.kind == "f" else np.dtype(float)


def trials_table(folder: Path) -> pa.Table:
    """The folder's trials.parquet, or an empty table."""
    path = folder / "trials.parquet"
    try:
        return pq.read_table(path) if path.is_file() else pa.table({})
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: damaged: {reason(error)}, expected a Parquet file (remove it, then run `study resume`)"
        ) from None


def replicas_of(folder: Path, trial: int) -> pd.DataFrame:
    """One trial's rows of replicas.parquet."""
    path = folder / "replicas.parquet" / f"{trial:05d}.parquet"
    return read_frame(path, ("seed", "step")) if path.is_file() else pd.DataFrame({"seed": [], "step": []})


def summarise(replicas: pd.DataFrame) -> dict[str, float]:
    """Statistics of one trial's rows at one rung, as `<metric>.<statistic>`.

    NaN, such as most metrics of diverged replicas, is left out. The sd of a single replica is NaN.
    """
    columns = {name: replicas[name].to_numpy() for name in metric_names(replicas)}
    known = {name: values[~np.isnan(values)] for name, values in columns.items()}
    return {
        f"{metric}.{name}": float(statistic(values)) if len(values) else math.nan
        for metric, values in known.items()
        for name, statistic in STATISTICS.items()
    }


def metric_means(replicas: pd.DataFrame) -> dict[str, float]:
    """The mean of each metric over one trial's rows at one rung. Metrics that are NaN in all rows are left out."""
    means = {name: float(replicas[name].mean()) for name in metric_names(replicas)}
    return {name: mean for name, mean in means.items() if not math.isnan(mean)}


def metric_names(replicas: pd.DataFrame) -> list[str]:
    """The columns of replicas.parquet that are metrics."""
    return [column for column in replicas.columns if column not in NOT_METRICS]
