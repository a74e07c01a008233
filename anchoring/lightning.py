"""Training by Lightning's Trainer, whose callbacks see every segment. Lightning takes seconds to import."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer

from anchoring.segments import Segment, Training


class LightningTraining(Training, lightning.LightningModule):
    """A training as Lightning knows it. Each of its batches is a segment of many steps."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.automatic_optimization = False

    def train_dataloader(self) -> Iterator[Segment]:
        return self.segments()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return _Segments(self.model.parameters(), {})

    def training_step(self, segment: Segment, batch_idx: int) -> None:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.step(closure=lambda: self.take(segment))


class _Segments(torch.optim.Optimizer):
    """An optimizer for Lightning to call and count. One step of it is a whole segment of Adam's steps."""

    def step(self, closure=None):  # type: ignore[no-untyped-def]
        return closure()


class _Ends(Callback):
    """Calls a function at the end of each segment, after the user's callbacks."""

    def __init__(self, on_end: Callable[[Training, Segment], None]):
        self._on_end = on_end

    def on_train_batch_end(self, trainer, training, outputs, segment, batch_idx):  # type: ignore[no-untyped-def]
        self._on_end(training, segment)


def fit(
    training: LightningTraining,
    on_end: Callable[[Training, Segment], None],
    callbacks: Sequence[Callback],
    **flags: Any,
) -> None:
    """Train by Lightning's Trainer.

    Args:
        training: what is trained.
        on_end: called at the end of each segment, after the callbacks.
        callbacks: Lightning callbacks. Their batches are `Segment`s.
        flags: arguments of the Trainer.
    """
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False)
        # one process, whatever a scheduler or launcher has told it
        flags = {"accelerator": "cpu", "devices": 1, "plugins": [LightningEnvironment()], **quiet, **flags}
        trainer = lightning.Trainer(max_epochs=1, callbacks=[*callbacks, _Ends(on_end)], **flags)
        trainer.fit(training)
