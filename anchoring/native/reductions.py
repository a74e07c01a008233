"""Reductions over axes, and products of matrices."""

from __future__ import annotations

import math
from typing import Any

from anchoring.native.elementwise import elementwise
from anchoring.native.expressions import Kind, Unsupported, Value
from anchoring.native.views import Views


class Reductions(Views):
    """A method for each operator that reduces its arguments."""

    def op_sum(
        self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False, **kwargs: Any
    ) -> Value:
        return self.reduce(elementwise(value.shape, kind, "same", [value], kind), axes, "Sum", "add", keep)

    def op_mean(
        self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False, **kwargs: Any
    ) -> Value:
        total = self.reduce(value, axes, "Sum", "add", keep)
        return elementwise(shape, kind, "div", [total, math.prod(value.shape) / max(1, math.prod(shape))], kind)

    def op_amax(self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False) -> Value:
        return self.reduce(value, axes, "Largest", "max", keep)

    def op_amin(self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False) -> Value:
        return self.reduce(value, axes, "Least", "min", keep)

    def op_prod(
        self, shape: Any, kind: Kind, value: Value, axis: Any = None, keep: bool = False, **kwargs: Any
    ) -> Value:
        if kind != "float":
            raise Unsupported("prod of int64 is not among the operators that can be native")
        return self.reduce(elementwise(value.shape, kind, "same", [value], kind), axis, "Product", "mul", keep)

    def op_any(self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False) -> Value:
        numbers = elementwise(
            value.shape, "float", "same", [elementwise(value.shape, "bool", "same", [value], "bool")], "float"
        )
        return elementwise(shape, kind, "same", [self.reduce(numbers, axes, "Largest", "max", keep)], kind)

    def op_all(self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False) -> Value:
        numbers = elementwise(
            value.shape, "float", "same", [elementwise(value.shape, "bool", "same", [value], "bool")], "float"
        )
        return elementwise(shape, kind, "same", [self.reduce(numbers, axes, "Least", "min", keep)], kind)

    def op_linalg_vector_norm(
        self,
        shape: Any,
        kind: Kind,
        value: Value,
        order: float = 2,
        axes: Any = None,
        keep: bool = False,
        **kwargs: Any,
    ) -> Value:
        if order == 1:
            return self.reduce(elementwise(value.shape, kind, "abs", [value], kind), axes, "Sum", "add", keep)
        if order != 2:
            raise Unsupported(f"linalg_vector_norm of order {order} is not among the operators that can be native")
        total = self.reduce(self.op_pow(value.shape, kind, value, 2), axes, "Sum", "add", keep)
        return elementwise(shape, kind, "sqrt", [total], kind)

    def op_var(
        self, shape: Any, kind: Kind, value: Value, axes: Any = None, *, correction: float | None = None,
        keepdim: bool = False,
    ) -> Value:  # fmt: skip
        return self.var_mean(value, axes, correction=correction, keepdim=keepdim)[0]

    def var_mean(
        self, value: Value, axes: Any = None, *, correction: float | None = None, keepdim: bool = False
    ) -> tuple[Value, Value]:
        """Variance and mean. The mean is subtracted before squaring, which avoids cancellation."""
        value = self.program.in_memory(value)
        wanted = named_axes(value, axes)
        count = math.prod(value.shape[axis] for axis in wanted)

        def mean(v: Value, of: float, keep: bool) -> Value:
            total = self.reduce(v, wanted, "Sum", "add", keep)
            return elementwise(total.shape, "float", "div", [total, of], "float")

        centre = self.program.keep(mean(value, count, True))
        rest = elementwise(value.shape, "float", "sub", [value, centre], "float")
        squares = self.op_pow(value.shape, "float", rest, 2)
        freedom = max(0, count - (1 if correction is None else correction))
        spread = mean(squares, freedom, keepdim)
        return spread, self.reshape(centre, spread.shape)

    def reduce(self, value: Value, axes: Any, op: str, combine: str, keep: bool) -> Value:
        wanted = named_axes(value, axes)
        return self.program.reduce(value, wanted, op, combine, keep) if wanted else value

    def op_mm(self, shape: Any, kind: Kind, a: Value, b: Value) -> Value:
        return self.program.product(a, b)

    op_bmm = op_mm

    def op_addmm(
        self, shape: Any, kind: Kind, bias: Value, a: Value, b: Value, *, beta: float = 1, alpha: float = 1
    ) -> Value:
        if beta != 1 or alpha != 1:
            raise Unsupported("addmm with factors is not among the operators that can be native")
        return self.program.product(a, b, bias)

    op_baddbmm = op_addmm


def named_axes(value: Value, axes: Any) -> list[int]:
    """The axes that a reduction names, or all of them if it names no axes."""
    named = [axes] if isinstance(axes, int) else axes
    return sorted({axis % len(value.shape) for axis in named} if named else range(len(value.shape)))
