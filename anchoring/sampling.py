"""The samples and labels that one replica sees: a random stream that depends on nothing but its seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from anchoring.data import Data
from anchoring.labels import Label
from anchoring.native.draws import NativeDraws, can_draw

INITIALISATION, SAMPLES = 0, 1  # the purposes of a seed's random streams, which are independent


class Apart(int):
    """A seed whose initial weights, samples and labels are those of three seeds, to see which of them matters.

    Args:
        number: what the replica is called in tables, as the seed is.
        init: the seed that its initial weights have.
        data: the seed that its samples have.
        labels: the seed that its labels have. A sample carries the label by the coin that this seed tosses.

    Examples:
        >>> seed = Apart(7, init=0, data=1, labels=1)
        >>> seed == 7, seed.data
        (True, 1)
    """

    init: int
    data: int
    labels: int

    def __new__(cls, number: int, init: int, data: int, labels: int) -> Apart:
        made = super().__new__(cls, number)
        made.init, made.data, made.labels = init, data, labels
        return made

    def __reduce__(self) -> Any:
        return Apart, (int(self), self.init, self.data, self.labels)


def generator(seed: int, purpose: int) -> np.random.Generator:
    """The random stream of one seed for one purpose, independent of those of other seeds and purposes."""
    if isinstance(seed, Apart):
        seed = seed.init if purpose == INITIALISATION else seed.data
    return np.random.default_rng(np.random.SeedSequence((seed, purpose)))


def _labels_apart(seed: int) -> TypeGuard[Apart]:
    """Whether a seed takes its labels' coins from the stream of another one."""
    return isinstance(seed, Apart) and seed.labels != seed.data


class Sampler:
    """Turns random numbers into samples of some data and their labels."""

    def __init__(self, data: Data, labels: Mapping[str, Label]):
        self._labels = labels
        self._probabilities = {name: label.probability(data.attributes[label.of]) for name, label in labels.items()}
        weights = torch.ones(len(data.inputs)) if data.weights is None else data.weights
        self._index = _Inverse(weights)
        self.tables = data.tables
        self.draws = 1 + len(labels)
        """How many random numbers a sample takes: one for itself and one for each label."""

    def index(self, uniform: Tensor) -> Tensor:
        """The samples' indices for random numbers in [0, 1), in the same shape."""
        return self._index(uniform)

    def label(self, name: str, index: Tensor, uniform: Tensor) -> Tensor:
        """Whether samples carry a label, 1 or 0, or its probability if it is soft. All tensors have the same shape."""
        p = self._probabilities[name][index]
        return p if self._labels[name].soft else (uniform < p).float()

    def native(self, seeds: Sequence[int]) -> NativeDraws | None:
        """Native code that draws for these seeds.

        None if there is no compiler, samples are of bytes or halves, or labels have seeds of their own.
        """
        if not can_draw(self.tables) or any(map(_labels_apart, seeds)):
            return None
        labels = [(p, self._labels[name].soft) for name, p in self._probabilities.items()]
        generators = [generator(seed, SAMPLES) for seed in seeds]
        with suppress(OSError):  # a step of training warns of it
            return NativeDraws(generators, self._index.first, self._index.cumulative, self.tables, labels)
        return None


class Stream:
    """The samples and labels of one replica, drawn in order, any number of steps at a time.

    Each sample takes the same number of random numbers, so a replica sees the same samples however they are divided.
    """

    def __init__(self, sampler: Sampler, labels: Sequence[str], seed: int):
        self._sampler = sampler
        self._labels = labels
        self._generator = generator(seed, SAMPLES)
        self._coins = generator(seed.labels, SAMPLES) if _labels_apart(seed) else None

    def fill(self, batch: Sequence[Tensor]) -> None:
        """Fill a batch with the next steps' samples: inputs and targets if any [S, B, ...], then each label [S, B]."""
        sampler = self._sampler
        steps, size = batch[0].shape[:2]
        drawn = self._generator.random((steps, size, sampler.draws), dtype=np.float32)  # in [0, 1)
        if self._coins:
            drawn[..., 1:] = self._coins.random(drawn.shape, dtype=np.float32)[..., 1:]
        uniform = torch.from_numpy(drawn)
        index = sampler.index(uniform[..., 0].contiguous())
        for table, part in zip(sampler.tables, batch, strict=False):
            if table.dim() == 2:  # a column at a time, since each column of the batch is contiguous
                for k in range(table.shape[1]):
                    part[..., k] = table[:, k][index]
            else:
                part.copy_(table[index])
        for i, (name, part) in enumerate(zip(self._labels, batch[len(sampler.tables) :], strict=True), start=1):
            part.copy_(sampler.label(name, index, uniform[..., i]))


class _Inverse:
    """The inverse of a cumulative distribution, by a table of 65,536 equal parts of [0, 1).

    Most parts hold a single outcome, which is looked up. In the others it is searched for.
    """

    def __init__(self, weights: Tensor):
        cumulative = weights.double().cumsum(0)
        self.cumulative = (cumulative / cumulative[-1]).float()
        self.cumulative[-1] = 1.0
        ends = torch.arange(2**16 + 1, dtype=torch.float64) / 2**16
        self.first = torch.searchsorted(self.cumulative, ends.float(), right=True).clamp(max=len(weights) - 1)
        """The first outcome of each part, and the last of all."""

    @cached_property
    def _outcome(self) -> Tensor:
        """The only outcome of each part, or -1."""
        ends = torch.arange(1, 2**16 + 1, dtype=torch.float64) / 2**16
        last = torch.searchsorted(self.cumulative, (ends - 2**-24).float(), right=True)
        return torch.where(self.first[:-1] == last, last, -1)

    def __call__(self, uniform: Tensor) -> Tensor:
        """The outcomes for numbers in [0, 1). They must be multiples of 2^-24, which generators of floats make."""
        outcome = self._outcome[(uniform * 2**16).long()]
        unsure = (outcome < 0).nonzero(as_tuple=True)
        outcome[unsure] = torch.searchsorted(self.cumulative, uniform[unsure], right=True)
        return outcome
