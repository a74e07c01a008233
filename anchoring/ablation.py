"""Kinds of ablation: ways to take a concept away from a trained replica, by its weights or by its activations.

A setting's table `ablation` names the kind, and its other keys are that class's fields. Every kind edits the
activations of layers. Two kinds, `Ablate` and `Prune`, can change the weights instead, with the same outputs.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
    """The base of all kinds.

    Attributes:
        layer: the layer that it acts on.

    Examples:
        >>> class Halve(Ablation):
        ...     '''Halves all activations of the layer.'''
        ...
        ...     def edits(self, model, target=None):
        ...         return {self.layer: lambda z: z / 2}
        >>> Halve().kind, Halve().edits(nn.Identity())["encoder"](torch.ones(1, 2))
        ('halve', tensor([[0.5000, 0.5000]]))
    """

    layer: str = "encoder"

    @property
    def places(self) -> tuple[str, ...]:
        """All layers that it acts on."""
        return (self.layer,)

    @property
    def kind(self) -> str:
        """The `kind` of a setting that asks for it: the class's name in lower case."""
        return type(self).__name__.lower()

    @abstractmethod
    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        """How the activations of one replica are edited.

        Args:
            model: the replica.
            target: examples of the concept, for kinds that are fitted to it.

        Returns:
            Functions of activations [..., K], by layer.
        """

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        """Check that the ablation fits a model.

        Args:
            width: the width of the layer.
            around: the layers around which the model names weights, as `around` gives them.
            concept: whether the experiment has a `target`.

        Raises:
            ValueError: it does not fit. The message starts with the offending key.
        """

    @property
    def removed(self) -> tuple[int, ...]:
        """The dims that are taken away. It is empty if a direction is, or something fitted."""
        return ()


class _OfWeights(Ablation):
    """Takes away the weights that write and read some dims."""

    dims: Dims = (0, 1)

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        check_dims(self.dims, width)
        if self.layer not in around:
            known = f"one of {', '.join(around)}, or " if around else ""
            raise ValueError(
                f"layer: found {self.layer!r}, for which the model's `around` names no weights, "
                f"expected {known}kind 'suppress'"
            )

    @property
    def removed(self) -> tuple[int, ...]:
        return self.dims

    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        writer, _ = around(model)[self.layer]
        return {writer: lambda z: emptied(z, self.dims)}

    @abstractmethod
    def changed(self, model: nn.Module) -> nn.Module:
        """A copy of one replica without those weights."""


class Ablate(_OfWeights):
    """Sets to 0 the weights that write `dims` (rows and biases) and those that read them (columns).

    If the model normalises its activations between the two, the remaining dims are normalised again.

    Examples:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
        >>> model.around = {"0": ("0", "1")}
        >>> Ablate(layer="0", dims=(1,)).changed(model)[0].weight[1]
        tensor([0., 0., 0.], grad_fn=<SelectBackward0>)
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
    """Removes those weights instead. The outputs are those of `Ablate`, from a smaller model: see `prune`."""

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        super().check(width, around, concept)
        _expect_some_left(self.dims, width, self.kind)

    def changed(self, model: nn.Module) -> nn.Module:
        return prune(model, self.layer, self.dims)


class _InLayers(Ablation):
    """Acts on the activations of one `layer`, or of several `layers`, such as the states of a residual stream."""

    layers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    @property
    def places(self) -> tuple[str, ...]:
        return self.layers or (self.layer,)


class _OfActivations(_InLayers):
    """Acts on the part of an activation that lies along some dims, or along a direction instead.

    The alignment of an activation is the share of its length that lies along the dims, or its cosine with the
    direction. Activations whose cosine is negative stay as they are.
    """

    dims: Dims = (0, 1)
    direction: Point | None = None
    start: Annotated[Share, Field(lt=1)] = 0

    @model_validator(mode="after")
    def _direction_has_a_length(self) -> _OfActivations:
        if self.direction is not None and not any(self.direction):
            raise ValueError("direction: found only zeros, expected a number other than 0")
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
        """Orthonormal rows [n, K] that span the subspace that is taken away, from activations `like` these [..., K]."""
        if self.direction is None:
            return torch.eye(like.shape[-1], dtype=like.dtype)[list(self.dims)]
        direction = like.new_tensor([self.direction])
        return direction / direction.norm()


class Suppress(_OfActivations):
    """Takes away, at run time, the part of an activation that lies along the dims (or the direction).

    The share that is taken away is `amount ((x - start)/(1 - start))^power` of the activation's alignment x above
    `start`, and 0 below. By default it is all.

    Examples:
        >>> Suppress(dims=(0,)).edits(nn.Identity())["encoder"](torch.ones(1, 3))
        tensor([[0., 1., 1.]])
    """

    amount: Share = 1
    power: Annotated[Real, Field(ge=0)] = 0

    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        gate = partial(falloff, start=self.start, amount=self.amount, power=self.power)
        signed = self.direction is not None
        return dict.fromkeys(self.places, lambda z: suppress(z, self.basis(z), gate, signed))


class Repel(_OfActivations):
    """Turns activations away from the dims (or the direction), keeping their length.

    A `linear` or `bezier` mapping takes alignments above `start` to between `start` and `end`. By default all become 0.

    Examples:
        >>> Repel(dims=(0,)).edits(nn.Identity())["encoder"](torch.tensor([[3.0, 4.0]]))
        tensor([[0., 5.]])
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
        return dict.fromkeys(self.places, lambda z: repel(z, self.basis(z), bend, signed))


class Leace(_InLayers):
    """Erases, at run time, what a linear probe could read of the concept in any dims: see `anchoring.erasure.leace`.

    If there are several layers, each is fitted after those before it have been erased.
    """

    def check(self, width: int, around: Mapping[str, Any], concept: bool) -> None:
        if not concept:
            raise ValueError("kind: found 'leace', but the experiment has no `target`, expected another kind")

    def edits(self, model: nn.Module, target: Target | None = None) -> Edits:
        assert target is not None  # `check` has seen to it
        edits: dict[str, Callable[[Tensor], Tensor]] = {}
        for layer in self.places:
            edits[layer] = leace(model, layer, target, dict(edits))
        return edits


ABLATIONS: tuple[type[Ablation], ...] = (Ablate, Prune, Suppress, Repel, Leace)
"""The kinds of ablation that every experiment offers."""


def around(model: nn.Module) -> Mapping[str, tuple[str, str]]:
    """The layers whose weights can be ablated, each with the names of two `Linear`: the writer and the reader.

    A model lists them in an attribute `around`.

    Examples:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
        >>> around(model)
        {}
        >>> model.around = {"0": ("0", "1")}
        >>> around(model)
        {'0': ('0', '1')}
    """
    return cast(Mapping[str, tuple[str, str]], getattr(model, "around", {}))


def prune(model: nn.Module, layer: str, dims: Sequence[int]) -> nn.Module:
    """Remove some dims of a layer.

    Args:
        model: one replica, with an attribute `around`; it is not changed.
        layer: a layer that `around` names.
        dims: the dims to remove.

    Returns:
        A smaller model, with the outputs of the ablated one.

    Raises:
        ValueError: the layer has no such dims.

    Examples:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
        >>> model.around = {"0": ("0", "1")}
        >>> prune(model, "0", [1])[0]
        Linear(in_features=3, out_features=1, bias=True)
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
    """The `Linear` that writes a layer of one replica, and the one that reads it."""
    writer, reader = (model.get_submodule(name) for name in around(model)[layer])
    assert isinstance(writer, nn.Linear)
    assert isinstance(reader, nn.Linear)
    return writer, reader


def _expect_some_left(dims: tuple[int, ...], width: int, kind: str) -> None:
    if len(dims) == width:
        raise ValueError(f"dims: found all {width} dimensions, expected fewer: kind {kind!r} must leave some")
