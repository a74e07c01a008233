"""What each replica sees: its own stream of colours and label coin tosses, fixed by its seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from anchoring.labels import Label
from excolor.colors import Cube

INITIALISATION, SAMPLES = 0, 1  # what a seed's independent random streams are for


def generator(seed: int, purpose: int) -> np.random.Generator:
    """The random stream of one seed for one purpose. Streams of other seeds or purposes are independent of it."""
    return np.random.default_rng(np.random.SeedSequence((seed, purpose)))


class Stream:
    """The samples and labels of R replicas, drawn in order, as many steps at a time as you like.

    Each replica has its own generator and each sample costs it the same number of draws, so what a replica sees
    depends neither on the other replicas nor on where the stream is cut.
    """

    def __init__(self, cube: Cube, labels: dict[str, Label], seeds: Sequence[int], batch: int):
        self._labels = labels
        self._probabilities = {name: label.probability(cube.colors) for name, label in labels.items()}
        self._channels = cube.colors.T.contiguous()
        self._index = _Inverse(cube.weights)
        self._generators = [generator(seed, SAMPLES) for seed in seeds]
        self._batch = batch

    def draw(self, steps: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The next steps: colours [steps, R, batch, 3] and, of each label, 1 or 0 (or its probability if it is soft)
        [steps, R, batch]. A channel's samples lie side by side in memory."""
        shape = (steps, self._batch, 1 + len(self._probabilities))
        draws = np.stack([g.random(shape, dtype=np.float32) for g in self._generators], axis=1)
        uniform = torch.from_numpy(draws)  # in [0, 1)
        index = self._index(uniform[..., 0].contiguous())
        labels = {}
        for i, (name, probability) in enumerate(self._probabilities.items(), start=1):
            p = probability[index]
            labels[name] = p if self._labels[name].soft else (uniform[..., i] < p).float()
        return torch.stack([channel[index] for channel in self._channels], 2).mT, labels


class _Inverse:
    """The inverse of a distribution's cumulative weights, looked up: most of 65,536 equal shares of [0, 1) hold one
    outcome, and only in the others is it searched for."""

    def __init__(self, weights: Tensor):
        self._cumulative = weights.double().cumsum(0).float()
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
