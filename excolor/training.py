"""Training R replicas of a setting at once, as one LightningModule, and measuring them at every rung."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from excolor import colors
from excolor.metrics import Metrics, evaluate
from excolor.models import ColorMLP
from excolor.motion import Motion
from excolor.sampling import Stream
from excolor.setting import Setting

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


class Training(lightning.LightningModule):
    """Replicas of a setting under training. Each of Lightning's batches is a segment of many steps.

    One forward, one backward and one Adam step move all replicas. No replica's loss depends on another's parameters,
    so the gradient of the sum of losses is each replica's own, and one that diverges leaves the others alone.
    """

    def __init__(self, setting: Setting, seeds: Sequence[int], rungs: int = 10):
        super().__init__()
        self.automatic_optimization = False
        self.setting = setting
        self.seeds = list(seeds)
        self.rung_steps = rung_steps(len(setting.schedule), rungs)
        self.model = ColorMLP(setting.model, seeds)
        self.labelled = torch.zeros(len(self.seeds))  # samples seen that carried a label of a term; soft ones in part
        self._supervision = {
            label for term in setting.regularizers.values() if term.when != "validation" for label in term.labels or {}
        }
        self._moved: dict[str, tuple[int, Motion]] = {}  # what `retarget` has begun, and when
        self._table = {name: values.tolist() for name, values in setting.schedule.table().items()}

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
        self._table[name][now:] = column.from_space(motion.values(np.arange(len(self.setting.schedule) - now))).tolist()

    def train_dataloader(self) -> Iterator[Segment]:
        return self.segments()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.parameters(), fused=True)

    def training_step(self, segment: Segment, batch_idx: int) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        for i, x in enumerate(segment.colors):
            step = segment.start + i
            labels = {name: label[i] for name, label in segment.labels.items()}
            optimizer.param_groups[0]["lr"] = self._table["lr"][step]
            optimizer.zero_grad()
            self.loss(x, labels, step).sum().backward()
            optimizer.step()
        if self._supervision:
            carried = torch.stack([segment.labels[name] for name in sorted(self._supervision)]).amax(0)
            self.labelled += carried.sum((0, 2)).cpu()

    def loss(self, x: Tensor, labels: dict[str, Tensor], step: int) -> Tensor:
        """Each replica's loss [R] at a step: reconstruction error and the weighted terms, those of weight 0 skipped."""
        layers = self.model.activations(x)
        loss = (layers["output"] - x).square().mean((-2, -1))
        for name, term in self.setting.regularizers.items():
            weight = self._table[name][step] if name in self._table else 1.0
            if weight != 0 and term.when != "validation":
                loss = loss + weight * term.total(layers, labels, self.model.decode)
        return loss

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
        ablated = training.setting.ablation.apply(training.model)
        metrics = evaluate(training.model, ablated, training.model.finite(), training.device)
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
    on_rung: Callable[[Rung, ColorMLP], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[ColorMLP, list[Rung]]:
    """Train one replica of the setting for each seed; return the models and what they measured at each rung.

    `on_rung` is called with each rung and the models as they are then; what it raises ends the training and is raised
    here. `callbacks` are Lightning's, whose batches are segments.
    """
    measured = Rungs(on_rung)
    training = Training(setting, seeds, rungs)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=[*callbacks, measured],
        )
        trainer.fit(training)
    return training.model, measured.rungs
