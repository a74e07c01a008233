"""The colour autoencoders, replicated: R models of R seeds in one module, their parameters stacked on axis 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from anchoring.fields import Count, Table
from anchoring.sampling import INITIALISATION, generator

Outputs = Callable[[Tensor], Tensor]
"""Colours [N, 3] to outputs [R, N, 3]."""

Edits = Mapping[str, Callable[[Tensor], Tensor]]
"""What is done to layers' activations, by the layer's name."""


class ModelConfig(Table):
    """`ColorMLP`: 3-h-GELU-k-h-GELU-3 and a sigmoid. `NormedColorMLP`: the bottleneck is L2-normalised, the output
    linear. `depth` is the number of hidden layers, of width `hidden`, on either side of the bottleneck."""

    kind: Literal["ColorMLP", "NormedColorMLP"] = "ColorMLP"
    bottleneck: Count = 4
    hidden: Count = 16
    depth: Annotated[Count, Field(le=100)] = 1

    @property
    def normed(self) -> bool:
        return self.kind == "NormedColorMLP"

    @property
    def parameters(self) -> int:
        """How many weights and biases one replica has: 263 at the defaults."""
        inside = (self.depth - 1) * self.hidden * (self.hidden + 1)
        encoder = 4 * self.hidden + inside + (self.hidden + 1) * self.bottleneck
        decoder = (self.bottleneck + 1) * self.hidden + inside + (self.hidden + 1) * 3
        return encoder + decoder

    @property
    def layers(self) -> dict[str, int]:
        """The layers that regularizers and ablations can name, with their widths."""
        names = ["encoder", "bottleneck"] if self.normed else ["encoder"]
        return dict.fromkeys(names, self.bottleneck)


class ReplicatedLinear(nn.Module):
    """R linear layers at once: [R, N, inputs] to [R, N, outputs]; weight [R, inputs, outputs], bias [R, 1, outputs].

    Initialised as `torch.nn.Linear` is, uniformly within 1/sqrt(inputs), each replica from its own generator.
    """

    def __init__(self, inputs: int, outputs: int, generators: Sequence[np.random.Generator]):
        super().__init__()
        bound = 1 / math.sqrt(inputs)

        def uniform(*shape: int) -> nn.Parameter:
            return nn.Parameter(
                torch.from_numpy(np.stack([g.uniform(-bound, bound, shape) for g in generators])).float()
            )

        self.weight = uniform(inputs, outputs)
        self.bias = uniform(1, outputs)

    def forward(self, x: Tensor) -> Tensor:
        # samples lie side by side in memory, whatever the layer's width: twice as fast as channels doing so
        return torch.baddbmm(self.bias.mT, self.weight.mT, x.mT).mT


class ReplicatedMLP(nn.Module):
    """R stacks of linear layers with GELU between them."""

    def __init__(self, widths: Sequence[int], generators: Sequence[np.random.Generator]):
        super().__init__()
        self.layers = nn.ModuleList(ReplicatedLinear(a, b, generators) for a, b in pairwise(widths))

    @property
    def first(self) -> ReplicatedLinear:
        return cast(ReplicatedLinear, self.layers[0])

    @property
    def last(self) -> ReplicatedLinear:
        return cast(ReplicatedLinear, self.layers[-1])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.gelu(layer(x))
        return self.last(x)


class ColorMLP(nn.Module):
    """R autoencoders of RGB colours, one for each seed."""

    def __init__(self, config: ModelConfig, seeds: Sequence[int]):
        super().__init__()
        generators = [generator(seed, INITIALISATION) for seed in seeds]
        self.config = config
        self.replicas = len(seeds)
        hidden = [config.hidden] * config.depth
        self.encoder = ReplicatedMLP([3, *hidden, config.bottleneck], generators)
        self.decoder = ReplicatedMLP([config.bottleneck, *hidden, 3], generators)

    def activations(self, x: Tensor, edits: Edits = MappingProxyType({})) -> dict[str, Tensor]:
        """Every named layer's activations, [R, N, width], for colours [R, N, 3], from `input` to `output`.

        `edits` change a layer's activations, [R, N, width] to the same, before they are passed on.
        """
        return {"input": x, **self.from_encoder(self.encoder(x), edits)}

    def from_encoder(self, z: Tensor, edits: Edits = MappingProxyType({})) -> dict[str, Tensor]:
        """The activations of the layers from `encoder` to `output`, for those of the encoder, [R, N, k]."""
        z = edits["encoder"](z) if "encoder" in edits else z
        layers = {"encoder": z}
        if self.config.normed:
            z = F.normalize(z, dim=-1)
            z = layers["bottleneck"] = edits["bottleneck"](z) if "bottleneck" in edits else z
        y = self.decoder(z)
        layers["output"] = y if self.config.normed else torch.sigmoid(y)
        return layers

    def decode(self, z: Tensor) -> Tensor:
        """Outputs [R, N, 3], not clamped, of activations of the encoder [R, N, k]."""
        return self.from_encoder(z)["output"]

    def finite(self) -> Tensor:
        """Which replicas' parameters are all finite: [R]."""
        finite = [parameter.isfinite().flatten(1).all(1) for parameter in self.parameters()]
        return torch.stack(finite).all(0)

    def forward(self, x: Tensor, edits: Edits = MappingProxyType({})) -> Tensor:
        """Reconstructed colours [R, N, 3] in [0, 1], of colours [R, N, 3] or, the same for every replica, [N, 3]."""
        return self.activations(x.expand(self.replicas, -1, 3), edits)["output"].clamp(0, 1)
