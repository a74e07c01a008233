"""What a replica is trained on: samples, how likely each is, and what labels may say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Data:
    """Samples to draw from, with replacement.

    Args:
        inputs: [N, ...], what the model takes.
        attributes: name to [N] in [0, 1]: how much of something a sample has, which labels are given for.
        weights: [N], how likely each sample is; they need not sum to 1. Without them all are equally likely.
        targets: [N, ...], what the model should answer; without them the inputs, as of an autoencoder.
    """

    inputs: Tensor
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Tensor | None = None
    targets: Tensor | None = None

    def __post_init__(self) -> None:
        named = {"weights": self.weights, "targets": self.targets, **self.attributes}
        for name, tensor in named.items():
            if tensor is not None and len(tensor) != len(self.inputs):
                raise ValueError(f"{name}: found {len(tensor)} rows, expected {len(self.inputs)}, one for each sample")
        if self.weights is not None and not (self.weights.min() >= 0 and 0 < self.weights.sum() < torch.inf):
            raise ValueError("weights: found some that are not 0 or more, or all 0, expected how likely samples are")
