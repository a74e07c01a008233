"""The samplers, which propose settings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from anchoring.errors import InputError
from study.search.plan import Plan
from study.search.tpe import BoundedTPE


def sampler(plan: Plan, trials: int, known: Sequence[FrozenTrial] = ()) -> BaseSampler:
    """The plan's sampler, for a study that already has this number of trials and perhaps knows others' trials.

    - `tpe`: tree-structured Parzen estimators over all parameters at once (Bergstra et al. 2011). With
      one objective it sees the best trials and the newest ones (`study.search.tpe`).
    - `gp`: a Gaussian process with log expected improvement.
    - `cmaes`: covariance matrix adaptation (Hansen 2016); choices are drawn at random.
    - `random`: independent draws.
    - `qmc`: a scrambled Sobol' sequence, which fills the space evenly.

    The random numbers depend on the number of trials: a resumed study would repeat its first proposals otherwise.
    Raises InputError if the sampler cannot handle the plan's objectives or constraints.
    """
    if plan.sampler == "cmaes" and (len(plan.objectives) > 1 or plan.constraints):
        raise InputError("--sampler: found cmaes, which allows one objective and no constraints, expected tpe or gp")
    if known and (plan.sampler != "tpe" or len(plan.objectives) > 1):
        found = f"the sampler {plan.sampler}" if plan.sampler != "tpe" else f"{len(plan.objectives)} objectives"
        raise InputError(f"--learn-from: found {found}, expected tpe and one objective")
    seed = int(np.random.SeedSequence((plan.seed, trials)).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match plan.sampler:
            case "tpe":
                liar = plan.at_once != 1
                if len(plan.objectives) > 1:
                    return TPESampler(seed=seed, multivariate=True, constant_liar=liar)
                return BoundedTPE(seed, liar, known)
            case "gp":
                return GPSampler(seed=seed, warn_independent_sampling=False)
            case "cmaes":
                return CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "random":
                return RandomSampler(seed=seed)
            case "qmc":  # the study's journal holds the position in the sequence
                return QMCSampler(seed=plan.seed, scramble=True, warn_independent_sampling=False)
