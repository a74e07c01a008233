"""A model's layers: its submodules, by the names that PyTorch gives them. Forward hooks read and edit them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from torch import Tensor, nn

Edits = Mapping[str, Callable[[Tensor], Tensor]]
"""Functions of activations, by layer. Each layer passes on what its function returns."""

UNEDITED: Edits = MappingProxyType({})


def activations(model: nn.Module, x: Tensor, edits: Edits = UNEDITED) -> dict[str, Tensor]:
    """Run a model and keep what its layers return.

    Args:
        model: any module whose forward takes one tensor and returns one.
        x: its input, [B, ...].
        edits: functions of activations, by layer.

    Returns:
        The activations [B, ...] of each layer after its edit: `input`, every submodule that returns a tensor, by its
        name (`encoder`, `decoder.0`), and `output`. If a submodule is called more than once, the last call counts.

    Raises:
        ValueError: `edits` names a layer that the model does not have, the model has a submodule named input or output,
            or it returns no tensor.

    Examples:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> sorted(activations(model, torch.zeros(5, 3)))
        ['0', '1', 'input', 'output']
    """
    seen = {"input": edits["input"](x) if "input" in edits else x}
    with _watched(model, seen, edits):
        output = model(seen["input"])
    if not isinstance(output, Tensor):
        raise ValueError(f"output: found {type(output).__name__}, expected the model to return a tensor")  # noqa: TRY004
    seen["output"] = edits["output"](output) if "output" in edits else output
    if unknown := edits.keys() - seen.keys():
        raise ValueError(f"layer: found {min(unknown)!r}, expected one of {', '.join(seen)}")
    return seen


def widths(model: nn.Module, x: Tensor) -> dict[str, int]:
    """The size of the last axis of each layer's activations.

    Args:
        model: any module whose forward takes one tensor and returns one.
        x: an input of the usual shape, [B, ...].

    Returns:
        The width by the layer's name. Layers without an axis beside the batch's are left out.

    Examples:
        >>> widths(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.zeros(5, 3))
        {'input': 3, '0': 2, '1': 2, 'output': 2}
    """
    return {name: z.shape[-1] for name, z in activations(model, x).items() if z.dim() > 1}


def emptied(z: Tensor, dims: Collection[int]) -> Tensor:
    """Set some dims of activations [..., K] to 0.

    Examples:
        >>> emptied(torch.ones(1, 3), [0, 2])
        tensor([[0., 1., 0.]])
    """
    return z * z.new_tensor([float(dim not in dims) for dim in range(z.shape[-1])])


class Edited:
    """One replica with edits of its layers: a function from inputs [B, ...] to outputs [B, ...].

    Args:
        model: the replica.
        edits: functions of activations, by layer.

    Examples:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> Edited(model, {"1": torch.zeros_like})(torch.rand(1, 3))
        tensor([[0., 0.]])
    """

    def __init__(self, model: nn.Module, edits: Edits = UNEDITED):
        self.model = model
        self.edits = edits

    def __call__(self, x: Tensor) -> Tensor:
        return self.activations(x)["output"] if self.edits else self.model(x)

    def activations(self, x: Tensor) -> dict[str, Tensor]:
        """The edited activations of every layer: see the function `activations`."""
        return activations(self.model, x, self.edits)


@contextmanager
def _watched(model: nn.Module, seen: dict[str, Tensor], edits: Edits) -> Iterator[None]:
    """While the context is open, edit each submodule's output and keep it in `seen`."""

    def watch(name: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, inputs: object, output: object) -> Tensor | None:
            if not isinstance(output, Tensor):
                return None
            seen[name] = edits[name](output) if name in edits else output
            return seen[name]

        return hook

    if taken := {"input", "output"} & {name for name, _ in model.named_modules()}:
        raise ValueError(f"layer: found a submodule named {min(taken)!r}, expected another name: the model has its own")
    hooks = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
