"""The terms that press structure onto a layer's activations: losses of one replica's samples, from activations [B, K].

Unless a term says otherwise it is that of the paper's experiments (arXiv 2512.12469).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, Strict, model_validator
from torch import Tensor
from torch.nn import functional as F

from anchoring.fields import Config, Dims, Point, Real, check_dims
from anchoring.layers import Edits, emptied


@dataclass(frozen=True)
class Seen:
    """What a term may look at: one replica's batch as the model sees it.

    Args:
        layers: the activations of every layer, `input` and `output` among them, [B, ...] each.
        labels: [B] each.
        rerun: the layers of the same inputs with some activations edited.
        task: the task's loss of each sample [B], of outputs [B, ...].
    """

    layers: Mapping[str, Tensor]
    labels: Mapping[str, Tensor]
    rerun: Callable[[Edits], Mapping[str, Tensor]]
    task: Callable[[Tensor], Tensor]


def _factors(layers: Any) -> Any:
    return dict.fromkeys(layers, 1.0) if isinstance(layers, list | tuple) else layers


class Term(Config):
    """What every term has: the layers it acts on, when, and, if it is for labelled samples, the labels' affinities.

    `layers` is a list of names or a table of name and factor, by which the layer's loss is multiplied. A term may act
    in training, in validation (it is measured at the rungs, on the experiment's validation data) or in both.
    """

    layers: Annotated[dict[str, Real], Field(min_length=1), BeforeValidator(_factors)] = {"encoder": 1.0}
    labels: Annotated[dict[str, Real], Field(min_length=1)] | None = None
    when: Literal["training", "validation", "both"] = "training"

    @abstractmethod
    def per_sample(self, z: Tensor) -> Tensor:
        """The loss of each sample, [B], from a layer's activations, [B, ...]."""

    def check(self, width: int) -> None:
        """Raise ValueError, starting with the offending key, if the term does not fit a layer of this width."""

    def total(self, seen: Seen) -> Tensor:
        """The term's loss, a scalar: over its layers, the sum of their losses times their factors."""
        losses = [self.mean(self.per_sample(seen.layers[name]), seen) * scale for name, scale in self.layers.items()]
        return sum(losses[1:], losses[0])

    def mean(self, losses: Tensor, seen: Seen) -> Tensor:
        """The mean of samples' losses [B], a scalar.

        Without labels the batch mean. With them, the labelled samples' mean weighted by `a = clip(sum of label x
        affinity, 0, 1)`: `sum(a l) / (sum(a) + 1e-8)`, which is 0 in a batch that has none.
        """
        if self.labels is None:
            return losses.mean()
        terms = [seen.labels[name] if scale == 1 else seen.labels[name] * scale for name, scale in self.labels.items()]
        weights = sum(terms[1:], terms[0]).clamp(0, 1)
        return (weights * losses).sum() / (weights.sum() + 1e-8)


class Anchor(Term):
    """`||z - point||^2`: pins the activations to a point."""

    point: Point

    def check(self, width: int) -> None:
        check_point(self.point, width)

    def per_sample(self, z: Tensor) -> Tensor:
        return (z - z.new_tensor(self.point)).square().sum(-1)


class Pin(Term):
    """`(z_dim - at)^2`: draws one dimension to a value and leaves the others free. Not among the paper's terms."""

    dim: Annotated[int, Strict(), Field(ge=0)] = 0
    at: Real = 1.0

    def check(self, width: int) -> None:
        check_dims((self.dim,), width, "dim")

    def per_sample(self, z: Tensor) -> Tensor:
        return (z[..., self.dim] - self.at).square()


class AngularAnchor(Term):
    """`1 - cos(z, point)`: draws activations towards a direction, whatever their length."""

    point: Point

    def check(self, width: int) -> None:
        check_direction(self.point, width)

    def per_sample(self, z: Tensor) -> Tensor:
        return 1 - _cosine(z, self.point)


class AntiAnchor(Term):
    """`max(cos(z, point), 0)`, or over the `full` sphere `(cos(z, point) + 1)/2`: keeps activations off a direction."""

    point: Point
    full: bool = False

    def check(self, width: int) -> None:
        check_direction(self.point, width)

    def per_sample(self, z: Tensor) -> Tensor:
        cosine = _cosine(z, self.point)
        return (cosine + 1) / 2 if self.full else cosine.clamp(min=0)


class Subspace(Term):
    """Sum of `z_i^2` over the dimensions not in `dims` (`invert`: over those in it).

    Planarity, when dims are (0, 1): activations are drawn into the plane of the first two dimensions.
    """

    dims: Dims = (0, 1)
    invert: bool = False

    def check(self, width: int) -> None:
        check_dims(self.dims, width)
        if len(self.dims) == width and not self.invert:
            raise ValueError(f"dims: found all {width} dimensions, expected to leave some to be drawn to 0")

    def per_sample(self, z: Tensor) -> Tensor:
        penalised = [dim for dim in range(z.shape[-1]) if (dim in self.dims) == self.invert]
        return z[..., penalised].square().sum(-1)


class Unitarity(Term):
    """`(||z|| - 1)^2`: draws activations to the unit sphere."""

    def per_sample(self, z: Tensor) -> Tensor:
        return (z.norm(dim=-1) - 1).square()


class Separate(Term):
    """Sum over the batch of the pairs' cosines to a power: pushes samples apart, more the closer they are.

    Pairs within 1e-5 of cosine 1 (a sample and itself, and duplicates) are zeroed before `shift` maps cosines from
    [-1, 1] to [0, 1] by `(c + 1)/2`.
    """

    channels: Dims | None = None  # all of them
    power: Annotated[Real, Field(ge=1)] = 10
    shift: bool = False

    @model_validator(mode="after")
    def _cosines_can_be_raised(self) -> Separate:
        if not self.shift and self.power != int(self.power):
            raise ValueError(
                f"power: found {self.power}, expected a whole number, or shift = true (cosines can be negative)"
            )
        return self

    def check(self, width: int) -> None:
        if self.channels is not None:
            check_dims(self.channels, width, "channels")

    def per_sample(self, z: Tensor) -> Tensor:
        if self.channels is not None:
            z = z[..., list(self.channels)]
        unit = F.normalize(z, dim=-1, eps=1e-8)
        cosines = unit @ unit.mT
        cosines = torch.where(cosines > 1 - 1e-5, 0, cosines)
        if self.shift:
            cosines = (cosines.clamp(min=-1) + 1) / 2  # rounding may take a cosine below -1
        return _power(cosines, self.power).sum(-1)


class Fallback(Term):
    """The task's loss with the dims empty: teaches what reads the layer to do without them.

    The loss is smallest when the model answers with the best guess from the remaining dims. If those encode everything
    but the concept, that is the concept-blind oracle. Only what comes after the layer learns by it: a gradient to what
    comes before would move the concept into the other dims. It needs no labels. Not among the paper's terms.
    """

    dims: Dims = (0, 1)

    def check(self, width: int) -> None:
        check_dims(self.dims, width)
        if len(self.layers) != 1:
            raise ValueError(f"layers: found {list(self.layers)}, expected one")

    def per_sample(self, z: Tensor) -> Tensor:
        raise TypeError("Fallback's losses are of the model's answers; total gives them")

    def total(self, seen: Seen) -> Tensor:
        ((layer, scale),) = self.layers.items()

        answers = seen.rerun({layer: lambda z: emptied(z.detach(), self.dims)})["output"]
        return self.mean(seen.task(answers), seen) * scale


TERMS: tuple[type[Term], ...] = (Anchor, AngularAnchor, AntiAnchor, Fallback, Pin, Separate, Subspace, Unitarity)
"""The terms that every experiment has."""


def check_direction(point: tuple[float, ...], width: int) -> None:
    """Raise ValueError unless the point is one of `width` dimensions and not the origin, which is no direction."""
    check_point(point, width)
    if not any(point):
        raise ValueError(f"point: found {list(point)}, expected a direction, not the origin")


def check_point(point: tuple[float, ...], width: int) -> None:
    """Raise ValueError unless the point has a coordinate for each of `width` dimensions."""
    if len(point) != width:
        raise ValueError(f"point: found {len(point)} coordinates, expected {width}, one for each dimension")


def _power(x: Tensor, exponent: float) -> Tensor:
    """`x ** exponent`, by squaring until a compiled step can write the rest out as products: powers below 32."""
    while exponent >= 32 and exponent % 2 == 0:
        x, exponent = x.square(), exponent / 2
    return x.pow(exponent)


def _cosine(z: Tensor, point: tuple[float, ...]) -> Tensor:
    return F.cosine_similarity(z, z.new_tensor(point), dim=-1)
