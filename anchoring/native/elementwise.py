"""Operators that act on each element, as expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anchoring.native.expressions import Expr, Index, Kind, Unsupported, Value, apply, constant, to
from anchoring.native.program import Program

UNARY = {
    *("neg", "sqrt", "exp", "erf", "sigmoid", "tanh", "abs", "log", "sign", "log1p", "expm1", "sin", "cos", "atan"),
    *("asin", "acos", "floor", "ceil", "sinh", "cosh", "log2", "exp2", "log10"),
}
BINARY = {"add", "sub", "mul", "div", "maximum", "minimum", "true_divide"}
COMPARISONS = {"gt", "ge", "lt", "le", "eq", "ne"}
LOGIC = {
    **{"logical_and": "and", "logical_or": "or", "logical_xor": "xor", "logical_not": "not"},
    **{"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "bitwise_not": "not"},
}
EMPTY = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted"}
FILLS = {
    *EMPTY,
    "full",
    "full_like",
    "scalar_tensor",
    "zeros",
    "zeros_like",
    "ones",
    "ones_like",
    "new_zeros",
    "new_full",
}


class Elementwise:
    """A method for each such operator, except those that are one operation of the same name."""

    def __init__(self, program: Program):
        self.program = program

    def by_name(self, name: str, shape: tuple[int, ...], kind: Kind, args: Any, kwargs: Any) -> Value | None:
        """The value of an operator that is one operation of the same name; None for any other operator."""
        if name in UNARY:
            return elementwise(shape, kind, name, [args[0]], kind)
        if name in BINARY:
            return self.arithmetic(name, shape, kind, args, kwargs)
        if name in COMPARISONS:
            return elementwise(shape, "bool", name, args, common(args))
        if name not in LOGIC:
            return None
        if name.startswith("bitwise") and kind != "bool":
            raise Unsupported(f"{name} of int64 is not among the operators that can be native")
        return elementwise(shape, "bool", LOGIC[name], args, "bool")

    def arithmetic(self, name: str, shape: tuple[int, ...], kind: Kind, args: Any, kwargs: Any) -> Value:
        a, b = args[:2]
        if kwargs.get("rounding_mode"):
            raise Unsupported("div with a rounding mode is not among the operators that can be native")
        scale = kwargs.get("alpha", 1)
        if scale != 1:
            b = elementwise(shape, kind, "mul", [b, scale], kind)
        op = {"maximum": "max", "minimum": "min", "true_divide": "div"}.get(name, name)
        if kind == "bool":
            op = {"mul": "and", "min": "and", "add": "or", "max": "or"}[op]
        return elementwise(shape, kind, op, [a, b], kind)

    def op_to_copy(self, shape: tuple[int, ...], kind: Kind, value: Value, **kwargs: Any) -> Value:
        return elementwise(shape, kind, "same", [value], kind)

    def op_convert_element_type(self, shape: tuple[int, ...], kind: Kind, value: Value, dtype: Any) -> Value:
        return elementwise(shape, kind, "same", [value], kind)

    def op_relu(self, shape: tuple[int, ...], kind: Kind, value: Value) -> Value:
        return elementwise(shape, kind, "max", [value, 0], kind)

    def op_reciprocal(self, shape: tuple[int, ...], kind: Kind, value: Value) -> Value:
        return elementwise(shape, kind, "div", [1, value], kind)

    def op_rsqrt(self, shape: tuple[int, ...], kind: Kind, value: Value) -> Value:
        return elementwise(shape, kind, "div", [1, elementwise(shape, kind, "sqrt", [value], kind)], kind)

    def op_square(self, shape: tuple[int, ...], kind: Kind, value: Value) -> Value:
        return self.op_pow(shape, kind, value, 2)

    def op_where(self, shape: tuple[int, ...], kind: Kind, condition: Value, a: Any, b: Any) -> Value:
        m, x, y = (spread(v, shape) for v in (condition, a, b))
        return Value(
            shape, kind, lambda ix: apply("where", kind, to("bool", m.at(ix)), to(kind, x.at(ix)), to(kind, y.at(ix)))
        )

    def op_masked_fill(self, shape: tuple[int, ...], kind: Kind, value: Value, mask: Value, fill: Any) -> Value:
        return self.op_where(shape, kind, mask, fill, value)

    def op_clamp(self, shape: tuple[int, ...], kind: Kind, value: Value, low: Any = None, high: Any = None) -> Value:
        if low is not None:
            value = elementwise(shape, kind, "max", [value, low], kind)
        return elementwise(shape, kind, "min", [value, high], kind) if high is not None else value

    def op_clamp_min(self, shape: tuple[int, ...], kind: Kind, value: Value, low: Any) -> Value:
        return self.op_clamp(shape, kind, value, low)

    def op_clamp_max(self, shape: tuple[int, ...], kind: Kind, value: Value, high: Any) -> Value:
        return self.op_clamp(shape, kind, value, None, high)

    def op_pow(self, shape: tuple[int, ...], kind: Kind, value: Any, exponent: Any) -> Value:
        if kind != "float":
            raise Unsupported("pow of int64 is not among the operators that can be native")
        if isinstance(exponent, Value):
            return elementwise(shape, kind, "pow", [value, exponent], kind)
        if exponent in (0, 0.5):
            return filled(shape, kind, 1) if exponent == 0 else elementwise(shape, kind, "sqrt", [value], kind)
        if exponent == int(exponent) and abs(exponent) <= 1024:
            base = spread(value, shape)
            whole, size = constant(int(abs(exponent)), "int"), abs(exponent)
            raised = Value(
                shape, kind, lambda ix: base.at(ix) if size == 1 else apply("power", kind, base.at(ix), whole)
            )
            return raised if exponent > 0 else self.op_reciprocal(shape, kind, raised)
        return elementwise(shape, kind, "pow", [value, exponent], kind)

    def op_addcmul(self, shape: tuple[int, ...], kind: Kind, a: Value, b: Value, c: Value, value: float = 1) -> Value:
        scaled = elementwise(shape, kind, "mul", [b, value], kind) if value != 1 else b
        return elementwise(shape, kind, "add", [a, elementwise(shape, kind, "mul", [scaled, c], kind)], kind)

    def op_lerp(self, shape: tuple[int, ...], kind: Kind, a: Value, b: Value, weight: Any) -> Value:
        """By PyTorch's two formulas: the second, for weights from 0.5 on, reaches `b` exactly."""
        difference = elementwise(shape, kind, "sub", [b, a], kind)
        near = elementwise(shape, kind, "add", [a, elementwise(shape, kind, "mul", [weight, difference], kind)], kind)
        rest = elementwise(shape, kind, "sub", [1, weight], kind)
        far = elementwise(shape, kind, "sub", [b, elementwise(shape, kind, "mul", [difference, rest], kind)], kind)
        if not isinstance(weight, Value):
            return near if abs(weight) < 0.5 else far
        size = elementwise(shape, kind, "abs", [weight], kind)
        return self.op_where(shape, kind, elementwise(shape, "bool", "lt", [size, 0.5], kind), near, far)

    def op_arange(self, shape: tuple[int, ...], kind: Kind, *args: Any, **kwargs: Any) -> Value:
        first, step = (args[0] if len(args) > 1 else 0), (args[2] if len(args) > 2 else 1)
        return self.op_iota(shape, kind, shape[0], start=first, step=step)

    def op_iota(
        self, shape: tuple[int, ...], kind: Kind, length: int, *, start: int = 0, step: int = 1, **kwargs: Any
    ) -> Value:
        if start != int(start) or step != int(step):
            raise Unsupported("arange of fractions is not among the operators that can be native")
        return Value(shape, kind, lambda ix: to(kind, Expr("position", "int", index=ix[0] * int(step) + int(start))))


def filled(shape: Sequence[int], kind: Kind, value: Any) -> Value:
    expr = constant(value, kind)
    return Value(tuple(shape), kind, lambda ix: expr)


def spread(value: Any, shape: Sequence[int]) -> Value:
    """A tensor or number, broadcast to a shape."""
    if isinstance(value, Value):
        return value.expand(shape)
    kind: Kind = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"
    return filled(shape, kind, value)


def elementwise(shape: Sequence[int], kind: Kind, op: str, args: Sequence[Any], inside: Kind) -> Value:
    """An operation on each element. Arguments are first broadcast, and converted to the kind `inside`."""
    operands = [spread(arg, shape) for arg in args]

    def at(ix: Sequence[Index]) -> Expr:
        parts = [to(inside, value.at(ix)) for value in operands]
        return _simple(op, parts) or apply(op, kind, *parts)

    return Value(tuple(shape), kind, at)


def _simple(op: str, parts: Sequence[Expr]) -> Expr | None:
    """The argument that the operation returns unchanged, such as x in `x * 1`; None if it computes something."""
    values = [part.value if part.op == "constant" else None for part in parts]
    if op == "same" or (op in ("mul", "div") and values[1] == 1):
        return parts[0]
    return parts[1] if op == "mul" and values[0] == 1 else None


def common(args: Sequence[Any]) -> Kind:
    """The kind to which arguments are converted before they are compared."""
    kinds = {a.kind if isinstance(a, Value) else spread(a, ()).kind for a in args}
    return "float" if "float" in kinds else "int" if "int" in kinds else "bool"
