"""Taking latent dimensions away from trained models: by their weights, or from their activations at run time."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from excolor import colors
from excolor.alignment import Mapping, falloff, repel, suppress
from excolor.fields import Dims, Point, Real, Share, Table
from excolor.models import ColorMLP
from excolor.regularizers import check_dims

Outputs = Callable[[Tensor], Tensor]
"""Colours [N, 3] to outputs [R, N, 3]."""


class Ablation(Table):
    """What is taken away after training, and how: one flat table, so that `kind` can be a search space's choice.

    - `ablate` zeroes the weights that write `dims` (rows and biases) and that read them; a normalised bottleneck
      renormalises what is left.
    - `prune` removes those weights: the same outputs from a smaller model.
    - `suppress` attenuates, at run time, what of an activation lies along the dims (or along `direction`), by `amount`
      times a bounded falloff `end ((x - start)/(1 - start))^power` of its alignment x, above `start`. By default it is
      set to zero.
    - `repel` turns activations away from the dims (or the direction), so that alignments above `start` end up between
      `start` and `end`, by a `linear` or a `bezier` mapping.
    - `leace` erases, at run time, all that a linear probe could read of hue (Belrose et al. 2023): post hoc, whatever
      the dims.

    The first two act on the weights around the bottleneck, whichever of its layers is named. Alignment is the share of
    an activation's length that lies along the dims, or the cosine with the direction, of which only positive ones are
    touched.
    """

    kind: Literal["ablate", "prune", "suppress", "repel", "leace"] = "ablate"
    layer: str = "encoder"
    dims: Dims = (0, 1)
    direction: Point | None = None  # instead of dims
    start: Annotated[Share, Field(lt=1)] = 0
    end: Share = 1
    power: Annotated[Real, Field(ge=0)] = 0
    amount: Share = 1
    mapping: Literal["linear", "bezier"] = "linear"

    @model_validator(mode="after")
    def _kinds_take_what_they_need(self) -> Ablation:
        if self.direction is not None and self.kind in ("ablate", "prune"):
            raise ValueError(
                f"direction: found one with kind {self.kind!r}, expected dims (suppress and repel take one)"
            )
        if self.direction is not None and not any(self.direction):
            raise ValueError("direction: found a direction of length 0, expected another")
        if self.kind == "repel" and self.end <= self.start:
            raise ValueError(f"end: found {self.end}, expected more than start ({self.start}) for kind 'repel'")
        return self

    def apply(self, model: ColorMLP) -> Outputs:
        """The model's outputs without what is taken away; the model itself stays as it is."""
        match self.kind:
            case "ablate":
                return self._without_weights(model)
            case "prune":
                return prune(model, self.dims)
            case "leace":
                return partial(model, edits={self.layer: leace(model, self.layer)})
        basis = self._basis(model.config.bottleneck)
        if self.kind == "suppress":
            gate = partial(falloff, start=self.start, end=self.end, power=self.power)
            edit = partial(suppress, basis=basis, gate=lambda x: self.amount * gate(x))
        else:
            edit = partial(repel, basis=basis, mapping=Mapping(self.mapping, self.start, self.end))
        return partial(model, edits={self.layer: edit})

    def _basis(self, width: int) -> Tensor:
        """Orthonormal rows that span what is taken away, [n, width]; a single row is a direction, which has a sign."""
        if self.direction is None:
            return torch.eye(width)[list(self.dims)]
        direction = torch.tensor([self.direction])
        return direction / direction.norm()

    def _without_weights(self, model: ColorMLP) -> ColorMLP:
        dims = list(self.dims)
        ablated = copy.deepcopy(model)
        with torch.no_grad():
            ablated.encoder.last.weight[:, :, dims] = 0
            ablated.encoder.last.bias[:, :, dims] = 0
            ablated.decoder.first.weight[:, dims, :] = 0
        return ablated

    def check(self, width: int) -> None:
        """Raise ValueError, starting with the offending key, if this does not fit a layer of this width."""
        check_dims(self.dims, width)
        if self.direction is not None and len(self.direction) != width:
            raise ValueError(f"direction: found {len(self.direction)} coordinates, expected {width}")
        if self.kind in ("prune", "repel") and self.direction is None and len(self.dims) == width:
            raise ValueError(f"dims: found all {width} dimensions, expected kind {self.kind!r} to leave some")


def prune(model: ColorMLP, dims: Sequence[int]) -> ColorMLP:
    """A smaller model without some bottleneck dims, whose outputs are those of the ablated one."""
    keep = [dim for dim in range(model.config.bottleneck) if dim not in dims]
    config = model.config.model_copy(update={"bottleneck": len(keep)})
    state = dict(model.state_dict())
    writer, reader = f"encoder.layers.{config.depth}", "decoder.layers.0"
    state[f"{writer}.weight"] = state[f"{writer}.weight"][:, :, keep]
    state[f"{writer}.bias"] = state[f"{writer}.bias"][:, :, keep]
    state[f"{reader}.weight"] = state[f"{reader}.weight"][:, keep, :]
    pruned = ColorMLP(config, range(model.replicas))
    pruned.load_state_dict(state)
    return pruned


@torch.no_grad()
def leace(model: ColorMLP, layer: str) -> Callable[[Tensor], Tensor]:
    """The least-squares smallest edit of a layer after which no linear probe finds hue in it, replica by replica.

    Hue is fitted as the point (cos, sin) of the hue circle scaled by vibrancy, on an HSV grid.
    """
    with warnings.catch_warnings():  # the package compiles what we do not use by what PyTorch deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        from concept_erasure import LeaceEraser
    grid = colors.hsv_centres(36, 8, 8)
    angle = 2 * math.pi * colors.cell_centres(36)
    point = torch.stack([angle.cos(), angle.sin()], -1)[:, None, None] * colors.vibrancy(grid).unsqueeze(-1)
    rgb = grid.reshape(1, -1, 3).expand(model.replicas, -1, 3)
    erasers = [LeaceEraser.fit(z, point.reshape(-1, 2)) for z in model.activations(rgb)[layer]]
    return lambda z: torch.stack([eraser(replica) for eraser, replica in zip(erasers, z, strict=True)])
