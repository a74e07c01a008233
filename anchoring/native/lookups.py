"""Operators that join tensors, look up elements by computed indices, or put elements at computed indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from anchoring.native.elementwise import Elementwise, elementwise, spread
from anchoring.native.expressions import Buffer, Expr, Index, Kind, Unsupported, Value, apply, constant, to
from anchoring.native.program import position
from anchoring.native.reductions import named_axes


class Lookups(Elementwise):
    """A method for each operator that takes indices as tensors, or joins several tensors."""

    def op_cat(self, shape: tuple[int, ...], kind: Kind, parts: Sequence[Value], axis: int = 0) -> Value:
        axis %= len(shape)
        buffer, strides = self.program.new(kind, shape)
        start = 0
        for part in parts:
            if part.shape == (0,):
                continue

            def place(ix: Sequence[Index], start: int = start) -> Index:
                return position(ix, strides) + start * strides[axis]

            self.program.write(
                buffer, elementwise(part.shape, kind, "same", [part], kind), place, self.program.order(shape)
            )
            start += part.shape[axis]
        return self.program.value(buffer, shape, strides)

    def op_index(self, shape: tuple[int, ...], kind: Kind, value: Value, indices: Sequence[Value | None]) -> Value:
        at = _indexing(value.shape, indices)
        return Value(shape, kind, lambda ix: value.at(at(ix)))

    def op_index_put(
        self,
        shape: tuple[int, ...],
        kind: Kind,
        value: Value,
        indices: Sequence[Value | None],
        source: Value,
        add: bool = False,
    ) -> Value:
        if (found := _single_constant(indices)) is not None and len(set(found[1])) == len(found[1]):
            return self._put(shape, kind, value, *found, source.expand(_indexed(shape, indices)), add)
        at = _indexing(shape, indices)
        return self.program.scatter(value, source.expand(_indexed(shape, indices)), at, add)

    def _put(
        self, shape: tuple[int, ...], kind: Kind, value: Value, axis: int, found: list[int], source: Value, add: bool
    ) -> Value:
        """A tensor with another put at known, distinct places of an axis: each element chooses between the two."""
        size = shape[axis]
        found = [i % size for i in found]
        places = [found.index(i) if i in found else -1 for i in range(size)]
        table = self.program.value(*self._table(places))

        def at(ix: Sequence[Index]) -> Expr:
            place = table.at([ix[axis]])
            there = source.at([*ix[:axis], look_up(place, len(found)), *ix[axis + 1 :]])
            old = value.at(ix)
            new = apply("add", kind, old, there) if add else there
            if (known := known_number(place)) is not None:
                return new if known >= 0 else old
            return apply("where", kind, apply("ge", "bool", place, constant(0, "int")), new, old)

        return Value(shape, kind, at)

    def _table(self, values: Sequence[int]) -> tuple[Buffer, tuple[int, ...], list[int]]:
        buffer, strides = self.program.contiguous("int", (len(values),), values)
        return buffer, (len(values),), strides

    op_unsafe_index_put = op_index_put
    op_unsafe_index = op_index

    def op_gather(
        self, shape: tuple[int, ...], kind: Kind, value: Value, axis: int, index: Value, **kwargs: Any
    ) -> Value:
        axis %= max(1, len(shape))
        return Value(
            shape, kind, lambda ix: value.at([*ix[:axis], look_up(index.at(ix), value.shape[axis]), *ix[axis + 1 :]])
        )

    def op_flip(self, shape: tuple[int, ...], kind: Kind, value: Value, axes: Sequence[int]) -> Value:
        turned = named_axes(value, axes)
        return Value(
            shape, kind, lambda ix: value.at([i * -1 + (shape[k] - 1) if k in turned else i for k, i in enumerate(ix)])
        )

    op_rev = op_flip

    def op_scatter_add(
        self, shape: tuple[int, ...], kind: Kind, value: Value, axis: int, index: Value, source: Any
    ) -> Value:
        return self.op_scatter(shape, kind, value, axis, index, source, add=True)

    def op_scatter(
        self, shape: tuple[int, ...], kind: Kind, value: Value, axis: int, index: Value, source: Any, add: bool = False
    ) -> Value:
        axis %= len(shape)
        return self.program.scatter(
            value,
            spread(source, index.shape) if not isinstance(source, Value) else Value(index.shape, kind, source.at),
            lambda ix: [*ix[:axis], look_up(index.at(ix), shape[axis]), *ix[axis + 1 :]],
            add,
        )

    def op_embedding(self, shape: tuple[int, ...], kind: Kind, table: Value, index: Value, *rest: Any) -> Value:
        return Value(shape, kind, lambda ix: table.at([look_up(index.at(ix[:-1]), table.shape[0]), ix[-1]]))

    def op_select_scatter(
        self, shape: tuple[int, ...], kind: Kind, value: Value, source: Value, axis: int, index: int
    ) -> Value:
        axis %= len(shape)
        at = Index(index % shape[axis])
        return self.program.scatter(value, source, lambda ix: [*ix[:axis], at, *ix[axis:]], add=False)

    def op_slice_scatter(
        self, shape: tuple[int, ...], kind: Kind, value: Value, source: Value, axis: int = 0,
        start: int | None = None, end: int | None = None, step: int = 1,
    ) -> Value:  # fmt: skip
        axis %= len(shape)
        first = range(shape[axis])[slice(start, end, step)].start
        return self.program.scatter(
            value, source, lambda ix: [i * step + first if k == axis else i for k, i in enumerate(ix)], add=False
        )


def look_up(expr: Expr, size: int) -> Index:
    """A computed position. A negative one counts from the end; one that is out of bounds becomes the nearest end."""
    number = to("int", expr)
    if (known := known_number(number)) is not None:
        return Index(known % size)
    return Index(0, (), ((apply("within", "int", number, constant(size, "int")), 1),))


def known_number(expr: Expr) -> int | None:
    """The number at a constant index of a constant, or None for any other expression."""
    if expr.buffer and expr.buffer.values is not None and not expr.index.terms and not expr.index.looked_up:
        return int(expr.buffer.values[expr.index.constant])
    return None


def _single_constant(indices: Sequence[Value | None]) -> tuple[int, list[int]] | None:
    """The axis along which a tensor is indexed, and the indices: if it is a single axis, and they are constants."""
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) != 1 or len(given[0][1].shape) != 1:
        return None
    axis, index = given[0]
    found = [known_number(index.at([Index(i)])) for i in range(index.shape[0])]
    return None if None in found else (axis, [i for i in found if i is not None])


def _indexed(shape: Sequence[int], indices: Sequence[Value | None]) -> tuple[int, ...]:
    """The shape of a tensor after indexing by tensors."""
    given = [axis for axis, index in enumerate(indices) if index is not None]
    found = torch.broadcast_shapes(*(index.shape for index in indices if index is not None))
    rest = [size for axis, size in enumerate(shape) if axis not in given]
    first = given[0] if given == list(range(given[0], given[-1] + 1)) else 0
    return (*rest[:first], *found, *rest[first:])


def _indexing(shape: Sequence[int], indices: Sequence[Value | None]) -> Callable[[Sequence[Index]], list[Index]]:
    """A function from an index of the result to an index of the tensor that was indexed."""
    given = [axis for axis, index in enumerate(indices) if index is not None]
    if any(index is not None and index.kind == "bool" for index in indices):
        raise Unsupported("an index by a mask has a size that depends on data, which cannot be native")
    found = tuple(torch.broadcast_shapes(*(index.shape for index in indices if index is not None)))
    first = given[0] if given == list(range(given[0], given[-1] + 1)) else 0
    tables = {axis: indices[axis].expand(found) for axis in given}  # type: ignore[union-attr]

    def at(ix: Sequence[Index]) -> list[Index]:
        inner = ix[first : first + len(found)]
        rest = iter([*ix[:first], *ix[first + len(found) :]])
        return [look_up(tables[k].at(inner), shape[k]) if k in tables else next(rest) for k in range(len(shape))]

    return at
