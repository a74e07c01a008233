"""Terms: losses that press structure onto a layer's activations [B, K], written for one replica.

Each formula is the paper's (arXiv 2512.12469), unless the term says otherwise.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, Strict, model_validator
from torch import Tensor
from torch.nn import functional as F

from anchoring.fields import Config, Dims, Point, Positive, Real, check_dims
from anchoring.layers import Edits, emptied


@dataclass(frozen=True)
class Seen:
    """What a term may use: one replica's batch and its activations.

    Args:
        layers: the activations [B, ...] of every layer, by name; `input` and `output` are among them.
        labels: the labels [B], by name.
        rerun: runs the model again on the same inputs with edits; returns the activations like `layers`.
        task: the task's loss of each sample [B], from outputs [B, ...].
    """

    layers: Mapping[str, Tensor]
    labels: Mapping[str, Tensor]
    rerun: Callable[[Edits], Mapping[str, Tensor]]
    task: Callable[[Tensor], Tensor]


def _factors(layers: Any) -> Any:
    return dict.fromkeys(layers, 1.0) if isinstance(layers, list | tuple) else layers


class Term(Config):
    """The base of all terms. A new term defines `per_sample`, or `total` if its loss needs more than activations.

    Attributes:
        layers: the layers that it acts on: a list of names, or a table of names and factors of the layers' losses.
        labels: if the term is for labelled samples, a table of labels and their affinities.
        when: whether it acts in training, in validation or in both. Its loss in validation is measured at the rungs, on
            the experiment's validation data.
        temperature: a sample with activations at several positions costs the mean of their losses. With a temperature
            it costs their smooth minimum, `pooled`, which is low if the loss is low at one position.

    Examples:
        >>> class Sparse(Term):
        ...     '''The sum of absolute activations.'''
        ...
        ...     def per_sample(self, z):
        ...         return z.abs().sum(-1)
        >>> Sparse().per_sample(torch.tensor([[1.0, -2.0]]))
        tensor([3.])
    """

    layers: Annotated[dict[str, Real], Field(min_length=1), BeforeValidator(_factors)] = {"encoder": 1.0}
    labels: Annotated[dict[str, Real], Field(min_length=1)] | None = None
    when: Literal["training", "validation", "both"] = "training"
    temperature: Positive | None = None

    @abstractmethod
    def per_sample(self, z: Tensor) -> Tensor:
        """The loss of each sample.

        Args:
            z: a layer's activations, [B, ...].

        Returns:
            The losses, [B]; or [B, ...] if a sample has activations at several positions, as in a sequence.
        """

    def check(self, width: int) -> None:
        """Check that the term fits a layer.

        Args:
            width: the layer's width.

        Raises:
            ValueError: it does not fit. The message starts with the offending key.
        """

    def total(self, seen: Seen) -> Tensor:
        """The term's loss: the sum of its layers' losses, each times its factor.

        Args:
            seen: the batch and its activations.

        Returns:
            The loss, a scalar.
        """
        losses = [
            self.mean(pooled(self.per_sample(seen.layers[name]), self.temperature), seen) * scale
            for name, scale in self.layers.items()
        ]
        return _sum(losses)

    def mean(self, losses: Tensor, seen: Seen) -> Tensor:
        """The mean of the samples' losses, a scalar.

        Without labels it is the batch mean. With labels it is the weighted mean `sum(a l) / (sum(a) + 1e-8)` of the
        losses l, with the weights `a = clip(sum of label x affinity, 0, 1)`. It is 0 if no sample is labelled.

        Args:
            losses: the loss of each sample, [B].
            seen: the batch, for its labels.

        Returns:
            The mean, a scalar.
        """
        if self.labels is None:
            return losses.mean()
        terms = [seen.labels[name] if scale == 1 else seen.labels[name] * scale for name, scale in self.labels.items()]
        weights = _sum(terms).clamp(0, 1)
        return (weights * losses).sum() / (weights.sum() + 1e-8)


class Anchor(Term):
    """`||z - point||^2`: draws the activations to a point.

    Examples:
        >>> Anchor(point=(1, 0)).per_sample(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        tensor([0., 1.])
    """

    point: Point

    def check(self, width: int) -> None:
        check_point(self.point, width)

    def per_sample(self, z: Tensor) -> Tensor:
        return (z - z.new_tensor(self.point)).square().sum(-1)


class Pin(Term):
    """`(z_dim - at)^2`: draws one dimension to a value and leaves the others free. It is not in the paper.

    Examples:
        >>> Pin(dim=1, at=0.5).per_sample(torch.tensor([[9.0, 0.5], [9.0, 1.0]]))
        tensor([0.0000, 0.2500])
    """

    dim: Annotated[int, Strict(), Field(ge=0)] = 0
    at: Real = 1.0

    def check(self, width: int) -> None:
        check_dims((self.dim,), width, "dim")

    def per_sample(self, z: Tensor) -> Tensor:
        return (z[..., self.dim] - self.at).square()


class Poles(Term):
    """`(z_dim - at)^2`, with a value `at` for each label: teaches one dimension a quantity from labels of its two ends.

    It is the mean over all labels of all samples. A sample that carries either of two labels, with probability p or
    1 - p, is drawn to the place between their values that divides them as p does. So a dimension learns a quantity
    that no label states. It is not in the paper.

    Examples:
        >>> seen = Seen(
        ...     {"encoder": torch.tensor([[1.0], [0.0]])},
        ...     {"light": torch.tensor([1.0, 0.0]), "dark": torch.tensor([0.0, 1.0])},
        ...     rerun=lambda edits: {},
        ...     task=lambda y: y,
        ... )
        >>> Poles(dim=0, at={"light": 1.0, "dark": -1.0}).total(seen)
        tensor(0.5000)
    """

    dim: Annotated[int, Strict(), Field(ge=0)] = 0
    at: Annotated[dict[str, Real], Field(min_length=2)]

    @model_validator(mode="before")
    @classmethod
    def _its_labels_are_those_of_its_values(cls, table: Any) -> Any:
        if isinstance(table, Mapping) and isinstance(table.get("at"), Mapping):
            return {"labels": dict.fromkeys(table["at"], 1.0), **table}
        return table

    @model_validator(mode="after")
    def _it_has_no_other_labels(self) -> Poles:
        if self.labels != dict.fromkeys(self.at, 1.0):
            raise ValueError(f"labels: found {self.labels}, expected none: the labels of Poles are the keys of `at`")
        return self

    def check(self, width: int) -> None:
        check_dims((self.dim,), width, "dim")

    def per_sample(self, z: Tensor) -> Tensor:
        raise TypeError("Poles needs labels, not activations alone: call total")

    def total(self, seen: Seen) -> Tensor:
        count = _sum([seen.labels[name].sum() for name in self.at]) + 1e-8
        losses = []
        for layer, scale in self.layers.items():
            z = seen.layers[layer][..., self.dim]
            drawn = {name: pooled((z - value).square(), self.temperature) for name, value in self.at.items()}
            losses.append(_sum([(seen.labels[name] * loss).sum() for name, loss in drawn.items()]) / count * scale)
        return _sum(losses)


class AngularAnchor(Term):
    """`1 - cos(z, point)`: draws activations towards a direction. Their length does not matter.

    Examples:
        >>> AngularAnchor(point=(1, 0)).per_sample(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        tensor([0., 1.])
    """

    point: Point

    def check(self, width: int) -> None:
        check_direction(self.point, width)

    def per_sample(self, z: Tensor) -> Tensor:
        return 1 - _cosine(z, self.point)


class Align(Term):
    """`1 - z_dim / ||z||`: draws activations towards an axis, as AngularAnchor does, in a layer of any width.

    Examples:
        >>> Align(dim=1).per_sample(torch.tensor([[0.0, 3.0], [1.0, 0.0], [0.0, -1.0]]))
        tensor([0., 1., 2.])
    """

    dim: Annotated[int, Strict(), Field(ge=0)] = 0

    def check(self, width: int) -> None:
        check_dims((self.dim,), width, "dim")

    def per_sample(self, z: Tensor) -> Tensor:
        return 1 - z[..., self.dim] / z.norm(dim=-1).clamp(min=1e-8)


class AntiAnchor(Term):
    """`max(cos(z, point), 0)`, or `(cos(z, point) + 1)/2` if `full`: keeps activations away from a direction.

    Examples:
        >>> AntiAnchor(point=(1, 0)).per_sample(torch.tensor([[3.0, 0.0], [-1.0, 0.0]]))
        tensor([1., 0.])
    """

    point: Point
    full: bool = False

    def check(self, width: int) -> None:
        check_direction(self.point, width)

    def per_sample(self, z: Tensor) -> Tensor:
        cosine = _cosine(z, self.point)
        return (cosine + 1) / 2 if self.full else cosine.clamp(min=0)


class Subspace(Term):
    """The sum of `z_i^2` over the dimensions that are not in `dims`, or over those that are, if `invert`.

    It draws activations into the subspace of `dims`: into a plane, if there are two.

    Examples:
        >>> Subspace(dims=(0, 1)).per_sample(torch.tensor([[5.0, 5.0, 0.0], [0.0, 0.0, 2.0]]))
        tensor([0., 4.])
    """

    dims: Dims = (0, 1)
    invert: bool = False

    def check(self, width: int) -> None:
        check_dims(self.dims, width)
        if len(self.dims) == width and not self.invert:
            raise ValueError(f"dims: found all {width} dimensions, expected fewer: the others are drawn to 0")

    def per_sample(self, z: Tensor) -> Tensor:
        penalised = [dim for dim in range(z.shape[-1]) if (dim in self.dims) == self.invert]
        return z[..., penalised].square().sum(-1)


class Unitarity(Term):
    """`(||z|| - 1)^2`: draws activations to the unit sphere.

    Examples:
        >>> Unitarity().per_sample(torch.tensor([[0.6, 0.8], [0.0, 3.0]]))
        tensor([0., 4.])
    """

    def per_sample(self, z: Tensor) -> Tensor:
        return (z.norm(dim=-1) - 1).square()


class Separate(Term):
    """`sum over j of cos(z_i, z_j)^power`: pushes the samples of a batch apart, the closer the more strongly.

    Cosines above 1 - 1e-5 (a sample with itself, and duplicates) are set to 0. Then `shift` maps all of them from
    [-1, 1] to [0, 1] by `(c + 1)/2`. `channels` are the dimensions that the cosines are of: by default all.

    Examples:
        >>> Separate(power=2).per_sample(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        tensor([0.5000, 0.5000])
    """

    channels: Dims | None = None
    power: Annotated[Real, Field(ge=1)] = 10
    shift: bool = False

    @model_validator(mode="after")
    def _cosines_can_be_raised(self) -> Separate:
        if not self.shift and self.power != int(self.power):
            raise ValueError(
                f"power: found {self.power}, expected a whole number or shift = true, since cosines can be negative"
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
    """The task's loss with `dims` set to 0: teaches the rest of the model to do without them.

    The loss is smallest when the model answers with the best guess from the remaining dims. If those encode everything
    except the concept, that guess is the concept-blind oracle. Only the weights after the layer learn by this term:
    a gradient to those before it would move the concept into the other dims. It needs no labels. It is not in the
    paper.

    Examples:
        >>> z = torch.tensor([[3.0, 1.0]])  # a model that answers with its activations, and should
        >>> def rerun(edits):
        ...     return {"output": edits["encoder"](z)}
        >>> seen = Seen({"encoder": z}, {}, rerun, task=lambda y: (y - z).norm(dim=-1))
        >>> Fallback(dims=(0,)).total(seen)
        tensor(3.)
    """

    dims: Dims = (0, 1)

    def check(self, width: int) -> None:
        check_dims(self.dims, width)
        if len(self.layers) != 1:
            raise ValueError(f"layers: found {list(self.layers)}, expected one")

    def per_sample(self, z: Tensor) -> Tensor:
        raise TypeError("Fallback needs the model's answers, not activations alone: call total")

    def total(self, seen: Seen) -> Tensor:
        ((layer, scale),) = self.layers.items()

        answers = seen.rerun({layer: lambda z: emptied(z.detach(), self.dims)})["output"]
        return self.mean(seen.task(answers), seen) * scale


TERMS: tuple[type[Term], ...] = (
    *(Align, Anchor, AngularAnchor, AntiAnchor, Fallback),
    *(Pin, Poles, Separate, Subspace, Unitarity),
)
"""The terms that every experiment offers."""


def pooled(losses: Tensor, temperature: float | None = None) -> Tensor:
    """One loss of each sample, [B], from its losses at all positions, [B, ...].

    It is their mean, or with a temperature t the smooth minimum `-t log mean exp(-x / t)`, which is mellowmax (Asadi
    and Littman 2017, arXiv 1612.05628) with the sign reversed. It lies between the minimum, which it approaches for a
    low temperature, and the mean, for a high one.

    Examples:
        >>> losses = torch.tensor([[0.0, 1.0]])
        >>> pooled(losses), pooled(losses, temperature=0.01)
        (tensor([0.5000]), tensor([0.0069]))
    """
    if losses.dim() < 2:
        return losses
    losses = losses.flatten(1)
    if temperature is None:
        return losses.mean(1)
    return temperature * (math.log(losses.shape[1]) - (-losses / temperature).logsumexp(1))


def check_direction(point: tuple[float, ...], width: int) -> None:
    """Raise ValueError unless the point has `width` coordinates and is not the origin, which has no direction.

    Examples:
        >>> check_direction((0.0, 0.0), width=2)
        Traceback (most recent call last):
        ValueError: point: found [0.0, 0.0], expected a direction, which needs a coordinate other than 0
    """
    check_point(point, width)
    if not any(point):
        raise ValueError(f"point: found {list(point)}, expected a direction, which needs a coordinate other than 0")


def check_point(point: tuple[float, ...], width: int) -> None:
    """Raise ValueError unless the point has a coordinate for each of `width` dimensions.

    Examples:
        >>> check_point((0.0, 1.0), width=3)
        Traceback (most recent call last):
        ValueError: point: found 2 coordinates, expected 3, one for each dimension
    """
    if len(point) != width:
        raise ValueError(f"point: found {len(point)} coordinates, expected {width}, one for each dimension")


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return sum(parts[1:], parts[0])


def _power(x: Tensor, exponent: float) -> Tensor:
    """`x ** exponent`, squared until the exponent is below 32: then compiled steps write the rest as products."""
    while exponent >= 32 and exponent % 2 == 0:
        x, exponent = x.square(), exponent / 2
    return x.pow(exponent)


def _cosine(z: Tensor, point: tuple[float, ...]) -> Tensor:
    return F.cosine_similarity(z, z.new_tensor(point), dim=-1)
