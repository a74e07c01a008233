"""The colour autoencoders."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from anchoring.fields import Config, Count


class ModelConfig(Config):
    """A setting's table `model`: which autoencoder, and its size.

    Attributes:
        kind: `ColorMLP` ends with a sigmoid. `NormedColorMLP` has an L2-normalised bottleneck and a linear output.
        bottleneck: the width of the bottleneck.
        hidden: the width of the hidden layers, which have GELUs.
        depth: how many hidden layers there are on each side of the bottleneck.

    Examples:
        >>> sum(p.numel() for p in ModelConfig().make().parameters())
        263
    """

    kind: Literal["ColorMLP", "NormedColorMLP"] = "ColorMLP"
    bottleneck: Count = 4
    hidden: Count = 16
    depth: Annotated[Count, Field(le=100)] = 1

    def make(self) -> ColorMLP:
        """A new model, with weights from PyTorch's global random numbers."""
        return NormedColorMLP(self) if self.kind == "NormedColorMLP" else ColorMLP(self)


DEFAULT = ModelConfig()


class ColorMLP(nn.Module):
    """An autoencoder of RGB colours: [B, 3] to [B, 3] in [0, 1].

    Its layers are `encoder` [B, k], `decoder` [B, 3] and their submodules.

    Examples:
        >>> ColorMLP()(torch.rand(5, 3)).shape
        torch.Size([5, 3])
    """

    def __init__(self, config: ModelConfig = DEFAULT):
        super().__init__()
        hidden = [config.hidden] * config.depth
        self.encoder = mlp([3, *hidden, config.bottleneck])
        self.decoder = mlp([config.bottleneck, *hidden, 3])

    @property
    def around(self) -> Mapping[str, tuple[str, str]]:
        """The submodules that write and read a layer: see `anchoring.ablation.around`."""
        return {"encoder": (f"encoder.{len(self.encoder) - 1}", "decoder.0")}

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x)).sigmoid()


class NormedColorMLP(ColorMLP):
    """A ColorMLP with a layer `bottleneck` on the unit sphere. Its output is linear, and clamped in evaluation mode.

    Examples:
        >>> from anchoring import activations
        >>> z = activations(NormedColorMLP(), torch.rand(5, 3))["bottleneck"]
        >>> torch.allclose(z.norm(dim=-1), torch.ones(5))
        True
    """

    def __init__(self, config: ModelConfig = DEFAULT):
        super().__init__(config)
        self.bottleneck = Normalize()

    @property
    def around(self) -> Mapping[str, tuple[str, str]]:
        weights = super().around["encoder"]  # both layers have the same weights around them
        return {"encoder": weights, "bottleneck": weights}

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.bottleneck(self.encoder(x)))
        return y if self.training else y.clamp(0, 1)


class Normalize(nn.Module):
    """Scales vectors [..., k] to length 1.

    Examples:
        >>> Normalize()(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """

    def forward(self, z: Tensor) -> Tensor:
        return F.normalize(z, dim=-1)


def mlp(widths: list[int]) -> nn.Sequential:
    """Linear layers of these widths, with GELUs between them.

    Examples:
        >>> mlp([3, 16, 4])
        Sequential(
          (0): Linear(in_features=3, out_features=16, bias=True)
          (1): GELU(approximate='none')
          (2): Linear(in_features=16, out_features=4, bias=True)
        )
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def upgraded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and transpose the weights of replicas that version 0.1 stored.

    Args:
        weights: by their names then, such as `encoder.layers.1.weight` [R, in, out].

    Returns:
        Weights by their names now, such as `encoder.2.weight` [R, out, in].

    Examples:
        >>> {name: tuple(w.shape) for name, w in upgraded({"encoder.layers.1.weight": torch.zeros(8, 16, 4)}).items()}
        {'encoder.2.weight': (8, 4, 16)}
    """
    now = {}
    for name, tensor in weights.items():
        part, layers, index, kind = [*name.split("."), "", "", ""][:4]
        if layers != "layers":
            now[name] = tensor
        elif kind == "weight":
            now[f"{part}.{2 * int(index)}.weight"] = tensor.mT.contiguous()
        else:
            now[f"{part}.{2 * int(index)}.bias"] = tensor.squeeze(1)
    return now
