"""Views: arithmetic on indices, which costs nothing when the step runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anchoring.native.elementwise import Elementwise, elementwise
from anchoring.native.expressions import Expr, Index, Kind, Value, load, variable
from anchoring.native.program import contiguous, position

SAME = {"alias", "clone", "detach", "lift_fresh", "lift_fresh_copy", "contiguous", "view_of"}
RESHAPES = {"view", "_unsafe_view", "reshape", "unsqueeze", "squeeze"}
VIEWS = {
    *SAME,
    *RESHAPES,
    "permute",
    "transpose",
    "t",
    "expand",
    "select",
    "slice",
    "copy",
    "index",
    "unbind",
    "diagonal",
}
SPLITS = {"split_with_sizes", "split", "unbind"}


class Views(Elementwise):
    """A method for each operator that only moves elements."""

    def reshape(self, value: Value, shape: tuple[int, ...]) -> Value:
        """The same elements in another shape. If axes are merged, elements are first put side by side in memory."""
        old = [size for size in value.shape if size != 1]
        new = [(axis, size) for axis, size in enumerate(shape) if size != 1]
        groups: list[list[tuple[int, int]]] = []  # for each old axis, the axes it becomes
        for size in old:
            group, found = [], 1
            while found < size and new:
                group.append(new.pop(0))
                found *= group[-1][1]
            if found != size:  # axes are merged
                return self._flat(value, shape)
            groups.append(group)

        def at(ix: Sequence[Index]) -> Expr:
            parts = []
            for group in groups:
                total = Index()
                for axis, size in group:
                    total = total * size + ix[axis]
                parts.append(total)
            given = iter(parts)
            return value.at([next(given) if size != 1 else Index() for size in value.shape])

        return Value(shape, value.kind, at)

    def _flat(self, value: Value, shape: tuple[int, ...]) -> Value:
        expr = value.at(whole := [variable(f"a{axis}") for axis in range(len(value.shape))])
        even = position(whole, [s * (n != 1) for s, n in zip(contiguous(value.shape), value.shape, strict=True)])
        if expr.op == "load" and expr.buffer and not expr.index.looked_up and expr.index.terms == even.terms:
            buffer, start = expr.buffer, expr.index.constant
        else:
            kept = self.program.keep(value, side_by_side=True).at([Index()] * len(value.shape))
            assert kept.buffer
            buffer, start = kept.buffer, 0
        strides = contiguous(shape)
        return Value(shape, value.kind, lambda ix: load(buffer, position(ix, strides) + start))

    def op_permute(self, shape: tuple[int, ...], kind: Kind, value: Value, axes: Sequence[int]) -> Value:
        def at(ix: Sequence[Index]) -> Expr:
            old = [Index()] * len(axes)
            for i, axis in zip(ix, axes, strict=True):
                old[axis] = i
            return value.at(old)

        return Value(shape, kind, at)

    def op_transpose(self, shape: tuple[int, ...], kind: Kind, value: Value, a: int, b: int) -> Value:
        axes = list(range(len(shape)))
        axes[a], axes[b] = axes[b], axes[a]
        return self.op_permute(shape, kind, value, axes)

    def op_t(self, shape: tuple[int, ...], kind: Kind, value: Value) -> Value:
        return self.op_permute(shape, kind, value, list(reversed(range(len(shape)))))

    def op_expand(self, shape: tuple[int, ...], kind: Kind, value: Value, *rest: Any, **kwargs: Any) -> Value:
        return value.expand(shape)

    def op_copy(self, shape: tuple[int, ...], kind: Kind, to_: Value, source: Any, *rest: Any) -> Value:
        return elementwise(shape, kind, "same", [source], kind)

    def op_select(self, shape: tuple[int, ...], kind: Kind, value: Value, axis: int, index: int) -> Value:
        axis %= len(value.shape)
        at = Index(index % value.shape[axis])
        return Value(shape, kind, lambda ix: value.at([*ix[:axis], at, *ix[axis:]]))

    def op_slice(
        self, shape: tuple[int, ...], kind: Kind, value: Value, axis: int = 0,
        start: int | None = None, end: int | None = None, step: int = 1,
    ) -> Value:  # fmt: skip
        axis %= len(value.shape)
        first = range(value.shape[axis])[slice(start, end, step)].start
        return Value(shape, kind, lambda ix: value.at([i * step + first if k == axis else i for k, i in enumerate(ix)]))

    def split_with_sizes(self, value: Value, sizes: Sequence[int], axis: int = 0) -> list[Value]:
        axis %= len(value.shape)
        parts, start = [], 0
        for size in sizes:
            shape = (*value.shape[:axis], size, *value.shape[axis + 1 :])
            parts.append(self.op_slice(shape, value.kind, value, axis, start, start + size))
            start += size
        return parts

    def split(self, value: Value, size: int, axis: int = 0) -> list[Value]:
        length = value.shape[axis]
        return self.split_with_sizes(value, [min(size, length - at) for at in range(0, length, size)], axis)

    def unbind(self, value: Value, axis: int = 0) -> list[Value]:
        axis %= len(value.shape)
        shape = (*value.shape[:axis], *value.shape[axis + 1 :])
        return [self.op_select(shape, value.kind, value, axis, i) for i in range(value.shape[axis])]
