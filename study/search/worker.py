"""What a Ray worker does: train one trial's replicas, and report them at every rung."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from ray import tune

from study.search.limits import limit_memory
from study.search.plan import Plan
from study.search.trial import SCORE, Report
from study.space.space import Space

if TYPE_CHECKING:
    from anchoring.training import Rung
    from excolor.models import ColorMLP


class _DivergedError(Exception):
    """No replica is left to train."""


def run_trial(config: dict[str, Any], space: Space, plan: Plan) -> None:
    """Train a trial's setting, and report to Ray Tune at each rung: its score and a `Report`.

    A worker runs many trials and none may leave anything to the next, so all randomness is the seeds' own. What goes
    wrong in a trial is that trial's failure, with its reason, and not the worker's.
    """
    torch.set_num_threads(1)
    start = time.perf_counter()
    seeds = plan.replica_seeds

    def on_rung(rung: Rung, model: ColorMLP) -> None:
        report = Report.of(rung, model, seeds, time.perf_counter() - start)
        tune.report({SCORE: plan.goal.score(report.replicas), "report": report})
        if report.state == "diverged":
            raise _DivergedError

    try:
        from anchoring.training import train  # takes seconds, which whoever starts the workers need not spend

        limit_memory(plan.memory, plan.at_once)
        setting = space.setting(config["parameters"])
        train(setting, seeds, rungs=plan.rungs, compiled=plan.compiled, on_rung=on_rung)
    except _DivergedError:
        pass
    except Exception as error:
        report = Report.failed(f"{type(error).__name__}: {error}", time.perf_counter() - start)
        tune.report({SCORE: 0.0, "report": report})
