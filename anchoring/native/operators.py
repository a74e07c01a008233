"""Turns the ATen operators of one replica's step into expressions and statements of a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from anchoring.native.elementwise import BINARY, COMPARISONS, FILLS, LOGIC, UNARY, filled
from anchoring.native.expressions import Kind, Unsupported, Value
from anchoring.native.lookups import Lookups
from anchoring.native.program import Program, is_in_memory
from anchoring.native.reductions import Reductions
from anchoring.native.trace import name_of
from anchoring.native.views import RESHAPES, SAME, SPLITS, VIEWS

KINDS: dict[torch.dtype, Kind] = {torch.float32: "float", torch.int64: "int", torch.bool: "bool"}


def lower(graph: fx.GraphModule, inputs: Sequence[Value], program: Program) -> list[Value]:
    """Write a graph into a program and return its outputs. Raises Unsupported, which names the unknown operator."""
    return Lowering(graph, program).run(inputs)


class Lowering(Reductions, Lookups):
    """Finds the value of each node, in the graph's order."""

    def __init__(self, graph: fx.GraphModule, program: Program):
        super().__init__(program)
        self.graph = graph
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
        found: Any = fx.map_arg((node.args, node.kwargs), self.values.__getitem__)
        args, kwargs = found
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
        """The value of an operator that returns one tensor."""
        if name in FILLS:
            fill = {"full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0}.get(name)
            return filled(shape, kind, args[fill] if fill is not None else float(name.startswith("ones")))
        if name in RESHAPES:
            return self.reshape(args[0], shape)
        if name in SAME:
            return args[0]
        if (result := self.by_name(name, shape, kind, args, kwargs)) is not None:
            return result
        method = getattr(self, f"op_{name.strip('_')}", None)
        if method is None:
            raise Unsupported(f"{name} is not among the operators that can be native")
        return method(shape, kind, *args, **kwargs)

    def constant(self, tensor: Tensor) -> Value:
        if tensor.dtype not in KINDS:
            raise Unsupported(f"a constant is {tensor.dtype}, expected float32, int64 or bool")
        return self.program.constant(KINDS[tensor.dtype], tensor)


PAIRS = {"var_mean"}

KNOWN = {
    *UNARY, *BINARY, *COMPARISONS, *LOGIC, *SAME, *RESHAPES, *FILLS, *SPLITS, *PAIRS,
    *(name.removeprefix("op_") for name in dir(Lowering) if name.startswith("op_")),
    "_to_copy", "_unsafe_index", "_unsafe_index_put",
}  # fmt: skip
"""Operators that are lowered directly. PyTorch writes all others in terms of these."""


def _worth_keeping(node: fx.Node) -> bool:
    """Whether to compute a value once and store it: whether several nodes use it, or one that has more elements."""
    users = list(_users(node))
    size = node.meta["val"].numel()
    return len(users) > 1 or any(
        isinstance(user.meta.get("val"), Tensor) and user.meta["val"].numel() > size for user in users
    )


def _users(node: fx.Node) -> list[fx.Node]:
    """The nodes that compute with a node or a view of it. One that uses it twice is listed twice."""
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
