"""The paper's way of training, written from its description: one seed, one step after another.

It is a plain LightningModule of nn.Linear layers with automatic optimization. Batches and labels are made sample by
sample. At every step the schedule's values are set, and every term is checked and logged.
"""

from __future__ import annotations

import random
import tempfile
import time
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from excolor.setting import ColorSetting

Labels = dict[str, Tensor]


class Colors(Dataset[Any]):
    """The cube's colours, one at a time."""

    def __init__(self, setting: ColorSetting) -> None:
        self.cube = setting.data.make()

    def __len__(self) -> int:
        return len(self.cube.colors)

    def __getitem__(self, index: int) -> Tensor:
        return self.cube.colors[index]


def collate(samples: list[Tensor]) -> tuple[Tensor, Labels]:
    """A batch of colours [B, 3] and of labels [B], made sample by sample."""
    labels = [toss(*color.tolist()) for color in samples]
    return torch.stack(samples), {name: torch.tensor([each[name] for each in labels]) for name in labels[0]}


def toss(r: float, g: float, b: float) -> dict[str, float]:
    """Whether a sample is said to be red, and vibrant: 1 or 0."""
    redness, vibrancy = r * (1 - g / 2 - b / 2), max(r, g, b) - min(r, g, b)
    red, vibrant = random.random() < 0.5 * redness**10, random.random() < 0.5 * vibrancy**100
    return {"red": float(red), "vibrant": float(vibrant)}


def separate(z: Tensor, labels: Labels) -> Tensor:
    """The cosines of all pairs to the 10th power, summed over the batch."""
    unit = F.normalize(z, dim=-1, eps=1e-8)
    cosines = unit @ unit.T
    return torch.where(cosines > 1 - 1e-5, 0, cosines).pow(10).sum(-1).mean()


def planar(z: Tensor, labels: Labels) -> Tensor:
    """Vibrant colours lie in the plane of dimensions 0 and 1."""
    return labelled_mean(z[:, 2:].square().sum(-1), labels["vibrant"])


def norm(z: Tensor, labels: Labels) -> Tensor:
    """Every colour lies on the unit sphere."""
    return (z.norm(dim=-1) - 1).square().mean()


def norm_v(z: Tensor, labels: Labels) -> Tensor:
    """Vibrant colours lie on the unit sphere."""
    return labelled_mean((z.norm(dim=-1) - 1).square(), labels["vibrant"])


def polar(z: Tensor, labels: Labels) -> Tensor:
    """Red lies at (1, 0, 0, 0)."""
    return labelled_mean((z - z.new_tensor([1, 0, 0, 0])).square().sum(-1), labels["red"])


def labelled_mean(losses: Tensor, labels: Tensor) -> Tensor:
    return (labels * losses).sum() / (labels.sum() + 1e-8)


TERMS = {"separate": separate, "planar": planar, "norm": norm, "norm-v": norm_v, "polar": polar}


class Baseline(lightning.LightningModule):
    """One model of one seed in subspace ablation."""

    def __init__(self, setting: ColorSetting) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 16), nn.GELU(), nn.Linear(16, 4))
        self.decoder = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 3), nn.Sigmoid())
        self.encoder.register_forward_hook(self._keep_latents)
        self.schedule = setting.schedule.table()

    def _keep_latents(self, encoder: nn.Module, inputs: Any, latents: Tensor) -> None:
        self.latents = latents

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate and the weights to the schedule's values at this step."""
        self.now = {name: float(values[self.global_step]) for name, values in self.schedule.items()}
        (optimizer,) = self.trainer.optimizers
        for group in optimizer.param_groups:
            group["lr"] = self.now["lr"]

    def training_step(self, batch: tuple[Tensor, Labels], batch_idx: int) -> Tensor:
        x, labels = batch
        loss = F.mse_loss(self(x), x)
        self.log("reconstruction", loss.item())
        for name, term in TERMS.items():
            if self.now[name] != 0:
                value = term(self.latents, labels)
                if not torch.isfinite(value):
                    raise RuntimeError(f"{name} is {value:f} at step {self.global_step}")
                self.log(name, value.item())
                loss = loss + self.now[name] * value
        self.log("loss", loss)
        return loss


class Stopwatch(lightning.Callback):
    """Times the steps, from the first to the last, without setting up and tearing down."""

    def on_train_start(self, *_: Any) -> None:
        self.start = time.perf_counter()

    def on_train_end(self, *_: Any) -> None:
        self.seconds = time.perf_counter() - self.start


def train(setting: ColorSetting, steps: int) -> tuple[Baseline, float]:
    """Train one seed for `steps` steps, and return the model and the steps per second."""
    data = Colors(setting)
    sampler = WeightedRandomSampler(data.cube.weights.tolist(), len(data), replacement=True)
    model, stopwatch = Baseline(setting), Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=CSVLogger(folder),
            callbacks=[stopwatch],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(model, DataLoader(data, setting.data.batch, sampler=sampler, collate_fn=collate))
    return model, steps / stopwatch.seconds
