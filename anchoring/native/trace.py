"""Traces a step to a graph of pure ATen operators, without repeated or unused computations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import decomposition_table
from torch.fx.experimental.proxy_tensor import make_fx

from anchoring.native.expressions import Unsupported


def trace(step: Callable[..., Any], arguments: Sequence[Tensor], known: Collection[str]) -> fx.GraphModule:
    """The graph of `step(*arguments)`. Operators whose names are not `known` are decomposed if PyTorch can do it."""
    table: Any = {op: rule for op, rule in decomposition_table.items() if name_of(op) not in known}
    try:
        with torch.no_grad():
            recorded = make_fx(step, tracing_mode="fake")(*arguments)
            pure = torch.func.functionalize(recorded, remove="mutations")
            graph = make_fx(pure, tracing_mode="fake", decomposition_table=table)(*arguments)
    except Exception as error:  # the step's own code may raise anything when its tensors have no values
        raise Unsupported(
            f"the step cannot be traced: {(str(error).strip() or repr(error)).splitlines()[0]}"
        ) from error
    graph.graph.eliminate_dead_code()
    _share(graph.graph)
    return graph


def name_of(target: Any) -> str:
    """An operator's name without its namespace and overload: `add` of `aten.add.Tensor`."""
    schema = getattr(target, "_schema", None)
    return schema.name.partition("::")[2] if schema else getattr(target, "__name__", str(target))


def _share(graph: fx.Graph) -> None:
    """Merge nodes that compute the same."""
    seen: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        key = repr((node.target, node.args, sorted(node.kwargs.items())))  # nodes print as their unique names
        if key in seen:
            node.replace_all_uses_with(seen[key])
            graph.erase_node(node)
        else:
            seen[key] = node
