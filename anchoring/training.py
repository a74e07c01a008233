"""Training all replicas of a setting at once, in one LightningModule, and measuring them at every rung."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from anchoring.authored import Authored
from anchoring.errors import InputError
from anchoring.fitting import native
from anchoring.kinds import made, step_kind
from anchoring.layers import activations
from anchoring.measuring import measured
from anchoring.motion import Motion
from anchoring.replicas import Draws, Replicas, Run, Tensors, eager
from anchoring.step import Step, controls
from anchoring.terms import Seen

BYTES_AT_ONCE = 4_000_000  # of samples and labels, for all replicas together


@dataclass(frozen=True)
class Rung:
    """What was measured at one point of training.

    Args:
        step: how many optimizer steps were taken.
        steps: how many the whole training takes.
        metrics: every metric, by name, [R] each. A diverged replica's are NaN, except an objective that says what a
            diverged replica counts as.
        diverged: which replicas have diverged, [R] bool: their parameters or their objective are no longer finite.
    """

    step: int
    steps: int
    metrics: Mapping[str, Tensor]
    diverged: Tensor


def rung_steps(steps: int, rungs: int) -> list[int]:
    """The number of optimizer steps before each rung: evenly spaced, distinct, the last at the end of training."""
    return sorted({max(1, round(steps * (i + 1) / rungs)) for i in range(rungs)})


@dataclass
class Segment:
    """Consecutive steps, no further than the next rung. Lightning takes it for a batch."""

    start: int
    phase: str
    actions: tuple[str, ...]  # of the first step
    batch: list[Tensor]  # inputs, targets if any, and each label, [steps, R, B, ...] each

    @property
    def end(self) -> int:
        return self.start + len(self.batch[0])


class _Segments(torch.optim.Optimizer):
    """An optimizer for Lightning to call and count. One step of it is a whole segment of Adam's steps."""

    def step(self, closure=None):  # type: ignore[no-untyped-def]
        return closure()


class Training(lightning.LightningModule):
    """Trains the replicas of a setting. Each of Lightning's batches is a segment of many steps.

    With `compiled`, steps are native code. The first step of a kind on a machine takes a second or two to compile.
    """

    moments: Tensor  # Adam's first and second, [2, R, P]
    labelled: Tensor  # how many samples carried a label of a term, [R]; soft labels count in part

    def __init__(
        self,
        experiment: Authored,
        setting: Any,
        seeds: Sequence[int],
        rungs: int = 10,
        compiled: bool = False,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.experiment = experiment
        self.setting = setting
        self.seeds = list(seeds)
        self.rung_steps = rung_steps(len(setting.schedule), rungs)
        self.model = experiment.model(setting, seeds)
        self._data = experiment.data(setting)
        self.register_buffer("moments", torch.zeros_like(self.model.flat()).repeat(2, 1, 1))
        self.register_buffer("labelled", torch.zeros(len(self.seeds)))
        self._compiled = compiled
        self._runs: dict[tuple[bool, ...], Run] = {}  # by whether each term acts
        self._moved: dict[str, tuple[int, Motion]] = {}  # the start and motion of properties that `retarget` moves
        self._table = setting.schedule.table()
        used = {name for term in setting.trained.values() for name in term.labels or {}}
        self._used = [i for i, name in enumerate(setting.labels) if name in used]

    def segments(self) -> Iterator[Segment]:
        """The data of the whole training, drawn as needed.

        A segment ends at a rung, before a step with actions, or when BYTES_AT_ONCE are reached.
        """
        schedule, size = self.setting.schedule, self.setting.data.batch
        draws = Draws(self._data, self.setting.labels, self.seeds, size, self._compiled)
        actions = schedule.actions()
        sample = sum(table[0].nbytes for table in self._data.tables) + 4 * len(self.setting.labels)
        at_once = max(1, BYTES_AT_ONCE // (len(self.seeds) * size * sample))
        cuts = sorted({*range(0, len(schedule), at_once), *self.rung_steps, *actions})
        for start, end in pairwise(cuts):
            yield Segment(start, schedule.phase(start), actions.get(start, ()), draws.next(end - start))

    def retarget(self, name: str, target: float, steps: int, now: int) -> None:
        """Move a property (`lr` or a term's weight) to a target from step `now` on, and keep it there.

        Callbacks may call this between segments. A property that is in motion by minimum jerk keeps its value, velocity
        and acceleration.

        Args:
            name: the property's column.
            target: the value that it moves to.
            steps: how many steps that takes.
            now: the next step.

        Raises:
            KeyError: the schedule has no such property.
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
        if self._used:
            labels = segment.batch[len(segment.batch) - len(self.setting.labels) :]
            self.labelled += torch.stack([labels[i] for i in self._used]).amax(0).sum((0, 2))

    @torch.no_grad()
    def advance(self, segment: Segment) -> None:
        """Take a segment's steps. A term acts in a step if its weight is not 0."""
        state: Tensors = [self.model.flat(), *self.moments]
        steps = np.arange(segment.start, segment.end)
        rates = self._table["lr"][steps]
        weights = self.setting.weights_in_training(self._table)[steps]
        changes = np.flatnonzero((np.diff(weights != 0, axis=0) != 0).any(1)) + 1
        for start, end in pairwise([0, *changes.tolist(), len(steps)]):
            here, acting = slice(start, end), tuple((weights[start] != 0).tolist())
            moves = controls(steps[here], rates[here], weights[here][:, acting]).to(self.device)
            batch = [part[here] for part in segment.batch]
            state = self._run(acting, state, batch, moves)(state, batch, moves)
        self.model.set_flat(state[0])
        self.moments = torch.stack([*state[1:]])

    def _run(self, acting: tuple[bool, ...], state: Tensors, batch: Tensors, moves: Tensor) -> Run:
        """Steps in which those terms act, for arguments of these shapes. They are made once in a process."""
        if acting not in self._runs:
            kind = self.experiment, step_kind(self.setting, acting)
            compiled = self._compiled and self.device.type == "cpu"
            run = compiled and made((*kind, "native"), lambda: native(self._step(acting), state, batch, moves, kind[1]))
            self._runs[acting] = run or made(
                (*kind, len(state[0]), self.device), lambda: self._eager(acting, state, batch, moves)
            )
        return self._runs[acting]

    def _step(self, acting: tuple[bool, ...]) -> Step:
        terms = [term for term, acts in zip(self.setting.trained.values(), acting, strict=True) if acts]
        task = partial(self.experiment.loss, setting=self.setting)
        model, labels = self.model.one().to(self.device), list(self.setting.labels)
        return Step(model, task, terms, labels, self._data.targets is not None)

    def _eager(self, acting: tuple[bool, ...], state: Tensors, batch: Tensors, moves: Tensor) -> Run:
        """The steps by PyTorch. Raises InputError if they cannot be replicated."""
        try:
            return eager(self._step(acting), state, [part[0] for part in batch], moves[0])
        except RuntimeError as error:
            where = f"experiment {self.experiment.name}: a step of training"
            raise InputError(f"{where}: found an error, expected a pure function of tensors: {error}") from error

    @torch.no_grad()
    def validation_losses(self, model: Replicas) -> dict[str, Tensor]:
        """The losses of the terms that act in validation, [R] each. They are not weighted by the schedule.

        They are means over batches of the experiment's validation data, of training's size, shuffled once and for all.
        Labels are replaced by their probabilities.
        """
        terms = {name: term for name, term in self.setting.regularizers.items() if term.when != "training"}
        data = self.experiment.validation(self.setting) if terms else None
        if data is None:
            return {}
        order = torch.randperm(len(data.inputs), generator=torch.Generator().manual_seed(0))
        labels = {n: label.probability(data.attributes[label.of])[order] for n, label in self.setting.labels.items()}
        targets = data.inputs if data.targets is None else data.targets

        def losses(one: nn.Module) -> dict[str, Tensor]:
            parts: dict[str, list[Tensor]] = {name: [] for name in terms}
            for start in range(0, len(order), self.setting.data.batch):
                here = slice(start, start + self.setting.data.batch)
                x, target = data.inputs[order][here], targets[order][here]
                task = partial(self.experiment.loss, target=target, setting=self.setting)
                seen = Seen(
                    activations(one, x), {n: p[here] for n, p in labels.items()}, partial(activations, one, x), task
                )
                for name, term in terms.items():
                    parts[name].append(term.total(seen))
            return {f"loss.{name}": torch.stack(values).mean() for name, values in parts.items()}

        return model.map(losses)

    def rung(self, step: int) -> Rung:
        """Measure the replicas as they are now, intact and ablated, on the CPU."""
        model = self.model if self.device.type == "cpu" else copy.deepcopy(self.model).cpu()
        declared = self.experiment.metrics(self.setting)
        objective = next(iter(declared))
        metrics = dict(measured(self.experiment, model, self.setting, self._compiled))
        more = {"labelled": self.labelled.cpu().clone(), **self.validation_losses(model)}
        metrics |= {name: metric for name, metric in more.items() if name in declared}
        diverged = ~model.finite() | ~metrics[objective].isfinite()
        counted = {name: metric.masked_fill(diverged, torch.nan) for name, metric in metrics.items()}
        if (useless := declared[objective].diverged) is not None:
            counted[objective] = metrics[objective].masked_fill(diverged, useless)
        return Rung(step, self.rung_steps[-1], counted, diverged)


class Rungs(Callback):
    """Measures the replicas at the end of each segment that ends at a rung."""

    def __init__(self, on_rung: Callable[[Rung, Replicas], None] | None = None):
        self.rungs: list[Rung] = []
        self._on_rung = on_rung

    def on_train_batch_end(self, trainer, training, outputs, segment, batch_idx):  # type: ignore[no-untyped-def]
        if segment.end not in training.rung_steps:
            return
        self.rungs.append(training.rung(segment.end))
        if self._on_rung:
            self._on_rung(self.rungs[-1], training.model)


def train(
    experiment: Authored,
    setting: Any,
    seeds: Sequence[int],
    *,
    rungs: int = 10,
    compiled: bool = False,
    on_rung: Callable[[Rung, Replicas], None] | None = None,
    callbacks: Sequence[Callback] = (),
    **flags: Any,
) -> tuple[Replicas, list[Rung]]:
    """Train one replica of a setting for each seed.

    Args:
        experiment: the experiment that the setting is for.
        setting: what is trained.
        seeds: one for each replica.
        rungs: how often the replicas are measured.
        compiled: whether steps are native code, which pays unless the training is short.
        on_rung: called with each rung and the replicas as they are then. If it raises, training ends.
        callbacks: Lightning callbacks. Their batches are `Segment`s.
        flags: arguments of Lightning's `Trainer`.

    Returns:
        The trained replicas, and what was measured at each rung.

    Raises:
        InputError: the model, the loss or a term cannot be vectorised, or metrics are not as declared.

    Examples:
        >>> from excolor.experiment import Colors
        >>> rows = [["STEP", "lr"], ["0", "0.01"], ["99", ""]]
        >>> setting = Colors().setting({"schedule": {"file": "lr.csv", "rows": rows}})
        >>> replicas, rungs = train(Colors(), setting, seeds=[0, 1, 2], rungs=2)
        >>> [(rung.step, list(rung.metrics["isolation"].shape)) for rung in rungs]
        [(50, [3]), (100, [3])]
    """
    measured = Rungs(on_rung)
    training = Training(experiment, setting, seeds, rungs, compiled)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False)
        # one process, whatever a scheduler or launcher has told it
        flags = {"accelerator": "cpu", "devices": 1, "plugins": [LightningEnvironment()], **quiet, **flags}
        trainer = lightning.Trainer(max_epochs=1, callbacks=[*callbacks, measured], **flags)
        trainer.fit(training)
    return training.model, measured.rungs
