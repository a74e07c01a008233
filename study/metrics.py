"""The metrics that an experiment declares, and what it reports of its replicas, held against that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from anchoring.errors import InputError
from study.experiment import Experiment, Metric

OTHER_COLUMNS = ("setting", "trial", "seed", "step", "diverged")  # that tables have beside metrics


def metrics_of(experiment: Experiment, setting: Any) -> dict[str, Metric]:
    """The metrics that an experiment declares for a setting, copied into plain `Metric`s.

    Raises InputError if it declares none, something else, or one that is named like a column of the tables.
    """
    declared = experiment.metrics(setting)
    where = f"experiment {experiment.name}: metrics"
    if not isinstance(declared, Mapping) or not declared:
        raise InputError(f"{where}: found {declared!r}, expected at least one, by name")
    for name, metric in declared.items():
        if not isinstance(name, str) or not name.isprintable() or not name or name in OTHER_COLUMNS:
            raise InputError(f"{where}: found the name {name!r}, expected another (tables have such a column)")
        if not isinstance(metric, Metric):
            raise InputError(f"{where}: {name}: found {metric!r}, expected a study.experiment.Metric")
    return {name: Metric(**asdict(metric)) for name, metric in declared.items()}


def measured(
    experiment: str, found: Mapping[str, Any], declared: Mapping[str, Metric], diverged: Any, replicas: int
) -> dict[str, np.ndarray]:
    """Metrics and, as "diverged", which replicas have diverged: [replicas] each, as arrays.

    Args:
        experiment: its name, for errors.
        found: what it reports, by name.
        declared: the metrics that must be among it; there may be no others.
        diverged: which replicas have diverged, booleans [replicas].
        replicas: how many there are.

    Raises:
        InputError: naming experiment, metric, what was found and what was expected, if a metric is missing or not
            declared, if it is not numbers of the shape [replicas], or if a replica that has not diverged has none
            although the metric declares what a diverged one counts as.
    """
    where = f"experiment {experiment}: metric"
    if not isinstance(found, Mapping):
        raise InputError(f"experiment {experiment}: metrics: found {type(found).__name__}, expected a mapping of names")
    for name in (name for name in declared if name not in found):
        raise InputError(f"{where} {name}: found none, expected [{replicas}] numbers, as it is declared")
    for name in (name for name in found if name not in declared):
        expected = f"only metrics that it declares ({', '.join(declared)})"
        raise InputError(f"{where} {name}: found one that is not declared, expected {expected}")
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
            expected = "a number of each replica that has not diverged"
            raise InputError(f"{where} {name}: found {array[at]} of replica {at}, expected {expected}")
        arrays[name] = array
    return arrays


def _array(value: Any, where: str, replicas: int) -> np.ndarray:
    try:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: found {value!r} ({error}), expected [{replicas}] numbers") from None
    if array.shape != (replicas,):
        found = f"shape {list(array.shape)}" if array.dtype.kind in "fiubc" else repr(value)
        raise InputError(f"{where}: found {found}, expected shape [{replicas}]")
    return array
