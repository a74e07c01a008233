"""What one replica sees: its own stream of samples and label coin tosses, fixed by its seed alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from anchoring.data import Data
from anchoring.labels import Label

INITIALISATION, SAMPLES = 0, 1  # what a seed's independent random streams are for


def generator(seed: int, purpose: int) -> np.random.Generator:
    """The random stream of one seed for one purpose. Streams of other seeds or purposes are independent of it."""
    return np.random.default_rng(np.random.SeedSequence((seed, purpose)))


class Sampler:
    """Turns uniform random numbers into samples of some data and their labels."""

    def __init__(self, data: Data, labels: Mapping[str, Label]):
        self._labels = labels
        self._probabilities = {name: label.probability(data.attributes[label.of]) for name, label in labels.items()}
        weights = torch.ones(len(data.inputs)) if data.weights is None else data.weights
        self._index = _Inverse(weights)
        self.draws = 1 + len(labels)
        """Numbers that a sample takes: one for itself and one for each label."""

    def index(self, uniform: Tensor) -> Tensor:
        """Which samples numbers in [0, 1) mean, of the same shape."""
        return self._index(uniform)

    def label(self, name: str, index: Tensor, uniform: Tensor) -> Tensor:
        """Whether samples carry a label, 1 or 0, or its probability if it is soft; all of the same shape."""
        p = self._probabilities[name][index]
        return p if self._labels[name].soft else (uniform < p).float()


class Stream:
    """The samples and labels of one replica, drawn in order, as many steps at a time as you like.

    Each sample costs the same number of draws, so what a replica sees does not depend on where the stream is cut.
    """

    def __init__(self, sampler: Sampler, labels: Mapping[str, Label], seed: int, batch: int):
        self._sampler = sampler
        self._names = list(labels)
        self._generator = generator(seed, SAMPLES)
        self._batch = batch

    def draw(self, steps: int) -> tuple[Tensor, list[Tensor]]:
        """The next steps' samples, as indices, and labels, in the order of the names: [steps, batch] each."""
        shape = (steps, self._batch, self._sampler.draws)
        uniform = torch.from_numpy(self._generator.random(shape, dtype=np.float32))  # in [0, 1)
        index = self._sampler.index(uniform[..., 0].contiguous())
        tossed = enumerate(self._names, start=1)
        return index, [self._sampler.label(name, index, uniform[..., i]) for i, name in tossed]


class _Inverse:
    """The inverse of a distribution's cumulative weights, looked up: most of 65,536 equal shares of [0, 1) hold one
    outcome, and only in the others is it searched for."""

    def __init__(self, weights: Tensor):
        cumulative = weights.double().cumsum(0)
        self._cumulative = (cumulative / cumulative[-1]).float()
        self._cumulative[-1] = 1.0
        ends = torch.arange(2**16 + 1, dtype=torch.float64) / 2**16
        first = torch.searchsorted(self._cumulative, ends[:-1].float(), right=True)
        last = torch.searchsorted(self._cumulative, (ends[1:] - 2**-24).float(), right=True)
        self._outcome = torch.where(first == last, first, -1)

    def __call__(self, uniform: Tensor) -> Tensor:
        """Outcomes of numbers in [0, 1) that are multiples of 2^-24, as generators make them."""
        outcome = self._outcome[(uniform * 2**16).long()]
        unsure = (outcome < 0).nonzero(as_tuple=True)
        outcome[unsure] = torch.searchsorted(self._cumulative, uniform[unsure], right=True)
        return outcome
