"""What Lightning and the evaluation at the rungs add to compiled training, on one core."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch.callbacks import Callback

from anchoring.replicas import Replicas
from anchoring.training import Rung, Rungs, Training, train
from benchmarks.figures import Row, Runs, less_than, race, seconds
from excolor.experiment import experiment
from excolor.setting import ColorSetting

SEEDS = range(16)


class EvaluationWatch(Callback):
    """Adds up the time from the end of each segment's steps until its rung is measured."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self._since = time.perf_counter()

    def on_rung(self, rung: Rung, model: Replicas) -> None:
        self.seconds += time.perf_counter() - self._since


def overheads(setting: ColorSetting) -> list[Row]:
    """A row for Lightning's share of the time, and one for the evaluation's."""
    ran = race(
        {
            "with": lambda: seconds(lambda: train(experiment, setting, SEEDS, compiled=True, rungs=1)),
            "without": lambda: seconds(lambda: _train_directly(setting)),
            "evaluation": lambda: _evaluation_share(setting),
        },
        rounds=9,
    )
    ratios = (ran["with"] / ran["without"]).values
    lightning = Runs(tuple(ratio - 1 for ratio in ratios), ".1%")
    evaluation = Runs(ran["evaluation"].values, ".1%")
    return [
        Row("Lightning, on top of training", lightning, targets=(less_than(lightning, 0.05, "< 5%"),)),
        Row("evaluation at 10 rungs, on top of training", evaluation, targets=(less_than(evaluation, 0.1, "< 10%"),)),
    ]


def _train_directly(setting: ColorSetting) -> None:
    """Do what `train` does with one rung, without a Trainer."""
    training = Training(experiment, setting, SEEDS, rungs=1, compiled=True)
    for segment in training.segments():
        training.advance(segment)
    Rungs().on_train_batch_end(None, training, None, segment, 0)  # type: ignore[no-untyped-call]


def _evaluation_share(setting: ColorSetting) -> float:
    """The time of evaluation at ten rungs, as a share of the training without it."""
    watch = EvaluationWatch()
    whole = seconds(lambda: train(experiment, setting, SEEDS, compiled=True, on_rung=watch.on_rung, callbacks=[watch]))
    return watch.seconds / (whole - watch.seconds)
