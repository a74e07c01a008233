"""Training R replicas of a setting at once, as one LightningModule, and measuring them at every rung."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from anchoring.compilation import Advance, compile_step
from anchoring.motion import Motion
from anchoring.sampling import Stream
from anchoring.setting import Setting
from anchoring.step import State, Step, controls, flatten, step_kind, unflatten
from excolor import colors
from excolor.metrics import Metrics, evaluate
from excolor.models import ColorMLP

SAMPLES_AT_ONCE = 2**20  # of all replicas; at some 20 bytes each they and their labels fit anywhere


@dataclass(frozen=True)
class Rung:
    """Metrics of every replica, [R] each, after `step` of `steps` optimizer steps."""

    step: int
    steps: int
    metrics: Metrics

    @property
    def diverged(self) -> Tensor:
        """Which replicas' outputs or parameters are no longer finite: [R]."""
        return self.metrics["utility"].isnan()


def rung_steps(steps: int, rungs: int) -> list[int]:
    """After how many optimizer steps each rung is: evenly spaced, the last at the end, at most one a step."""
    return sorted({max(1, round(steps * (i + 1) / rungs)) for i in range(rungs)})


@dataclass
class Segment:
    """Some steps on end, up to a rung at most: what a Lightning batch is here."""

    start: int
    phase: str
    actions: tuple[str, ...]  # of the first of its steps
    colors: Tensor  # [steps, R, batch, 3]
    labels: dict[str, Tensor]  # [steps, R, batch] each

    @property
    def end(self) -> int:
        return self.start + len(self.colors)


class _Segments(torch.optim.Optimizer):
    """What Lightning counts and calls as an optimizer: a step of it is a whole segment of Adam's."""

    def step(self, closure=None):  # type: ignore[no-untyped-def]
        return closure()


class Training(lightning.LightningModule):
    """Replicas of a setting under training. Each of Lightning's batches is a segment of many steps.

    `compiled` steps are native code, which takes some seconds to make when a machine first meets such a step.
    """

    moments: Tensor  # Adam's first and second, [2, R, P]
    labelled: Tensor  # samples of each replica that carried a label of a term [R]; soft ones in part

    def __init__(self, setting: Setting, seeds: Sequence[int], rungs: int = 10, compiled: bool = False):
        super().__init__()
        self.automatic_optimization = False
        self.setting = setting
        self.seeds = list(seeds)
        self.rung_steps = rung_steps(len(setting.schedule), rungs)
        self.model = ColorMLP(setting.model, seeds)
        parameters = flatten(list(self.model.parameters())).detach()
        self.register_buffer("moments", torch.zeros_like(parameters).repeat(2, 1, 1))
        self.register_buffer("labelled", torch.zeros(len(self.seeds)))
        self._compiled = compiled
        self._steps: dict[tuple[bool, ...], Advance] = {}  # by which terms act in them
        self._moved: dict[str, tuple[int, Motion]] = {}  # what `retarget` has begun, and when
        self._table = setting.schedule.table()

    def segments(self) -> Iterator[Segment]:
        """The data of the whole training, drawn as needed: up to a rung, a step with actions, or as much as fits."""
        schedule = self.setting.schedule
        stream = Stream(self.setting.data.make(), self.setting.labels, self.seeds, self.setting.data.batch)
        actions = schedule.actions()
        at_once = max(1, SAMPLES_AT_ONCE // (len(self.seeds) * self.setting.data.batch))
        cuts = sorted({*range(0, len(schedule), at_once), *self.rung_steps, *actions})
        for start, end in pairwise(cuts):
            yield Segment(start, schedule.phase(start), actions.get(start, ()), *stream.draw(end - start))

    def retarget(self, name: str, target: float, steps: int, now: int) -> None:
        """Move a property (`lr` or a term's weight) to a target from step `now` on, and leave it there.

        Minimum jerk in flight goes on with the value, velocity and acceleration that it has. For callbacks, between
        segments. Raises KeyError if the schedule has no such property.
        """
        column = {p.name: p for p in self.setting.schedule.properties}[name]
        began, motion = self._moved.get(name, column.motion(now))
        motion = motion.retarget(now - began, float(column.to_space(target)), steps)
        self._moved[name] = now, motion
        self._table[name][now:] = column.from_space(motion.values(np.arange(len(self.setting.schedule) - now)))

    def train_dataloader(self) -> Iterator[Segment]:
        return self.segments()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return _Segments(self.model.parameters(), {})

    def training_step(self, segment: Segment, batch_idx: int) -> None:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.step(closure=lambda: self.advance(segment))
        labels = {name for term in self.setting.trained.values() for name in term.labels or {}}
        if labels:
            self.labelled += torch.stack([segment.labels[name] for name in sorted(labels)]).amax(0).sum((0, 2))

    @torch.no_grad()
    def advance(self, segment: Segment) -> None:
        """Take a segment's steps, each with the terms whose weight is not 0 in it."""
        parameters = list(self.model.parameters())
        state = State(flatten(parameters), *self.moments)
        weights = self.setting.weights_in_training(self._table)
        batches = zip(segment.colors, *segment.labels.values(), strict=True)
        for acting, run in groupby(range(segment.start, segment.end), lambda step: tuple(weights[step] != 0)):
            steps = np.array(list(run))
            moves = controls(steps, self._table["lr"][steps], weights[np.ix_(steps, acting)]).to(self.device)
            for move, (x, *labels) in zip(moves, batches, strict=False):
                arguments = state, x, dict(zip(segment.labels, labels, strict=True)), move
                state = self._step(acting, *arguments)(*arguments)
        self.moments = torch.stack([state.first, state.second])
        for parameter, values in zip(parameters, unflatten(state.parameters, parameters), strict=True):
            parameter.copy_(values)

    def _step(self, acting: tuple[bool, ...], *arguments: Any) -> Advance:
        """The step in which those terms act, for arguments like these."""
        if acting not in self._steps:
            terms = [term for term, acts in zip(self.setting.trained.values(), acting, strict=True) if acts]
            step = Step(self.model, terms)
            native = self._compiled and len(self.seeds) > 1
            kind = step_kind(self.setting, acting)
            self._steps[acting] = compile_step(step, kind, *arguments) if native else step
        return self._steps[acting]

    @torch.no_grad()
    def validation_losses(self) -> dict[str, Tensor]:
        """The terms that act in validation, unweighted, on colours off the grid; their labels are probabilities.

        The mean over batches of the colours, as large as those in training, in an order that mixes them.
        """
        terms = {name: term for name, term in self.setting.regularizers.items() if term.when != "training"}
        if not terms:
            return {}
        grid = colors.validation_grid()
        grid = grid[torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))].to(self.device)
        losses: dict[str, list[Tensor]] = {name: [] for name in terms}
        for x in grid.split(self.setting.data.batch):
            labels = {n: label.probability(x).expand(len(self.seeds), -1) for n, label in self.setting.labels.items()}
            layers = self.model.activations(x.expand(len(self.seeds), -1, 3))
            for name, term in terms.items():
                losses[name].append(term.total(layers, labels, self.model.decode))
        return {f"loss.{name}": torch.stack(values).mean(0) for name, values in losses.items()}


class Rungs(Callback):
    """Ablates and measures the replicas at the end of each segment that ends at a rung."""

    def __init__(self, on_rung: Callable[[Rung, ColorMLP], None] | None = None):
        self.rungs: list[Rung] = []
        self._on_rung = on_rung

    def on_train_batch_end(self, trainer, training, outputs, segment, batch_idx):  # type: ignore[no-untyped-def]
        if segment.end not in training.rung_steps:
            return
        compared = training.setting.ablation.compare(training.model)
        metrics = evaluate(compared, training.model.finite(), training.device, training.setting.concept)
        more = {"labelled": training.labelled, **training.validation_losses()}
        diverged = metrics["utility"].isnan().cpu()
        metrics |= {name: metric.cpu().masked_fill(diverged, torch.nan) for name, metric in more.items()}
        rung = Rung(segment.end, training.rung_steps[-1], {name: metric.cpu() for name, metric in metrics.items()})
        self.rungs.append(rung)
        if self._on_rung:
            self._on_rung(rung, training.model)


def train(
    setting: Setting,
    seeds: Sequence[int],
    *,
    rungs: int = 10,
    compiled: bool = False,
    on_rung: Callable[[Rung, ColorMLP], None] | None = None,
    callbacks: Sequence[Callback] = (),
    **flags: Any,
) -> tuple[ColorMLP, list[Rung]]:
    """Train one replica of the setting for each seed; return the models and what they measured at each rung.

    `compiled` pays in all but short trainings. `on_rung` is called with each rung and the models as they are then; what
    it raises ends the training and is raised here. `callbacks` are Lightning's, whose batches are segments; so are
    `flags`, of its Trainer, say `accelerator="cuda"`.
    """
    measured = Rungs(on_rung)
    training = Training(setting, seeds, rungs, compiled)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False)
        flags = {"accelerator": "cpu", **quiet, **flags}
        trainer = lightning.Trainer(max_epochs=1, callbacks=[*callbacks, measured], **flags)
        trainer.fit(training)
    return training.model, measured.rungs
