"""A step of one replica as loops over buffers: where values are stored, and which loops fill them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from anchoring.native.expressions import LANES, Buffer, Expr, Index, Kind, Value, apply, load, positions, variable
from anchoring.native.statements import Fold, Map, Product, Scatter, Sizes, Statement, Store

UNROLLED = 8  # outer loops of up to 8 passes are written out, so that shared values stay in registers
WRITTEN = 256  # larger constants are passed by the caller instead of being written in the source
FOLDED = 16  # up to 16 values are reduced by a written-out expression instead of a loop


class Program:
    """Buffers and the statements that fill them, in order.

    Args:
        batch: the size of the axis that is innermost in memory and in loops. If None, a tensor's longest axis is.
    """

    def __init__(self, batch: int | None):
        self.batch = batch
        self.given: list[tuple[Buffer, Tensor]] = []  # large constants
        self.buffers: list[Buffer] = []
        self.statements: list[Statement] = []
        self._symmetric: set[Buffer] = set()
        self._products: dict[object, Buffer] = {}

    def new(self, kind: Kind, shape: Sequence[int]) -> tuple[Buffer, list[int]]:
        """A buffer for a tensor, and the strides of its axes. If it has the batch's axis, that is innermost."""
        strides, padded, size = [0] * len(shape), 0, 1
        for axis in reversed([axis for axis in self.order(shape) if shape[axis] != 1]):
            strides[axis], length = size, shape[axis]
            if size == 1 and self.batch in (length, None):
                padded, length = length, whole(length)
            size *= length
        return self.buffer(kind, size, padded=padded), strides

    def contiguous(
        self, kind: Kind, shape: Sequence[int], values: Sequence[Any] | None = None
    ) -> tuple[Buffer, list[int]]:
        """A buffer without padding, whose last axis is innermost, and its strides. With values it is a constant."""
        return self.buffer(kind, math.prod(shape), None if values is None else tuple(values)), contiguous(shape)

    def constant(self, kind: Kind, tensor: Tensor) -> Value:
        """A constant, which stands in the source unless it is large."""
        shape = tuple(tensor.shape)
        if tensor.numel() <= WRITTEN or kind != "float":
            buffer, strides = self.contiguous(kind, shape, tensor.flatten().tolist())
        else:
            made, strides = self.new(kind, shape)
            buffer = self.buffers[-1] = replace(made, given=True)
            content = torch.zeros(buffer.size + LANES)
            content.as_strided(shape, strides).copy_(tensor)
            self.given.append((buffer, content))
        return self.value(buffer, shape, strides)

    def buffer(self, kind: Kind, size: int, values: tuple[Any, ...] | None = None, padded: int = 0) -> Buffer:
        self.buffers.append(Buffer(f"b{len(self.buffers)}", kind, size, padded, values))
        return self.buffers[-1]

    def order(self, shape: Sequence[int]) -> list[int]:
        """A tensor's axes, outermost first."""
        axes = list(range(len(shape)))
        batch = max(shape, default=0) if self.batch is None else self.batch
        if batch > 1 and batch in shape:
            axes.append(axes.pop(list(shape).index(batch)))
        return axes

    def loops(self, shape: Sequence[int], order: Sequence[int]) -> tuple[Sizes, list[Index]]:
        """Loops over a tensor's elements, and the index of each axis in them."""
        ix = [Index()] * len(shape)
        sizes: list[tuple[str, int]] = []
        for axis in order:
            if shape[axis] != 1:
                name = f"i{len(sizes)}"
                ix[axis] = variable(name)
                sizes.append((name, shape[axis]))
        return tuple(sizes), ix

    def value(self, buffer: Buffer, shape: Sequence[int], strides: Sequence[int]) -> Value:
        return Value(tuple(shape), buffer.kind, lambda ix: load(buffer, position(ix, strides)))

    def keep(self, value: Value, side_by_side: bool = False) -> Value:
        """Compute a value once, into a buffer, and return the value that reads it."""
        varying = value.at([variable(f"a{axis}") for axis in range(len(value.shape))]).variables
        shape = tuple(n if f"a{axis}" in varying else 1 for axis, n in enumerate(value.shape))
        if shape != value.shape and not side_by_side:
            return self.keep(Value(shape, value.kind, value.at)).expand(value.shape)
        make = self.contiguous if side_by_side else self.new
        buffer, strides = make(value.kind, value.shape)
        order = list(range(len(value.shape))) if side_by_side else self.order(value.shape)
        self.write(buffer, value, lambda ix: position(ix, strides), order)
        if self._is_symmetric(value):
            self._symmetric.add(buffer)
        return self.value(buffer, value.shape, strides)

    def write(self, buffer: Buffer, value: Value, to: Callable[[Sequence[Index]], Index], order: Sequence[int]) -> None:
        """Store a value's elements where `to` says."""
        sizes, ix = self.loops(value.shape, order)
        outer = sizes[:-1]
        if math.prod(size for _, size in outer) <= UNROLLED:
            inner = sizes[-1:]
            renamed = {name: variable(f"i{n}") for n, (name, _) in enumerate(inner)}
            stores = []
            for fixed in positions([size for _, size in outer]):
                values = {**renamed, **dict(zip((name for name, _ in outer), fixed, strict=True))}
                at = [i.substitute(values) for i in ix]
                stores.append(Store(buffer, to(at), value.at(at)))
            self.statements.append(Map(tuple((f"i{n}", size) for n, (_, size) in enumerate(inner)), tuple(stores)))
        else:
            self.statements.append(Map(sizes, (Store(buffer, to(ix), value.at(ix)),)))

    def reduce(self, value: Value, axes: Sequence[int], op: str, combine: str, keep: bool) -> Value:
        """Reduce axes by `op`. If `keep`, they stay, with size 1."""
        order = self.order(value.shape)
        kept = [axis for axis in range(len(value.shape)) if keep or axis not in axes]
        shape = tuple(1 if axis in axes else value.shape[axis] for axis in kept)
        folded = [value.shape[axis] for axis in axes]
        large = [axis for axis in order if value.shape[axis] != 1]
        if math.prod(folded) <= FOLDED and not (large and large[-1] in axes and len(large) > 1):

            def at(ix: Sequence[Index]) -> Expr:
                whole: list[Index] = [Index()] * len(value.shape)
                for axis, i in zip(kept, ix, strict=True):
                    whole[axis] = i
                terms = []
                for fixed in positions(folded):
                    for axis, i in zip(axes, fixed, strict=True):
                        whole[axis] = i
                    terms.append(value.at(list(whole)))
                total = terms[0]
                for term in terms[1:]:
                    total = apply(combine, value.kind, total, term)
                return total

            return Value(shape, value.kind, at)
        sizes, ix = self.loops(value.shape, order)
        inside = {i.terms[0][0] for axis, i in enumerate(ix) if axis in axes and i.terms}
        buffer, strides = self.new(value.kind, shape)
        target = position([Index() if axis in axes else ix[axis] for axis in kept], strides)
        outer = tuple(s for s in sizes if s[0] not in inside)
        inner = tuple(s for s in sizes if s[0] in inside)
        self.statements.append(Fold(outer, (Store(buffer, target, value.at(ix)),), inner, op, sizes[-1] in inner))
        return self.value(buffer, shape, strides)

    def scatter(self, base: Value, source: Value, to: Callable[[Sequence[Index]], Sequence[Index]], add: bool) -> Value:
        """A copy of `base`, with the source's elements put, or added, where `to` says."""
        buffer, strides = self.new(base.kind, base.shape)
        self.write(buffer, base, lambda ix: position(ix, strides), self.order(base.shape))
        sizes, ix = self.loops(source.shape, range(len(source.shape)))
        store = Store(buffer, position(to(ix), strides), source.at(ix))
        self.statements.append(Scatter(sizes, (store,), add))
        return self.value(buffer, base.shape, strides)

    def product(self, a: Value, b: Value, bias: Value | None = None) -> Value:
        """`bias + a @ b`, for a [..., M, K] and b [..., K, N]. The bias, if any, is the same for all M."""
        *lead, m, k = a.shape
        n = b.shape[-1]
        if bias is None and k <= UNROLLED < min(m, n):  # an outer product is cheapest to compute where it is used
            return self._outer(a, b)
        loops, at = self.loops(lead, range(len(lead)))
        a, b = self.in_memory(a), self.in_memory(b)
        if _strides(a, at)[0] != 1 and self._is_symmetric(a):
            a = swap(a)
        am, ak, bk, bn = *_strides(a, at), *_strides(b, at)
        along = (
            [(m, 2, "m")] * (am == 1 or m == 1) + [(n, 1, "n")] * (bn == 1 or n == 1) + [(k, 0, "k")] * (ak == bk == 1)
        )
        if not along:  # no faster way: a product of rows
            return self.product(self.keep(a, side_by_side=True), swap(self.keep(swap(b), side_by_side=True)), bias)
        way = max(along)[2]
        pitch = whole(m) if way == "m" else whole(n) if way == "n" else n
        cm, cn = (1, pitch) if way == "m" else (pitch, 1)
        if way == "k" and m == self.batch:
            cm, cn = 1, m
        first, second = (x.at([*at, Index(), Index()]) for x in (a, b))
        added = None
        if way == "m":
            added, stride = self._bias(bias, (*lead, m, n), at)
            template = f"product<{m}, {n}, {k}, {ak}, {bk}, {bn}, {cn}, {stride}>"
        elif way == "n":
            first, second = second, first
            template = f"product<{n}, {m}, {k}, {bk}, {ak}, {am}, {cm}, 0>"
        else:
            template = f"dots<{k}, {m}, {n}, {am}, {bn}, {cm}, {cn}>"
        key = loops, template, first, second, added
        size = pitch * (n if way == "m" else m)
        strides = [*(stride * size for stride in contiguous(lead)), cm, cn]
        if key not in self._products:
            buffer = self._products[key] = self.buffer("float", math.prod(lead) * size)
            self.statements.append(
                Product(loops, template, (buffer, position(at, strides[:-2])), (first, second), added)
            )
        result = self.value(self._products[key], (*lead, m, n), strides)
        if bias is None or added is not None:
            return result
        rest = bias.expand(result.shape)
        return Value(result.shape, "float", lambda ix: apply("add", "float", result.at(ix), rest.at(ix)))

    def _is_symmetric(self, value: Value) -> bool:
        """Whether the way that a matrix is computed makes it equal to its transpose, to the last bit."""
        if len(value.shape) != 2 or value.shape[0] != value.shape[1]:
            return False
        here, there = (variable("x"), variable("y")), (variable("y"), variable("x"))
        return self._canonical(value.at(here)) == self._canonical(value.at(there))

    def _canonical(self, expr: Expr) -> Expr:
        """An expression with operands, and indices of symmetric matrices, in a fixed order, for comparison."""
        if expr.buffer in self._symmetric and {name for name, _ in expr.index.terms} == {"x", "y"}:
            swapped = expr.substitute({"x": variable("y"), "y": variable("x")})
            return min(expr, swapped, key=repr)
        args = [self._canonical(arg) for arg in expr.args]
        if expr.op in ("add", "mul"):
            args.sort(key=hash)
        return replace(expr, args=tuple(args))

    def _outer(self, a: Value, b: Value) -> Value:
        a, b = self.in_memory(a), self.in_memory(b)
        *lead, m, k = a.shape

        def at(ix: Sequence[Index]) -> Expr:
            terms = [
                apply("mul", "float", a.at([*ix[:-1], Index(j)]), b.at([*ix[:-2], Index(j), ix[-1]])) for j in range(k)
            ]
            return functools.reduce(lambda total, term: apply("add", "float", total, term), terms)

        return Value((*lead, m, b.shape[-1]), "float", at)

    def _bias(self, bias: Value | None, shape: Sequence[int], at: Sequence[Index]) -> tuple[Expr | None, int]:
        """Where a product along m finds its bias, which depends on n alone, and the bias' stride."""
        if bias is None:
            return None, 0
        value = self.in_memory(bias).expand(shape)
        index = value.at([*at, variable("m"), variable("n")]).index
        first = value.at([*at, Index(), Index()])
        return (None, 0) if index.uses("m") else (first, index.factor("n"))

    def in_memory(self, value: Value) -> Value:
        """The value, stored in a buffer first unless it is read from memory with fixed strides already."""
        return value if is_in_memory(value) else self.keep(value)


def is_in_memory(value: Value) -> bool:
    """Whether it is read from memory with a fixed stride for each axis, without computing anything."""
    expr = value.at([variable(f"a{axis}") for axis in range(len(value.shape))])
    return expr.op == "load" and not expr.index.looked_up


def whole(size: int) -> int:
    """A length rounded up to whole vectors."""
    return -(-size // LANES) * LANES


def contiguous(shape: Sequence[int]) -> list[int]:
    """The strides of a tensor whose last axis is innermost."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def swap(value: Value) -> Value:
    """The transpose of a matrix."""
    *lead, m, n = value.shape
    return Value((*lead, n, m), value.kind, lambda ix: value.at([*ix[:-2], ix[-1], ix[-2]]))


def position(ix: Sequence[Index], strides: Sequence[int]) -> Index:
    total = Index()
    for i, stride in zip(ix, strides, strict=True):
        total = total + i * stride
    return total


def _strides(value: Value, at: Sequence[Index]) -> tuple[int, int]:
    index = value.at([*at, variable("m"), variable("n")]).index
    return index.factor("m"), index.factor("n")
