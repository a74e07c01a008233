"""ATen's operators, one replica's, as expressions and statements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from anchoring.native.expressions import (
    Buffer,
    Expr,
    Index,
    Kind,
    Unsupported,
    Value,
    apply,
    constant,
    load,
    to,
    variable,
)
from anchoring.native.program import Program, contiguous, is_in_memory, position
from anchoring.native.trace import name_of

KINDS: dict[torch.dtype, Kind] = {torch.float32: "float", torch.int64: "int", torch.bool: "bool"}

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
SPLITS = {"split_with_sizes", "split", "unbind"}


def lower(graph: fx.GraphModule, inputs: Sequence[Value], program: Program) -> list[Value]:
    """Write a graph into a program; return the graph's outputs. Raises Unsupported, naming what it does not know."""
    return Lowering(graph, program).run(inputs)


class Lowering:
    """The value of each node so far, and a method for each operator that is not elementwise."""

    def __init__(self, graph: fx.GraphModule, program: Program):
        self.graph = graph
        self.program = program
        self.values: dict[fx.Node, Any] = {}

    def run(self, inputs: Sequence[Value]) -> list[Value]:
        given = iter(inputs)
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = next(given)
            elif node.op == "get_attr":
                self.values[node] = self.constant(getattr(self.graph, node.target))
            elif node.op == "output":
                outputs: Any = node.args[0]
                return [self.values[out] for out in outputs]
            else:
                self.values[node] = self.node(node)
        raise Unsupported("the step returns nothing")

    def node(self, node: fx.Node) -> Any:
        name = name_of(node.target)
        args, kwargs = fx.map_arg((node.args, node.kwargs), self.values.__getitem__)
        if name == "getitem":
            return args[0][args[1]]
        value = node.meta["val"]
        if name in SPLITS or name in PAIRS:
            return getattr(self, name)(*args, **kwargs)
        if not isinstance(value, Tensor):
            raise Unsupported(f"{name} is not among the operators that can be native")
        if value.dtype not in KINDS:
            raise Unsupported(f"{name} makes {value.dtype}, expected float32, int64 or bool")
        result = self.tensor(name, tuple(value.shape), KINDS[value.dtype], args, kwargs)
        computes = name not in VIEWS | FILLS and not is_in_memory(result)
        return self.program.keep(result) if computes and _worth_keeping(node) else result

    def tensor(self, name: str, shape: tuple[int, ...], kind: Kind, args: Any, kwargs: Any) -> Value:
        """The value of an operator that makes one tensor."""
        if name in FILLS:
            fill = {"full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0}.get(name)
            return _filled(shape, kind, args[fill] if fill is not None else float(name.startswith("ones")))
        if name in RESHAPES:
            return self.reshape(args[0], shape)
        if name in SAME:
            return args[0]
        if name in UNARY:
            return _elementwise(shape, kind, name, [args[0]], kind)
        if name in BINARY:
            return self.arithmetic(name, shape, kind, args, kwargs)
        if name in COMPARISONS:
            return _elementwise(shape, "bool", name, args, _common(args))
        if name in LOGIC:
            if name.startswith("bitwise") and kind != "bool":
                raise Unsupported(f"{name} of int64 is not among the operators that can be native")
            return _elementwise(shape, "bool", LOGIC[name], args, "bool")
        method = getattr(self, f"op_{name.strip('_')}", None)
        if method is None:
            raise Unsupported(f"{name} is not among the operators that can be native")
        return method(shape, kind, *args, **kwargs)

    def constant(self, tensor: Tensor) -> Value:
        if tensor.dtype not in KINDS:
            raise Unsupported(f"a constant is {tensor.dtype}, expected float32, int64 or bool")
        buffer, strides = self.program.contiguous(KINDS[tensor.dtype], tensor.shape, tensor.flatten().tolist())
        return self.program.value(buffer, tuple(tensor.shape), strides)

    def arithmetic(self, name: str, shape: tuple[int, ...], kind: Kind, args: Any, kwargs: Any) -> Value:
        a, b = args[:2]
        if kwargs.get("rounding_mode"):
            raise Unsupported("div with a rounding mode is not among the operators that can be native")
        scale = kwargs.get("alpha", 1)
        if scale != 1:
            b = _elementwise(shape, kind, "mul", [b, scale], kind)
        op = {"maximum": "max", "minimum": "min", "true_divide": "div"}.get(name, name)
        if kind == "bool":
            op = {"mul": "and", "min": "and", "add": "or", "max": "or"}[op]
        return _elementwise(shape, kind, op, [a, b], kind)

    # views

    def reshape(self, value: Value, shape: tuple[int, ...]) -> Value:
        """The same elements in another shape; axes that are merged are first put side by side in memory."""
        old = [size for size in value.shape if size != 1]
        new = [(axis, size) for axis, size in enumerate(shape) if size != 1]
        groups: list[list[tuple[int, int]]] = []  # for each axis there was, the axes it becomes
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
        return _elementwise(shape, kind, "same", [source], kind)

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

    # elementwise

    def op_to_copy(self, shape: tuple[int, ...], kind: Kind, value: Value, **kwargs: Any) -> Value:
        return _elementwise(shape, kind, "same", [value], kind)

    def op_convert_element_type(self, shape: tuple[int, ...], kind: Kind, value: Value, dtype: Any) -> Value:
        return _elementwise(shape, kind, "same", [value], kind)

    def op_relu(self, shape: tuple[int, ...], kind: Kind, value: Value) -> Value:
        return _elementwise(shape, kind, "max", [value, 0], kind)

    def op_reciprocal(self, shape: tuple[int, ...], kind: Kind, value: Value) -> Value:
        return _elementwise(shape, kind, "div", [1, value], kind)

    def op_rsqrt(self, shape: tuple[int, ...], kind: Kind, value: Value) -> Value:
        return _elementwise(shape, kind, "div", [1, _elementwise(shape, kind, "sqrt", [value], kind)], kind)

    def op_square(self, shape: tuple[int, ...], kind: Kind, value: Value) -> Value:
        return self.op_pow(shape, kind, value, 2)

    def op_where(self, shape: tuple[int, ...], kind: Kind, condition: Value, a: Any, b: Any) -> Value:
        m, x, y = (_spread(v, shape) for v in (condition, a, b))
        return Value(
            shape, kind, lambda ix: apply("where", kind, to("bool", m.at(ix)), to(kind, x.at(ix)), to(kind, y.at(ix)))
        )

    def op_masked_fill(self, shape: tuple[int, ...], kind: Kind, value: Value, mask: Value, fill: Any) -> Value:
        return self.op_where(shape, kind, mask, fill, value)

    def op_clamp(self, shape: tuple[int, ...], kind: Kind, value: Value, low: Any = None, high: Any = None) -> Value:
        if low is not None:
            value = _elementwise(shape, kind, "max", [value, low], kind)
        return _elementwise(shape, kind, "min", [value, high], kind) if high is not None else value

    def op_clamp_min(self, shape: tuple[int, ...], kind: Kind, value: Value, low: Any) -> Value:
        return self.op_clamp(shape, kind, value, low)

    def op_clamp_max(self, shape: tuple[int, ...], kind: Kind, value: Value, high: Any) -> Value:
        return self.op_clamp(shape, kind, value, None, high)

    def op_pow(self, shape: tuple[int, ...], kind: Kind, value: Any, exponent: Any) -> Value:
        if kind != "float":
            raise Unsupported("pow of int64 is not among the operators that can be native")
        if isinstance(exponent, Value):
            return _elementwise(shape, kind, "pow", [value, exponent], kind)
        if exponent in (0, 0.5):
            return _filled(shape, kind, 1) if exponent == 0 else _elementwise(shape, kind, "sqrt", [value], kind)
        if exponent == int(exponent) and abs(exponent) <= 1024:
            base = _spread(value, shape)
            whole, size = constant(int(abs(exponent)), "int"), abs(exponent)
            raised = Value(
                shape, kind, lambda ix: base.at(ix) if size == 1 else apply("power", kind, base.at(ix), whole)
            )
            return raised if exponent > 0 else self.op_reciprocal(shape, kind, raised)
        return _elementwise(shape, kind, "pow", [value, exponent], kind)

    def op_addcmul(self, shape: tuple[int, ...], kind: Kind, a: Value, b: Value, c: Value, value: float = 1) -> Value:
        scaled = _elementwise(shape, kind, "mul", [b, value], kind) if value != 1 else b
        return _elementwise(shape, kind, "add", [a, _elementwise(shape, kind, "mul", [scaled, c], kind)], kind)

    def op_lerp(self, shape: tuple[int, ...], kind: Kind, a: Value, b: Value, weight: Any) -> Value:
        """PyTorch's two ways, the second of which ends exactly at `b`."""
        difference = _elementwise(shape, kind, "sub", [b, a], kind)
        near = _elementwise(shape, kind, "add", [a, _elementwise(shape, kind, "mul", [weight, difference], kind)], kind)
        rest = _elementwise(shape, kind, "sub", [1, weight], kind)
        far = _elementwise(shape, kind, "sub", [b, _elementwise(shape, kind, "mul", [difference, rest], kind)], kind)
        if not isinstance(weight, Value):
            return near if abs(weight) < 0.5 else far
        size = _elementwise(shape, kind, "abs", [weight], kind)
        return self.op_where(shape, kind, _elementwise(shape, "bool", "lt", [size, 0.5], kind), near, far)

    def op_arange(self, shape: tuple[int, ...], kind: Kind, *args: Any, **kwargs: Any) -> Value:
        first, step = (args[0] if len(args) > 1 else 0), (args[2] if len(args) > 2 else 1)
        return self.op_iota(shape, kind, shape[0], start=first, step=step)

    def op_iota(
        self, shape: tuple[int, ...], kind: Kind, length: int, *, start: int = 0, step: int = 1, **kwargs: Any
    ) -> Value:
        if start != int(start) or step != int(step):
            raise Unsupported("arange of fractions is not among the operators that can be native")
        return Value(shape, kind, lambda ix: to(kind, Expr("position", "int", index=ix[0] * int(step) + int(start))))

    # reductions

    def op_sum(
        self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False, **kwargs: Any
    ) -> Value:
        return self.reduce(_elementwise(value.shape, kind, "same", [value], kind), axes, "Sum", "add", keep)

    def op_mean(
        self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False, **kwargs: Any
    ) -> Value:
        total = self.reduce(value, axes, "Sum", "add", keep)
        return _elementwise(shape, kind, "div", [total, math.prod(value.shape) / max(1, math.prod(shape))], kind)

    def op_amax(self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False) -> Value:
        return self.reduce(value, axes, "Largest", "max", keep)

    def op_amin(self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False) -> Value:
        return self.reduce(value, axes, "Least", "min", keep)

    def op_any(self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False) -> Value:
        numbers = _elementwise(
            value.shape, "float", "same", [_elementwise(value.shape, "bool", "same", [value], "bool")], "float"
        )
        return _elementwise(shape, kind, "same", [self.reduce(numbers, axes, "Largest", "max", keep)], kind)

    def op_all(self, shape: Any, kind: Kind, value: Value, axes: Any = None, keep: bool = False) -> Value:
        numbers = _elementwise(
            value.shape, "float", "same", [_elementwise(value.shape, "bool", "same", [value], "bool")], "float"
        )
        return _elementwise(shape, kind, "same", [self.reduce(numbers, axes, "Least", "min", keep)], kind)

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
            return self.reduce(_elementwise(value.shape, kind, "abs", [value], kind), axes, "Sum", "add", keep)
        if order != 2:
            raise Unsupported(f"linalg_vector_norm of order {order} is not among the operators that can be native")
        total = self.reduce(self.op_pow(value.shape, kind, value, 2), axes, "Sum", "add", keep)
        return _elementwise(shape, kind, "sqrt", [total], kind)

    def op_var(
        self, shape: Any, kind: Kind, value: Value, axes: Any = None, *, correction: float | None = None,
        keepdim: bool = False,
    ) -> Value:  # fmt: skip
        return self.var_mean(value, axes, correction=correction, keepdim=keepdim)[0]

    def var_mean(
        self, value: Value, axes: Any = None, *, correction: float | None = None, keepdim: bool = False
    ) -> tuple[Value, Value]:
        """By the squares of what the mean leaves, which loses nothing to rounding."""
        value = self.program.in_memory(value)
        wanted = _axes(value, axes)
        count = math.prod(value.shape[axis] for axis in wanted)

        def mean(v: Value, of: float, keep: bool) -> Value:
            total = self.reduce(v, wanted, "Sum", "add", keep)
            return _elementwise(total.shape, "float", "div", [total, of], "float")

        centre = self.program.keep(mean(value, count, True))
        rest = _elementwise(value.shape, "float", "sub", [value, centre], "float")
        squares = self.op_pow(value.shape, "float", rest, 2)
        freedom = max(0, count - (1 if correction is None else correction))
        spread = mean(squares, freedom, keepdim)
        return spread, self.reshape(centre, spread.shape)

    def reduce(self, value: Value, axes: Any, op: str, combine: str, keep: bool) -> Value:
        wanted = _axes(value, axes)
        return self.program.reduce(value, wanted, op, combine, keep) if wanted else value

    # products

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

    # what joins, looks up and scatters

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
                buffer, _elementwise(part.shape, kind, "same", [part], kind), place, self.program.order(shape)
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
        """A tensor with another put at known places of an axis, each at most once: a choice for each element."""
        size = shape[axis]
        found = [i % size for i in found]
        places = [found.index(i) if i in found else -1 for i in range(size)]
        table = self.program.value(*self._table(places))

        def at(ix: Sequence[Index]) -> Expr:
            place = table.at([ix[axis]])
            there = source.at([*ix[:axis], _look_up(place, len(found)), *ix[axis + 1 :]])
            old = value.at(ix)
            new = apply("add", kind, old, there) if add else there
            if (known := _known(place)) is not None:
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
            shape, kind, lambda ix: value.at([*ix[:axis], _look_up(index.at(ix), value.shape[axis]), *ix[axis + 1 :]])
        )

    def op_flip(self, shape: tuple[int, ...], kind: Kind, value: Value, axes: Sequence[int]) -> Value:
        turned = _axes(value, axes)
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
            _spread(source, index.shape) if not isinstance(source, Value) else Value(index.shape, kind, source.at),
            lambda ix: [*ix[:axis], _look_up(index.at(ix), shape[axis]), *ix[axis + 1 :]],
            add,
        )

    def op_embedding(self, shape: tuple[int, ...], kind: Kind, table: Value, index: Value, *rest: Any) -> Value:
        return Value(shape, kind, lambda ix: table.at([_look_up(index.at(ix[:-1]), table.shape[0]), ix[-1]]))

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


PAIRS = {"var_mean"}

KNOWN = {
    *UNARY, *BINARY, *COMPARISONS, *LOGIC, *SAME, *RESHAPES, *FILLS, *SPLITS, *PAIRS,
    *(name.removeprefix("op_") for name in vars(Lowering) if name.startswith("op_")),
    "_to_copy", "_unsafe_index", "_unsafe_index_put",
}  # fmt: skip
"""Operators that need not be written in terms of others."""


def _worth_keeping(node: fx.Node) -> bool:
    """Whether a value is computed once and kept rather than computed where it is used: it is used more than once."""
    users = list(_users(node))
    size = node.meta["val"].numel()
    return len(users) > 1 or any(
        isinstance(user.meta.get("val"), Tensor) and user.meta["val"].numel() > size for user in users
    )


def _axes(value: Value, axes: Any) -> list[int]:
    """The axes that a reduction names; all, if it names none."""
    named = [axes] if isinstance(axes, int) else axes
    return sorted({axis % len(value.shape) for axis in named} if named else range(len(value.shape)))


def _users(node: fx.Node) -> list[fx.Node]:
    """Uses of a node by what computes, directly or of a view of it; one that uses it twice, twice."""
    found = []
    for user in node.users:
        if user.op == "call_function" and (
            name_of(user.target) in VIEWS or name_of(user.target) in ("getitem", *SPLITS)
        ):
            found += _users(user)
            if name_of(user.target) == "expand" and user.meta["val"].numel() > node.meta["val"].numel():
                found += [user]
        else:
            found += [user] * max(
                1, sum(arg is node for arg in user.all_input_nodes), str(user.args).count(node.name + ",")
            )
    return found


def _filled(shape: Sequence[int], kind: Kind, value: Any) -> Value:
    expr = constant(value, kind)
    return Value(tuple(shape), kind, lambda ix: expr)


def _spread(value: Any, shape: Sequence[int]) -> Value:
    """A tensor or number broadcast to a shape."""
    if isinstance(value, Value):
        return value.expand(shape)
    kind: Kind = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"
    return _filled(shape, kind, value)


def _elementwise(shape: Sequence[int], kind: Kind, op: str, args: Sequence[Any], inside: Kind) -> Value:
    """An operation on each element, its arguments broadcast and converted to one kind first."""
    spread = [_spread(arg, shape) for arg in args]

    def at(ix: Sequence[Index]) -> Expr:
        parts = [to(inside, value.at(ix)) for value in spread]
        return _simple(op, parts) or apply(op, kind, *parts)

    return Value(tuple(shape), kind, at)


def _simple(op: str, parts: Sequence[Expr]) -> Expr | None:
    """The result if it is one of the arguments, whatever its value."""
    values = [part.value if part.op == "constant" else None for part in parts]
    if op == "same" or (op in ("mul", "div") and values[1] == 1):
        return parts[0]
    return parts[1] if op == "mul" and values[0] == 1 else None


def _common(args: Sequence[Any]) -> Kind:
    """What arguments are compared as."""
    kinds = {a.kind if isinstance(a, Value) else _spread(a, ()).kind for a in args}
    return "float" if "float" in kinds else "int" if "int" in kinds else "bool"


def _look_up(expr: Expr, size: int) -> Index:
    """A position that is computed. Negative ones count from the end; others out of bounds are taken to the nearest end."""
    number = to("int", expr)
    if (known := _known(number)) is not None:
        return Index(known % size)
    return Index(0, (), ((apply("within", "int", number, constant(size, "int")), 1),))


def _known(expr: Expr) -> int | None:
    """The number that an element of a constant is, at an index that is a number."""
    if expr.buffer and expr.buffer.values is not None and not expr.index.terms and not expr.index.looked_up:
        return int(expr.buffer.values[expr.index.constant])
    return None


def _single_constant(indices: Sequence[Value | None]) -> tuple[int, list[int]] | None:
    """The axis that a tensor is indexed along, and its numbers, if there is one and they are known."""
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) != 1 or len(given[0][1].shape) != 1:
        return None
    axis, index = given[0]
    found = [_known(index.at([Index(i)])) for i in range(index.shape[0])]
    return None if None in found else (axis, [i for i in found if i is not None])


def _indexed(shape: Sequence[int], indices: Sequence[Value | None]) -> tuple[int, ...]:
    """The shape of a tensor indexed by tensors."""
    given = [axis for axis, index in enumerate(indices) if index is not None]
    found = torch.broadcast_shapes(*(index.shape for index in indices if index is not None))
    rest = [size for axis, size in enumerate(shape) if axis not in given]
    first = given[0] if given == list(range(given[0], given[-1] + 1)) else 0
    return (*rest[:first], *found, *rest[first:])


def _indexing(shape: Sequence[int], indices: Sequence[Value | None]) -> Callable[[Sequence[Index]], list[Index]]:
    """From an index of the indexed tensor to one of the tensor."""
    given = [axis for axis, index in enumerate(indices) if index is not None]
    if any(index is not None and index.kind == "bool" for index in indices):
        raise Unsupported("index by a mask makes a size that depends on data, which cannot be native")
    found = tuple(torch.broadcast_shapes(*(index.shape for index in indices if index is not None)))
    first = given[0] if given == list(range(given[0], given[-1] + 1)) else 0
    tables = {axis: indices[axis].expand(found) for axis in given}  # type: ignore[union-attr]

    def at(ix: Sequence[Index]) -> list[Index]:
        inner = ix[first : first + len(found)]
        rest = iter([*ix[:first], *ix[first + len(found) :]])
        return [_look_up(tables[k].at(inner), shape[k]) if k in tables else next(rest) for k in range(len(shape))]

    return at
