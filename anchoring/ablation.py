"""Kinds of ablation: what is taken away from a trained replica, by its weights or from its activations at run time.

Every kind is a table of the setting, found by its `kind`. What a kind does is a set of edits of layers' activations;
the two kinds that change weights also say how, and their edits give the same outputs.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from anchoring.alignment import Bend, falloff, repel, suppress
from anchoring.erasure import Target, leace
from anchoring.fields import Config, Dims, Point, Real, Share, check_dims
from anchoring.layers import Edits, emptied


class Ablation(Config):
    """What every kind has: the layer it acts on."""

    layer: str = "encoder"

    @property
    def kind(self) -> str:
        """What a setting calls it: its class's name in small letters."""
        return type(self).__name__.lower()

    @abstractmethod
    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        """What to do to the activations of one replica. `target` is what the concept is, for kinds that are fitted."""

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        """Raise ValueError, starting with the offending key, if this does not fit the model.

        Args:
            width: the layer's.
            around: the layers of which the model says which weights write and read them.
            concept: whether the experiment says what the concept is.
        """

    @property
    def removed(self) -> tuple[int, ...]:
        """The dims that are taken away; none if it is a direction, or what was fitted."""
        return ()


class _OfWeights(Ablation):
    """Takes away the weights that write and read some dims."""

    dims: Dims = (0, 1)

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        check_dims(self.dims, width)
        if self.layer not in around:
            known = ", ".join(around) or "none"
            raise ValueError(
                f"layer: found {self.layer!r}, around which the model names no weights (it does around {known}), "
                "expected one of those, or kind 'suppress'"
            )

    @property
    def removed(self) -> tuple[int, ...]:
        return self.dims

    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        writer, _ = around(model)[self.layer]
        return {writer: lambda z: emptied(z, self.dims)}

    @abstractmethod
    def changed(self, model: nn.Module) -> nn.Module:
        """One replica without those weights; the replica itself stays as it is."""


class Ablate(_OfWeights):
    """Zeroes the weights that write `dims` (rows and biases) and that read them.

    They are the weights around the layer, whichever side of a normalisation it is on: what is left is normalised again.
    """

    def changed(self, model: nn.Module) -> nn.Module:
        ablated = copy.deepcopy(model)
        writer, reader = weights_around(ablated, self.layer)
        dims = list(self.dims)
        with torch.no_grad():
            writer.weight[dims] = 0
            reader.weight[:, dims] = 0
            if writer.bias is not None:
                writer.bias[dims] = 0
        return ablated


class Prune(_OfWeights):
    """Removes those weights: the same outputs as `ablate`, from a smaller model."""

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        super().check(width, around, concept)
        _expect_some_left(self.dims, width, self.kind)

    def changed(self, model: nn.Module) -> nn.Module:
        return prune(model, self.layer, self.dims)


class _OfActivations(Ablation):
    """Acts on what lies along some dims, or along a direction instead.

    The alignment of an activation is the share of its length that lies along the dims, or the cosine with the
    direction, of which only positive ones are touched.
    """

    dims: Dims = (0, 1)
    direction: Point | None = None
    start: Annotated[Share, Field(lt=1)] = 0

    @model_validator(mode="after")
    def _direction_has_a_length(self) -> _OfActivations:
        if self.direction is not None and not any(self.direction):
            raise ValueError("direction: found a direction of length 0, expected another")
        return self

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        if self.direction is None:
            check_dims(self.dims, width)
        elif len(self.direction) != width:
            raise ValueError(f"direction: found {len(self.direction)} coordinates, expected {width}")

    @property
    def removed(self) -> tuple[int, ...]:
        return self.dims if self.direction is None else ()

    def basis(self, like: Tensor) -> Tensor:
        """Orthonormal rows that span what is taken away of activations `like` these, [n, K]."""
        if self.direction is None:
            return torch.eye(like.shape[-1], dtype=like.dtype)[list(self.dims)]
        direction = like.new_tensor([self.direction])
        return direction / direction.norm()


class Suppress(_OfActivations):
    """Takes away, at run time, what of an activation lies along the dims (or the direction).

    All of it by default; otherwise by the bounded falloff `amount ((x - start)/(1 - start))^power` of its alignment x.
    """

    amount: Share = 1
    power: Annotated[Real, Field(ge=0)] = 0

    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        gate = partial(falloff, start=self.start, amount=self.amount, power=self.power)
        signed = self.direction is not None
        return {self.layer: lambda z: suppress(z, self.basis(z), gate, signed)}


class Repel(_OfActivations):
    """Turns activations away from the dims (or the direction), keeping their length.

    Alignments above `start` end up between `start` and `end`, by a `linear` or a `bezier` mapping; by default all at 0.
    """

    end: Share = 0
    mapping: Literal["linear", "bezier"] = "linear"

    @model_validator(mode="after")
    def _the_end_is_not_before_the_start(self) -> Repel:
        if self.end < self.start:
            raise ValueError(f"end: found {self.end}, expected start ({self.start}) or more for kind 'repel'")
        return self

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        super().check(width, around, concept)
        if self.direction is None:
            _expect_some_left(self.dims, width, self.kind)

    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        bend = Bend(self.mapping, self.start, self.end)
        signed = self.direction is not None
        return {self.layer: lambda z: repel(z, self.basis(z), bend, signed)}


class Leace(Ablation):
    """Erases, at run time, what a linear probe could read of the concept (Belrose et al. 2023), whatever the dims."""

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        if not concept:
            raise ValueError("kind: found 'leace', which needs a target of the concept, expected another kind")

    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        assert target is not None  # as `check` sees to
        return {self.layer: leace(model, self.layer, target)}


ABLATIONS: tuple[type[Ablation], ...] = (Ablate, Prune, Suppress, Repel, Leace)
"""The kinds of ablation that every experiment has."""


def around(model: nn.Module) -> Mapping[str, tuple[str, str]]:
    """For each layer around which a model names weights, the Linear that writes it and the Linear that reads it.

    A model says so by an attribute `around`: `{"encoder": ("encoder.2", "decoder.0")}`.
    """
    return cast(Mapping[str, tuple[str, str]], getattr(model, "around", {}))


def prune(model: nn.Module, layer: str, dims: Sequence[int]) -> nn.Module:
    """A smaller model without some dims of a layer, whose outputs are those of the ablated one.

    Raises:
        ValueError: the layer has no such dims.
    """
    pruned = copy.deepcopy(model)
    writer, reader = weights_around(pruned, layer)
    check_dims(tuple(dims), writer.out_features)
    keep = [dim for dim in range(writer.out_features) if dim not in dims]
    writer.weight, reader.weight = nn.Parameter(writer.weight[keep]), nn.Parameter(reader.weight[:, keep])
    if writer.bias is not None:
        writer.bias = nn.Parameter(writer.bias[keep])
    writer.out_features = reader.in_features = len(keep)
    return pruned


def weights_around(model: nn.Module, layer: str) -> tuple[nn.Linear, nn.Linear]:
    """The Linear that writes a layer of one replica, and the one that reads it."""
    writer, reader = (model.get_submodule(name) for name in around(model)[layer])
    assert isinstance(writer, nn.Linear)
    assert isinstance(reader, nn.Linear)
    return writer, reader


def _expect_some_left(dims: tuple[int, ...], width: int, kind: str) -> None:
    if len(dims) == width:
        raise ValueError(f"dims: found all {width} dimensions, expected kind {kind!r} to leave some")
