"""Training the replicas of a setting at once, as one LightningModule, and measuring them at every rung."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby, pairwise
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from anchoring.authored import Authored
from anchoring.errors import InputError, reason
from anchoring.kinds import step_kind
from anchoring.layers import activations
from anchoring.motion import Motion
from anchoring.native import Unsupported, compile_steps
from anchoring.replicas import Draws, Replicas, Run, Tensors, eager
from anchoring.step import Step, controls
from anchoring.terms import Seen

BYTES_AT_ONCE = 20_000_000  # of all replicas' samples and labels


@dataclass(frozen=True)
class Rung:
    """What replicas measured after `step` of `steps` optimizer steps: every metric, and which have diverged, [R] each.

    A replica has diverged if a parameter of it, or its objective, is no longer finite.
    """

    step: int
    steps: int
    metrics: Mapping[str, Tensor]
    diverged: Tensor


def rung_steps(steps: int, rungs: int) -> list[int]:
    """After how many optimizer steps each rung is: evenly spaced, the last at the end, at most one a step."""
    return sorted({max(1, round(steps * (i + 1) / rungs)) for i in range(rungs)})


@dataclass
class Segment:
    """Some steps on end, up to a rung at most: what a Lightning batch is here."""

    start: int
    phase: str
    actions: tuple[str, ...]  # of the first of its steps
    batch: list[Tensor]  # inputs, targets if there are some, and each label, [steps, R, B, ...] each

    @property
    def end(self) -> int:
        return self.start + len(self.batch[0])


class _Segments(torch.optim.Optimizer):
    """What Lightning counts and calls as an optimizer: a step of it is a whole segment of Adam's."""

    def step(self, closure=None):  # type: ignore[no-untyped-def]
        return closure()


class Training(lightning.LightningModule):
    """Replicas of a setting under training. Each of Lightning's batches is a segment of many steps.

    `compiled` steps are native code, which takes a second or two to make when a machine first meets such a step.
    """

    moments: Tensor  # Adam's first and second, [2, R, P]
    labelled: Tensor  # samples of each replica that carried a label of a term [R]; soft ones in part

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
        self._runs: dict[tuple[bool, ...], Run] = {}  # by which terms act in them
        self._moved: dict[str, tuple[int, Motion]] = {}  # what `retarget` has begun, and when
        self._table = setting.schedule.table()
        used = {name for term in setting.trained.values() for name in term.labels or {}}
        self._used = [i for i, name in enumerate(setting.labels) if name in used]

    def segments(self) -> Iterator[Segment]:
        """The data of the whole training, drawn as needed: up to a rung, a step with actions, or as much as fits."""
        schedule, size = self.setting.schedule, self.setting.data.batch
        draws = Draws(self._data, self.setting.labels, self.seeds, size)
        actions = schedule.actions()
        tables = [self._data.inputs, *([] if self._data.targets is None else [self._data.targets])]
        sample = sum(table[0].nbytes for table in tables) + 4 * len(self.setting.labels)
        at_once = max(1, BYTES_AT_ONCE // (len(self.seeds) * size * sample))
        cuts = sorted({*range(0, len(schedule), at_once), *self.rung_steps, *actions})
        for start, end in pairwise(cuts):
            yield Segment(start, schedule.phase(start), actions.get(start, ()), draws.next(end - start))

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
        if self._used:
            labels = segment.batch[len(segment.batch) - len(self.setting.labels) :]
            self.labelled += torch.stack([labels[i] for i in self._used]).amax(0).sum((0, 2))

    @torch.no_grad()
    def advance(self, segment: Segment) -> None:
        """Take a segment's steps, each with the terms whose weight is not 0 in it."""
        state: Tensors = [self.model.flat(), *self.moments]
        weights = self.setting.weights_in_training(self._table)
        for acting, together in groupby(range(segment.start, segment.end), lambda step: tuple(weights[step] != 0)):
            steps = np.array(list(together))
            moves = controls(steps, self._table["lr"][steps], weights[np.ix_(steps, acting)]).to(self.device)
            here = slice(steps[0] - segment.start, steps[-1] + 1 - segment.start)
            batch = [part[here] for part in segment.batch]
            state = self._run(acting, state, batch, moves)(state, batch, moves)
        self.model.set_flat(state[0])
        self.moments = torch.stack([*state[1:]])

    def _run(self, acting: tuple[bool, ...], state: Tensors, batch: Tensors, moves: Tensor) -> Run:
        """Steps in which those terms act, for arguments like these; made once in a process for all of its trainings."""
        if acting not in self._runs:
            kind = self.experiment, step_kind(self.setting, acting)
            compiled = self._compiled and self.device.type == "cpu"
            native = compiled and _made((*kind, "native"), lambda: self._native(acting, state, batch, moves))
            self._runs[acting] = native or _made(
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
            raise InputError(f"{where}: found an error, expected a function of its arguments: {error}") from error

    def _native(self, acting: tuple[bool, ...], state: Tensors, batch: Tensors, moves: Tensor) -> Run | None:
        """The steps as native code, if it can be made."""
        try:
            own = [part[0] for part in state], [part[0, 0] for part in batch]
            return compile_steps(self._step(acting), *own, moves[0], name=step_kind(self.setting, acting))
        except (Unsupported, OSError) as error:
            _say_once(reason(error))
            return None

    @torch.no_grad()
    def validation_losses(self, model: Replicas) -> dict[str, Tensor]:
        """The terms that act in validation, unweighted, [R] each; their labels are probabilities.

        The mean over batches of the experiment's validation data, as large as those in training, in a fixed order that
        mixes them.
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
        """Ablate and measure the replicas as they are, on the CPU."""
        model = self.model if self.device.type == "cpu" else copy.deepcopy(self.model).cpu()
        declared = self.experiment.metrics(self.setting)
        objective = next(iter(declared))
        metrics = self.experiment.measured(model, self.setting)
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
        experiment: what the setting is one of.
        setting: what is trained.
        seeds: one for each replica.
        rungs: how often the replicas are measured.
        compiled: as native code, which pays in all but short trainings.
        on_rung: called with each rung and the replicas as they are then; what it raises ends the training.
        callbacks: Lightning's, whose batches are segments.
        flags: of Lightning's Trainer.

    Returns:
        The replicas, and what they measured at each rung.
    """
    measured = Rungs(on_rung)
    training = Training(experiment, setting, seeds, rungs, compiled)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False)
        flags = {"accelerator": "cpu", **quiet, **flags}
        trainer = lightning.Trainer(max_epochs=1, callbacks=[*callbacks, measured], **flags)
        trainer.fit(training)
    return training.model, measured.rungs


_MADE: dict[tuple[Any, ...], Any] = {}
MOST = 200  # steps whose code a process keeps


def _made(key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What was made for a key in this process, or is made now."""
    if key not in _MADE:
        while len(_MADE) >= MOST:
            _MADE.pop(next(iter(_MADE)))
        _MADE[key] = make()
    return _MADE[key]


@cache
def _say_once(why: str) -> None:
    warnings.warn(f"training goes on uncompiled, several times slower: {why}", RuntimeWarning, stacklevel=3)
