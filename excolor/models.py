"""The colour autoencoders, replicated: R models of R seeds in one module, their parameters stacked on axis 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from excolor.sampling import INITIALISATION, generator


class ModelConfig(BaseModel):
    """`ColorMLP`: 3-h-GELU-k-h-GELU-3 and a sigmoid. `NormedColorMLP`: the bottleneck is L2-normalised, the output
    linear."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["ColorMLP", "NormedColorMLP"] = "ColorMLP"
    bottleneck: PositiveInt = 4
    hidden: PositiveInt = 16

    @property
    def normed(self) -> bool:
        return self.kind == "NormedColorMLP"

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
        return torch.baddbmm(self.bias, x, self.weight)


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
        self.encoder = ReplicatedMLP([3, config.hidden, config.bottleneck], generators)
        self.decoder = ReplicatedMLP([config.bottleneck, config.hidden, 3], generators)

    def activations(self, x: Tensor) -> dict[str, Tensor]:
        """Every named layer's activations, [R, N, width], for colours [R, N, 3]; `output` is last."""
        layers = {"encoder": self.encoder(x)}
        z = layers["encoder"]
        if self.config.normed:
            z = layers["bottleneck"] = F.normalize(z, dim=-1)
        y = self.decoder(z)
        layers["output"] = y if self.config.normed else torch.sigmoid(y)
        return layers

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructed colours [R, N, 3] in [0, 1], of colours [R, N, 3] or, the same for every replica, [N, 3]."""
        return self.activations(x.expand(self.replicas, -1, 3))["output"].clamp(0, 1)
