"""The schedulers that stop hopeless trials early, by name."""

from __future__ import annotations

from functools import partial

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from study.plan import SchedulerName
from study.trial import OBJECTIVE


def scheduler(name: SchedulerName, rungs: int) -> TrialScheduler:
    """A scheduler of trials that report at so many rungs.

    - `asha` (Li et al. 2020) looks at rungs 2, 4, 8 and so on, and stops a trial that is not in the better half there.
    - `hyperband` does so in three brackets, of which later ones look first at rung 4 or 8.
    - `median` (Golovin et al. 2017) stops a trial whose best so far is below the median of the others' means so far.
    - `none` lets all trials run to the end.
    """
    halving = partial(
        AsyncHyperBandScheduler,
        metric=OBJECTIVE,
        mode="max",
        max_t=rungs + 1,  # never reached, since the end of a training is not a stop
        grace_period=min(2, rungs),
        reduction_factor=2,
    )
    match name:
        case "asha":
            return halving()
        case "hyperband":
            return halving(brackets=3)
        case "median":
            return MedianStoppingRule("training_iteration", OBJECTIVE, "max", grace_period=2, min_samples_required=3)
        case "none":
            return FIFOScheduler()
