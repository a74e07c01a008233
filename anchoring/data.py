"""What a replica is trained on: samples, how likely each is to be drawn, and what it may be labelled for."""

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
        attributes: name to [N] in [0, 1]: how much each sample has of something that a label may be given for.
        weights: [N], how likely each sample is to be drawn, up to a factor. Without them all are equally likely.
        targets: [N, ...], what the model should answer. Without them it should answer its inputs: an autoencoder.

    Raises:
        ValueError: a tensor has not one row for each sample, or the weights are negative, infinite or all 0.

    Examples:
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> Data(x, attributes={"first": x[:, 0]}, weights=torch.tensor([1.0, 3.0])).attributes["first"]
        tensor([0., 1.])
    """

    inputs: Tensor
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Tensor | None = None
    targets: Tensor | None = None

    @property
    def tables(self) -> list[Tensor]:
        """What a batch has rows of: the inputs, and the targets if there are any."""
        return [self.inputs] if self.targets is None else [self.inputs, self.targets]

    def __post_init__(self) -> None:
        named = {"weights": self.weights, "targets": self.targets, **self.attributes}
        for name, tensor in named.items():
            if tensor is not None and len(tensor) != len(self.inputs):
                raise ValueError(f"{name}: found {len(tensor)} rows, expected {len(self.inputs)}, one for each sample")
        if self.weights is not None and not (self.weights.min() >= 0 and 0 < self.weights.sum() < torch.inf):
            raise ValueError("weights: found negative, infinite or NaN ones, or only 0, expected each 0 or more")
