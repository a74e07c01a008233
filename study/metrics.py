"""Checks that an experiment declares its metrics properly, and measures exactly those that it declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from anchoring.errors import InputError
from study.experiment import Experiment, Metric

OTHER_COLUMNS = ("setting", "trial", "seed", "step", "diverged")  # of the tables in which metrics are columns


def metrics_of(experiment: Experiment, setting: Any) -> dict[str, Metric]:
    """The metrics that an experiment declares for a setting, copied into plain `Metric`s.

    Raises InputError if there are none, if one is not a `Metric`, or if its name is one of `OTHER_COLUMNS`.
    """
    declared = experiment.metrics(setting)
    where = f"experiment {experiment.name}: metrics"
    if not isinstance(declared, Mapping) or not declared:
        raise InputError(f"{where}: found {declared!r}, expected a mapping of names to one or more Metrics")
    for name, metric in declared.items():
        if not isinstance(name, str) or not name.isprintable() or not name or name in OTHER_COLUMNS:
            raise InputError(
                f"{where}: found {name!r}, expected a printable name other than {', '.join(OTHER_COLUMNS)}"
            )
        if not isinstance(metric, Metric):
            raise InputError(f"{where}: {name}: found {metric!r}, expected a study.experiment.Metric")
    return {name: Metric(**asdict(metric)) for name, metric in declared.items()}


def measured(
    experiment: str, found: Mapping[str, Any], declared: Mapping[str, Metric], diverged: Any, replicas: int
) -> dict[str, np.ndarray]:
    """What an experiment measured, as arrays [replicas] by metric, and its `diverged` under that name.

    Args:
        experiment: its name, for errors.
        found: the measured metrics, by name.
        declared: the metrics that should have been measured.
        diverged: which replicas have diverged, booleans [replicas].
        replicas: the number of replicas.

    Raises:
        InputError: if a declared metric is missing, a measured one is not declared, or one is not [replicas] numbers.
            If a metric declares a value for diverged replicas, all others must have a finite number.
    """
    where = f"experiment {experiment}: metric"
    if not isinstance(found, Mapping):
        raise InputError(
            f"experiment {experiment}: metrics: found {type(found).__name__}, expected a mapping of names to numbers"
        )
    for name in (name for name in declared if name not in found):
        raise InputError(f"{where} {name}: declared but not measured, expected [{replicas}] numbers")
    for name in (name for name in found if name not in declared):
        raise InputError(f"{where} {name}: measured but not declared, expected one of {', '.join(declared)}")
    gone = _array(diverged, f"experiment {experiment}: diverged", replicas)
    if gone.dtype != bool:
        raise InputError(f"experiment {experiment}: diverged: found {gone.dtype}, expected booleans [{replicas}]")
    arrays: dict[str, np.ndarray] = {"diverged": gone}
    for name, metric in declared.items():
        array = _array(found[name], f"{where} {name}", replicas)
        if array.dtype == bool or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
            raise InputError(f"{where} {name}: found {array.dtype}, expected [{replicas}] numbers")
        if metric.diverged is not None and (missing := ~np.isfinite(array) & ~gone).any():
            at = int(missing.argmax())
            expected = "a finite number, as the replica has not diverged"
            raise InputError(f"{where} {name}: found {array[at]} for replica {at}, expected {expected}")
        arrays[name] = array
    return arrays


def _array(value: Any, where: str, replicas: int) -> np.ndarray:
    try:
        array = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: found {value!r} ({error}), expected [{replicas}] numbers") from None
    if array.shape != (replicas,):
        found = f"shape {list(array.shape)}" if array.dtype.kind in "fiubc" else repr(value)
        raise InputError(f"{where}: found {found}, expected shape [{replicas}]")
    return array
