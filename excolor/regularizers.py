"""The terms that press structure onto a layer's activations: per-sample losses on activations [R, B, K]."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, PositiveFloat, model_validator
from torch import Tensor


class Term(BaseModel):
    """What every term has: the layers it acts on and, if it is for labelled samples, the labels' affinities."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("encoder",)
    labels: Annotated[dict[str, FiniteFloat], Field(min_length=1)] | None = None

    @abstractmethod
    def per_sample(self, z: Tensor) -> Tensor:
        """Loss of each sample: [R, B, K] to [R, B]."""

    def check(self, width: int) -> None:
        """Raise ValueError, starting with the offending key, if the term does not fit a layer of this width."""

    def loss(self, z: Tensor, labels: dict[str, Tensor]) -> Tensor:
        """Loss of each replica [R], for activations [R, B, K] and label values [R, B].

        Without labels the batch mean. With them, affinities `a = clip(sum of label x affinity, 0, 1)` weight a mean
        over the labelled samples, `sum(a l) / (sum(a) + 1e-8)`, which is 0 in a batch that has none.
        """
        losses = self.per_sample(z)
        if self.labels is None:
            return losses.mean(-1)
        terms = [labels[name] if scale == 1 else labels[name] * scale for name, scale in self.labels.items()]
        affinity = sum(terms[1:], terms[0]).clamp(0, 1)
        return (affinity * losses).sum(-1) / (affinity.sum(-1) + 1e-8)


class Anchor(Term):
    """`||z - point||^2`: pins the activations to a point."""

    term: Literal["Anchor"] = "Anchor"
    point: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]

    def check(self, width: int) -> None:
        if len(self.point) != width:
            raise ValueError(f"point: found {len(self.point)} coordinates, expected {width}, one for each dimension")

    def per_sample(self, z: Tensor) -> Tensor:
        return (z - z.new_tensor(self.point)).square().sum(-1)


class Subspace(Term):
    """Sum of `z_i^2` over the dimensions not in `dims` (`invert`: over those in it).

    Planarity, when dims are (0, 1): activations are drawn into the plane of the first two dimensions.
    """

    term: Literal["Subspace"] = "Subspace"
    dims: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0, 1)
    invert: bool = False

    def check(self, width: int) -> None:
        check_dims(self.dims, width)

    def per_sample(self, z: Tensor) -> Tensor:
        mask = torch.zeros(z.shape[-1], dtype=torch.bool)
        mask[list(self.dims)] = True
        penalised = (mask if self.invert else ~mask).nonzero().flatten().tolist()
        return z[..., penalised].square().sum(-1)


class Unitarity(Term):
    """`(||z|| - 1)^2`: draws activations to the unit sphere."""

    term: Literal["Unitarity"] = "Unitarity"

    def per_sample(self, z: Tensor) -> Tensor:
        return (z.norm(dim=-1) - 1).square()


class Separate(Term):
    """Sum over the batch of the pairs' cosines to a power: pushes samples apart, more the closer they are.

    Pairs within 1e-5 of cosine 1 (a sample and itself, and duplicates) are zeroed before `shift` maps cosines from
    [-1, 1] to [0, 1] by `(c + 1)/2`.
    """

    term: Literal["Separate"] = "Separate"
    power: PositiveFloat = 10
    shift: bool = False

    @model_validator(mode="after")
    def _cosines_can_be_raised(self) -> Separate:
        if not self.shift and self.power != int(self.power):
            raise ValueError(
                f"power: found {self.power}, expected a whole number, or shift = true (cosines can be negative)"
            )
        return self

    def per_sample(self, z: Tensor) -> Tensor:
        unit = z / (z.norm(dim=-1, keepdim=True) + 1e-8)
        cosines = unit @ unit.mT
        cosines = torch.where(cosines > 1 - 1e-5, 0, cosines)
        if self.shift:
            cosines = (cosines + 1) / 2
        return cosines.pow(self.power).sum(-1)


Regularizer = Annotated[Anchor | Separate | Subspace | Unitarity, Field(discriminator="term")]


def check_dims(dims: tuple[int, ...], width: int) -> None:
    """Raise ValueError unless every dimension is one of `width` and none is named twice."""
    if max(dims) >= width or len(set(dims)) < len(dims):
        raise ValueError(f"dims: found {list(dims)}, expected different dimensions from 0 to {width - 1}")
