"""Traces a step to a graph of pure ATen operators, without repeated or unused computations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from anchoring.native.expressions import Unsupported
from anchoring.private import decomposition_table, schema_of


def trace(
    step: Callable[..., Any],
    arguments: Sequence[Tensor],
    known: Collection[str],
    mode: Literal["real", "fake"] = "fake",
) -> fx.GraphModule:
    """The graph of `step(*arguments)`. Operators whose names are not `known` are decomposed if PyTorch can do it.

    In mode `real`, tensors other than the arguments may have values. They are constants.
    """
    table: Any = {op: rule for op, rule in decomposition_table.items() if name_of(op) not in known}

    def pure(function: Callable[..., Any]) -> fx.GraphModule:
        changed = torch.func.functionalize(function, remove="mutations")
        return make_fx(changed, tracing_mode=mode, decomposition_table=table)(*arguments)

    try:
        with torch.no_grad():
            try:
                graph = pure(step)
            except RuntimeError:  # a step that calls autograd itself has to be recorded before it can be made pure
                graph = pure(make_fx(step, tracing_mode=mode)(*arguments))
    except Exception as error:  # the step's own code may raise anything when its tensors have no values
        raise Unsupported(
            f"the step cannot be traced: {(str(error).strip() or repr(error)).splitlines()[0]}"
        ) from error
    graph.graph.eliminate_dead_code()
    _share(graph.graph)
    if mode == "real":
        _fold(graph)
    return graph


def name_of(target: Any) -> str:
    """An operator's name without its namespace and overload: `add` of `aten.add.Tensor`."""
    schema = schema_of(target)
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


def _fold(module: fx.GraphModule) -> None:
    """Replace nodes that depend on constants alone by their values."""
    graph, known = module.graph, dict[fx.Node, Any]()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "get_attr" and isinstance(value := getattr(module, str(node.target)), Tensor):
            known[node] = value
        elif node.op == "call_function" and all(given in known for given in inputs) and not _is_random(node.target):
            args, kwargs = fx.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*args, **kwargs)
    for node, value in known.items():
        if node.op == "get_attr" or not node.all_input_nodes or all(user in known for user in node.users):
            continue
        module.register_buffer(name := f"folded_{node.name}", value)
        with graph.inserting_before(node):
            folded = graph.get_attr(name)
        folded.meta["val"] = value
        node.replace_all_uses_with(folded)
    graph.eliminate_dead_code()


def _is_random(target: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(target, "tags", ())
