"""The tables of a study: what their columns are, how they are read, and what replicas' rows say in a row of a trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from anchoring.errors import InputError, reason
from study.record.untrusted import read_frame

NOT_METRICS = ("trial", "seed", "step", "diverged")  # the other columns of replicas.parquet

STATISTICS: dict[str, Callable[[pd.Series], Any]] = {
    "mean": pd.Series.mean,
    "sd": pd.Series.std,
    "p10": lambda values: values.quantile(0.1),
    "min": pd.Series.min,
}


def trials_table(folder: Path) -> pa.Table:
    """The folder's trials.parquet as it is on disk; empty if there is none."""
    path = folder / "trials.parquet"
    try:
        return pq.read_table(path) if path.is_file() else pa.table({})
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: is no table: {reason(error)}, expected Parquet (remove it, and `study resume` makes it anew)"
        ) from None


def replicas_of(folder: Path, trial: int) -> pd.DataFrame:
    """The rows of replicas.parquet of one trial; empty if there are none."""
    path = folder / "replicas.parquet" / f"{trial:05d}.parquet"
    return read_frame(path, ("seed", "step")) if path.is_file() else pd.DataFrame({"seed": [], "step": []})


def summarise(replicas: pd.DataFrame) -> dict[str, float]:
    """`<metric>.<statistic>` of each metric over replicas, of rows that are one trial's at one rung.

    NaN, as most metrics of diverged replicas are, is left out. sd: NaN of one.
    """
    return {
        f"{metric}.{name}": float(statistic(replicas[metric].dropna()))
        for metric in metric_names(replicas)
        for name, statistic in STATISTICS.items()
    }


def metric_means(replicas: pd.DataFrame) -> dict[str, float]:
    """Each metric's mean over replicas that are one trial's at one rung, where there is one."""
    means = {name: float(replicas[name].mean()) for name in metric_names(replicas)}
    return {name: mean for name, mean in means.items() if not math.isnan(mean)}


def metric_names(replicas: pd.DataFrame) -> list[str]:
    """The columns of replicas.parquet that are metrics."""
    return [column for column in replicas.columns if column not in NOT_METRICS]
