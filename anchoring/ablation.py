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

from anchoring.alignment import Mapping, falloff, repel, suppress
from anchoring.fields import Dims, Point, Real, Share, Table, check_dims
from excolor import colors
from excolor.models import ColorMLP, Edits, Outputs


class Ablation(Table):
    """What is taken away after training, and how: one flat table, so that `kind` can be a search space's choice.

    - `ablate` zeroes the weights that write `dims` (rows and biases) and that read them; a normalised bottleneck
      renormalises what is left.
    - `prune` removes those weights: the same outputs from a smaller model.
    - `suppress` takes away, at run time, what of an activation lies along the dims (or along `direction`), by a bounded
      falloff `amount ((x - start)/(1 - start))^power` of its alignment x, above `start`; by default all of it.
    - `repel` turns activations away from the dims (or the direction), so that alignments above `start` end up between
      `start` and `end`, by a `linear` or a `bezier` mapping; by default all at 0.
    - `leace` erases, at run time, what a linear probe could read of hue's point on the colour wheel (Belrose et al.
      2023): post hoc, whatever the dims.

    Each kind takes the keys it needs and leaves the others alone. The first two act on the weights around the
    bottleneck, whichever of its layers is named. Alignment is the share of an activation's length that lies along the
    dims, or the cosine with the direction, of which only positive ones are touched.
    """

    kind: Literal["ablate", "prune", "suppress", "repel", "leace"] = "ablate"
    layer: str = "encoder"
    dims: Dims = (0, 1)
    direction: Point | None = None  # instead of dims
    start: Annotated[Share, Field(lt=1)] = 0
    amount: Share = 1
    power: Annotated[Real, Field(ge=0)] = 0
    end: Share = 0
    mapping: Literal["linear", "bezier"] = "linear"

    @model_validator(mode="after")
    def _kinds_take_what_they_need(self) -> Ablation:
        if self.direction is not None and self.kind in ("ablate", "prune"):
            raise ValueError(
                f"direction: found one with kind {self.kind!r}, expected dims (suppress and repel take one)"
            )
        if self.direction is not None and not any(self.direction):
            raise ValueError("direction: found a direction of length 0, expected another")
        if self.kind == "repel" and self.end < self.start:
            raise ValueError(f"end: found {self.end}, expected start ({self.start}) or more for kind 'repel'")
        return self

    def apply(self, model: ColorMLP) -> Outputs:
        """The model's outputs without what is taken away; the model itself stays as it is."""
        if self.kind == "ablate":
            return self._without_weights(model)
        if self.kind == "prune":
            return prune(model, self.dims)
        return partial(model, edits=self._edits(model))

    def compare(self, model: ColorMLP) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """The intact model's outputs, [N, 3] to [R, N, 3], and those of `apply`, for little more than either costs."""
        return compare(model, self._edits(model))

    def _edits(self, model: ColorMLP) -> Edits:
        """What to do to the model's activations. Weights taken away leave the encoder's at 0."""
        if self.kind in ("ablate", "prune"):
            kept = [float(dim not in self.dims) for dim in range(model.config.bottleneck)]
            return {"encoder": lambda z: z * z.new_tensor(kept)}
        if self.kind == "leace":
            return {self.layer: leace(model, self.layer)}
        basis, signed = self._basis(model.config.bottleneck), self.direction is not None
        if self.kind == "suppress":
            gate = partial(falloff, start=self.start, amount=self.amount, power=self.power)
            return {self.layer: partial(suppress, basis=basis, gate=gate, signed=signed)}
        mapping = Mapping(self.mapping, self.start, self.end)
        return {self.layer: partial(repel, basis=basis, mapping=mapping, signed=signed)}

    def _basis(self, width: int) -> Tensor:
        """Orthonormal rows that span what is taken away, [n, width]."""
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
        if self.direction is None and self.kind != "leace":
            check_dims(self.dims, width)
        if self.direction is not None and len(self.direction) != width:
            raise ValueError(f"direction: found {len(self.direction)} coordinates, expected {width}")
        if self.kind in ("prune", "repel") and self.direction is None and len(self.dims) == width:
            raise ValueError(f"dims: found all {width} dimensions, expected kind {self.kind!r} to leave some")


def compare(model: ColorMLP, edits: Edits) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The intact model's outputs, [N, 3] to [R, N, 3], and those with edited activations."""

    def outputs(x: Tensor) -> tuple[Tensor, Tensor]:
        z = model.encoder(x.expand(model.replicas, -1, 3))
        intact, edited = (model.from_encoder(z, e)["output"].clamp(0, 1) for e in ({}, edits))
        return intact, edited

    return outputs


def prune(model: ColorMLP, dims: Sequence[int]) -> ColorMLP:
    """A smaller model without some bottleneck dims, whose outputs are those of the ablated one.

    Raises ValueError if the model has no such dims.
    """
    check_dims(tuple(dims), model.config.bottleneck)
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
    """The smallest edit, in the least-squares sense, after which no linear map finds hue's point in a layer.

    The point is (cos, sin) of hue, scaled by vibrancy, on an HSV grid, fitted replica by replica in double precision;
    a replica that is not finite stays so.
    """
    with warnings.catch_warnings():  # the package compiles what we do not use by what PyTorch deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        from concept_erasure import LeaceEraser
    grid = colors.hsv_centres(36, 8, 8)
    angle = 2 * math.pi * colors.cell_centres(36)
    point = torch.stack([angle.cos(), angle.sin()], -1)[:, None, None] * colors.vibrancy(grid).unsqueeze(-1)
    rgb = grid.reshape(1, -1, 3).expand(model.replicas, -1, 3)
    latents = model.activations(rgb)[layer].double()
    target = point.reshape(-1, 2).double()
    erasers = [LeaceEraser.fit(z, target) if z.isfinite().all() else None for z in latents]

    def edit(z: Tensor) -> Tensor:
        edited = [
            eraser(replica.double()) if eraser else torch.full_like(replica, torch.nan, dtype=torch.float64)
            for eraser, replica in zip(erasers, z, strict=True)
        ]
        return torch.stack(edited).to(z.dtype)

    return edit
