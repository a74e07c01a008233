"""What a Ray worker does: it trains the replicas of a trial, and reports them at every rung."""

from __future__ import annotations

import time
from typing import Any

import torch
from ray import tune
from torch import nn

from study.experiment import Rung
from study.record.trial_state import TrialState
from study.search.goal import Goal
from study.search.limits import limit_memory
from study.search.plan import Plan
from study.search.trial import SCORE, Report
from study.space.space import Space
from study.surroundings import alone


class _DivergedError(Exception):
    """All replicas have diverged, so the training ends."""


def run_trial(config: dict[str, Any], space: Space, plan: Plan, goal: Goal) -> None:
    """Train a trial's setting. At each rung, report its score and a `Report` to Ray Tune.

    A worker runs many trials, and a trial must not depend on those before it: all randomness comes from the seeds. An
    exception makes the trial a failed one, with its reason; the worker goes on.
    """
    torch.set_num_threads(1)
    start = time.perf_counter()
    seeds = plan.replica_seeds

    def on_rung(rung: Rung, model: nn.Module) -> None:
        report = Report.of(rung, model, seeds, time.perf_counter() - start, experiment, setting)
        tune.report({SCORE: goal.score(report.replicas), "report": report})
        if report.state is TrialState.DIVERGED:
            raise _DivergedError

    try:
        limit_memory(plan.memory, plan.at_once)
        with alone():
            experiment, setting = space.experiment, space.setting(config["parameters"])
            experiment.train(setting, seeds, rungs=plan.rungs, compiled=bool(plan.compiled), on_rung=on_rung)
    except _DivergedError:
        pass
    except Exception as error:
        report = Report.failed(space.source.describe(error), time.perf_counter() - start)
        tune.report({SCORE: 0.0, "report": report})
