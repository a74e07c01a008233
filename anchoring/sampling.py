"""The samples and labels that one replica sees: a random stream that depends on nothing but its seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from anchoring.data import Data
from anchoring.labels import Label

INITIALISATION, SAMPLES = 0, 1  # the purposes of a seed's random streams, which are independent


def generator(seed: int, purpose: int) -> np.random.Generator:
    """The random stream of one seed for one purpose, independent of those of other seeds and purposes."""
    return np.random.default_rng(np.random.SeedSequence((seed, purpose)))


class Sampler:
    """Turns uniform random numbers into samples of some data and their labels."""

    def __init__(self, data: Data, labels: Mapping[str, Label]):
        self._labels = labels
        self._probabilities = {name: label.probability(data.attributes[label.of]) for name, label in labels.items()}
        weights = torch.ones(len(data.inputs)) if data.weights is None else data.weights
        self._index = _Inverse(weights)
        self.draws = 1 + len(labels)
        """How many random numbers a sample takes: one for itself and one for each label."""

    def index(self, uniform: Tensor) -> Tensor:
        """The samples' indices for random numbers in [0, 1), in the same shape."""
        return self._index(uniform)

    def label(self, name: str, index: Tensor, uniform: Tensor) -> Tensor:
        """Whether samples carry a label, 1 or 0, or its probability if it is soft. All tensors have the same shape."""
        p = self._probabilities[name][index]
        return p if self._labels[name].soft else (uniform < p).float()


class Stream:
    """The samples and labels of one replica, drawn in order, any number of steps at a time.

    Each sample takes the same number of random numbers, so a replica sees the same samples however they are divided.
    """

    def __init__(self, sampler: Sampler, labels: Mapping[str, Label], seed: int, batch: int):
        self._sampler = sampler
        self._names = list(labels)
        self._generator = generator(seed, SAMPLES)
        self._batch = batch

    def draw(self, steps: int) -> tuple[Tensor, list[Tensor]]:
        """The indices of the next steps' samples, and their labels in the order of the names: [steps, batch] each."""
        shape = (steps, self._batch, self._sampler.draws)
        uniform = torch.from_numpy(self._generator.random(shape, dtype=np.float32))  # in [0, 1)
        index = self._sampler.index(uniform[..., 0].contiguous())
        tossed = enumerate(self._names, start=1)
        return index, [self._sampler.label(name, index, uniform[..., i]) for i, name in tossed]


class _Inverse:
    """The inverse of a cumulative distribution, by a table of 65,536 equal parts of [0, 1).

    Most parts hold a single outcome, which is looked up. In the others it is searched for.
    """

    def __init__(self, weights: Tensor):
        cumulative = weights.double().cumsum(0)
        self._cumulative = (cumulative / cumulative[-1]).float()
        self._cumulative[-1] = 1.0
        ends = torch.arange(2**16 + 1, dtype=torch.float64) / 2**16
        first = torch.searchsorted(self._cumulative, ends[:-1].float(), right=True)
        last = torch.searchsorted(self._cumulative, (ends[1:] - 2**-24).float(), right=True)
        self._outcome = torch.where(first == last, first, -1)

    def __call__(self, uniform: Tensor) -> Tensor:
        """The outcomes for numbers in [0, 1). They must be multiples of 2^-24, which generators of floats make."""
        outcome = self._outcome[(uniform * 2**16).long()]
        unsure = (outcome < 0).nonzero(as_tuple=True)
        outcome[unsure] = torch.searchsorted(self._cumulative, uniform[unsure], right=True)
        return outcome
