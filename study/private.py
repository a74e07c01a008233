"""What this package uses of Optuna and Ray although it is not public. A test of each fails if it changes.

PyTorch's are in `anchoring.private`. Methods that we override are in their classes, and listed by the same test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import optuna
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.sampler import _split_trials
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState


def storage(study: optuna.Study) -> BaseStorage:
    """Where a study keeps its trials."""
    return study._storage


def identifier(trial: optuna.Trial | FrozenTrial) -> int:
    """What a trial is called in its storage. It may differ from the trial's number."""
    return trial._trial_id


def backend(study: optuna.Study) -> Any:
    """What writes the journal of a study that has one."""
    return storage(study)._backend  # type: ignore[attr-defined]


def set_state(study: optuna.Study, trial: FrozenTrial, state: TrialState) -> None:
    """Change the state of a trial that has not finished. `optuna.Study.tell` can do so for a running trial only."""
    storage(study).set_trial_state_values(identifier(trial), state)


def fix_parameters(study: optuna.Study, trial: FrozenTrial, parameters: Mapping[str, Any]) -> None:
    """Decide which parameters a waiting trial will have. `optuna.Study.enqueue_trial` would add another trial."""
    storage(study).set_trial_system_attr(identifier(trial), "fixed_params", parameters)


def good_trials(study: optuna.Study, trials: list[FrozenTrial], most: int) -> Sequence[FrozenTrial]:
    """The trials that TPE calls good: the best by constraints and objective."""
    return _split_trials(study, trials, most)[0]


def share_workers() -> None:
    """Let Ray Tune's trials run in any worker. By itself Tune gives them an environment of one variable, for which Ray
    starts workers besides those that it has ready."""
    from ray.tune.execution import class_cache

    class_cache.DEFAULT_ENV_VARS.clear()


@cache
def quicken_normals() -> None:
    """Let Optuna's TPE compute with normal distributions by SciPy's functions, not by Python's number by number."""
    from scipy import special  # takes a tenth of a second to import

    _truncnorm._log_ndtr = special.log_ndtr
    _truncnorm.erf = special.erf  # type: ignore[attr-defined]


@contextmanager
def trainables_remembered() -> Iterator[None]:
    """A context in which Ray Tune asks its cluster once for the code that trials run, not five times for each."""
    from ray.tune import registry

    known: Any = registry._global_registry
    known.get, known.contains = cache(known.get), cache(known.contains)
    try:
        yield
    finally:
        del known.get, known.contains


def keep_on_loopback() -> None:
    """Make a Ray that starts here listen on 127.0.0.1 only. Ray reads the variable once, when it is imported."""
    from ray._private import ray_constants

    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
