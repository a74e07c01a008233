"""Training R replicas of a setting at once, as one LightningModule, and measuring them at every rung."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from excolor.metrics import Metrics, evaluate
from excolor.models import ColorMLP
from excolor.sampling import Stream
from excolor.setting import Setting


@dataclass(frozen=True)
class Rung:
    """Metrics of every replica, [R] each, after `step` of `steps` optimizer steps."""

    step: int
    steps: int
    metrics: Metrics

    @property
    def diverged(self) -> Tensor:
        """Which replicas' outputs are no longer finite: [R]."""
        return self.metrics["utility"].isnan()


def rung_steps(steps: int, rungs: int) -> list[int]:
    """After how many optimizer steps each rung is: evenly spaced, the last at the end, at most one a step."""
    return sorted({max(1, round(steps * (i + 1) / rungs)) for i in range(rungs)})


@dataclass
class Segment:
    """The steps from one rung to the next: what a Lightning batch is here."""

    start: int
    colors: Tensor  # [steps, R, batch, 3]
    labels: dict[str, Tensor]  # [steps, R, batch] each


class Training(lightning.LightningModule):
    """Replicas of a setting under training. Each of Lightning's batches is the segment of steps up to a rung.

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
        table = setting.schedule.table()
        self._lr = table.pop("lr").tolist()
        self._weights = {name: table[name].tolist() if name in table else None for name in setting.regularizers}

    def segments(self) -> Iterator[Segment]:
        """The data of the whole training, drawn as it is needed."""
        cube = self.setting.data.make()
        probabilities = {name: label.probability(cube.colors) for name, label in self.setting.labels.items()}
        stream = Stream(cube, probabilities, self.seeds, self.setting.data.batch)
        for start, end in zip([0, *self.rung_steps], self.rung_steps, strict=False):
            yield Segment(start, *stream.draw(end - start))

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
            optimizer.param_groups[0]["lr"] = self._lr[step]
            optimizer.zero_grad()
            self.loss(x, labels, step).sum().backward()
            optimizer.step()

    def loss(self, x: Tensor, labels: dict[str, Tensor], step: int) -> Tensor:
        """Each replica's loss [R] at a step: reconstruction error and the weighted terms, those of weight 0 skipped."""
        layers = self.model.activations(x)
        loss = (layers["output"] - x).square().mean((-2, -1))
        for name, term in self.setting.regularizers.items():
            schedule = self._weights[name]
            weight = 1.0 if schedule is None else schedule[step]
            if weight != 0:
                for layer in term.layers:
                    loss = loss + weight * term.loss(layers[layer], labels)
        return loss


class Rungs(Callback):
    """Ablates and measures the replicas at the end of every segment."""

    def __init__(self, on_rung: Callable[[Rung, ColorMLP], None] | None = None):
        self.rungs: list[Rung] = []
        self._on_rung = on_rung

    def on_train_batch_end(self, trainer, training, outputs, segment, batch_idx):  # type: ignore[no-untyped-def]
        ablated = training.setting.ablation.apply(training.model)
        metrics = {name: metric.cpu() for name, metric in evaluate(training.model, ablated, training.device).items()}
        rung = Rung(segment.start + len(segment.colors), training.rung_steps[-1], metrics)
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
    here.
    `callbacks` are Lightning's, whose batches are the segments between rungs.
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
            callbacks=[measured, *callbacks],
        )
        trainer.fit(training)
    return training.model, measured.rungs
