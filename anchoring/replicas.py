"""Many replicas of one model: the only file that maps over replicas.

Models, terms, labels and metrics are written for one replica. This file makes R of one: it stacks parameters on axis 0,
and maps functions of one replica over them by `torch.func.vmap`, or one after another where vmap cannot. A training
step is traced once for all replicas, and then runs without the tracer's overhead. (`anchoring.native` compiles steps to
machine code instead, which takes one replica at a time.)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from anchoring.data import Data
from anchoring.labels import Label
from anchoring.layers import Edited, Edits, activations
from anchoring.native import compile_function
from anchoring.private import pytree
from anchoring.sampling import INITIALISATION, Sampler, Stream, generator
from anchoring.step import Step

Tensors = Sequence[Tensor]
Run = Callable[[Tensors, Tensors, Tensor], Tensors]
"""Takes S steps: from state [R, ...], batches [S, R, B, ...] and controls [S, C] to the state after them."""


class Replicas(nn.Module):
    """R models of one architecture, each initialised from its own seed.

    Args:
        make: makes one model. It may use PyTorch's global random numbers, which are seeded for it and restored after.
        seeds: one for each replica.

    Raises:
        ValueError: a buffer depends on the seed. Buffers must be constants.

    Examples:
        >>> replicas = Replicas(lambda: nn.Linear(3, 2), seeds=[0, 1, 7])
        >>> replicas(torch.zeros(5, 3)).shape
        torch.Size([3, 5, 2])
        >>> replicas[2]  # replica of seed 7, an ordinary module
        Linear(in_features=3, out_features=2, bias=True)
    """

    def __init__(self, make: Callable[[], nn.Module], seeds: Sequence[int]):
        super().__init__()
        models = [initialised(make, seed) for seed in seeds]
        if any(True for _ in models[0].buffers()):
            _expect_same_buffers([*models, initialised(make, seeds[0] + 1)])  # so that one replica is checked, too
        self._stack(models)

    @classmethod
    def of(cls, models: Sequence[nn.Module]) -> Replicas:
        """Replicas that hold copies of existing models, all of one architecture."""
        replicas = cls.__new__(cls)
        nn.Module.__init__(replicas)
        replicas._stack(models)
        return replicas

    def _stack(self, models: Sequence[nn.Module]) -> None:
        first = models[0]
        _expect_same_buffers(models)
        self._one = [copy.deepcopy(first)]  # in a list, so that its parameters are not registered
        self.stacked = copy.deepcopy(first).eval()
        whole: dict[nn.Parameter, tuple[str, nn.Parameter]] = {}  # by the first model's parameter, which may be tied
        self._tied: dict[str, str] = {}  # second names of tied parameters, with the first
        for name, parameter in first.named_parameters(remove_duplicate=False):
            if parameter in whole:
                self._tied[name] = whole[parameter][0]
            else:
                own = torch.stack([m.get_parameter(name).detach() for m in models])
                whole[parameter] = name, nn.Parameter(own, parameter.requires_grad)
            path, _, last = name.rpartition(".")
            setattr(self.stacked.get_submodule(path), last, whole[parameter][1])
        self.register_state_dict_post_hook(_without_prefix)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_with_prefix)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Replicas:
        """Keep evaluation mode, whatever `mode` is. For a model in training mode, see `one`."""
        return super().train(False)

    def __len__(self) -> int:
        return len(next(self.parameters()))

    def __getitem__(self, replica: int) -> nn.Module:
        """One replica, as an ordinary module in evaluation mode."""
        one = copy.deepcopy(self._one[0]).eval()
        one.load_state_dict({name: p[replica] for name, p in self.stacked.named_parameters()}, strict=False)
        return one

    def __iter__(self) -> Iterator[nn.Module]:
        return (self[replica] for replica in range(len(self)))

    def forward(self, x: Tensor) -> Tensor:
        """Run every replica on the same inputs.

        Args:
            x: inputs, [N, ...].

        Returns:
            Outputs, [R, N, ...].
        """
        return self.map(lambda one: one(x))

    def activations(self, x: Tensor) -> dict[str, Tensor]:
        """Every layer's activations in every replica: see `anchoring.layers.activations`.

        Args:
            x: inputs, [N, ...].

        Returns:
            Activations [R, N, ...], by layer.
        """
        return self.map(lambda one: activations(one, x))

    def edited(self, edits: Callable[[nn.Module], Edits]) -> Callable[[Tensor], Tensor]:
        """The replicas with edits of their layers.

        Args:
            edits: makes the edits of one replica.

        Returns:
            A function from inputs [N, ...] to outputs [R, N, ...].
        """
        return lambda x: self.map(lambda one: Edited(one, edits(one))(x))

    def map(self, function: Callable[[nn.Module], Any]) -> Any:
        """Apply a function to every replica, and stack the results on axis 0.

        The function is vectorised if `torch.func.vmap` can do it. If not (it uses NumPy, say, or branches on values),
        it is called for one replica after another, without gradients.

        Args:
            function: takes one replica, an `nn.Module`, and returns a tensor, or a dict, list or tuple of tensors.

        Returns:
            What the function returns, with an axis [R, ...] before those of each tensor.

        Examples:
            >>> replicas = Replicas(lambda: nn.Linear(3, 2), seeds=[0, 1, 7])
            >>> replicas.map(lambda one: {"length": one.weight.norm()})["length"].shape
            torch.Size([3])
        """
        call = _Call(self.stacked, function)
        parameters = {f"module.{name}": p for name, p in self.stacked.named_parameters()}
        # vmap fails in many ways; if the function itself does, it does so again below
        with suppress(Exception), sdpa_kernel(SDPBackend.MATH):  # the only attention kernel that vmap supports
            return vmap(lambda own: functional_call(call, own, ()))(parameters)
        each = [function(one.requires_grad_(False)) for one in self]
        return pytree.tree_map(lambda *values: torch.stack([torch.as_tensor(v) for v in values]), *each)

    def native_map(
        self, function: Callable[[nn.Module], Mapping[str, Any]], name: str
    ) -> Callable[[Replicas], dict[str, Tensor]]:
        """`map` for a function that returns scalars, as native code for replicas of this architecture.

        Args:
            function: takes one replica and returns scalars by name. What it computes without the replica is computed
                once and for all.
            name: a comment at the top of the C++ source.

        Raises:
            Unsupported: the function has an operator, a type or a shape that cannot be native.
            OSError: the compiler is missing or fails.
        """
        one, names = copy.deepcopy(self._one[0]).eval().requires_grad_(False), list[str]()
        shapes = {name: p.shape for name, p in one.named_parameters()}

        def of_row(row: Tensor) -> list[Tensor]:
            parts = row.split([shape.numel() for shape in shapes.values()])
            own = {f"module.{n}": part.view(shape) for (n, shape), part in zip(shapes.items(), parts, strict=True)}
            found = functional_call(_Call(one, function), own, ())
            names[:] = found
            return [torch.as_tensor(value, dtype=torch.float32) for value in found.values()]

        run = compile_function(of_row, self.flat()[0], name)
        return lambda replicas: dict(zip(names, run(replicas.flat()).unbind(1), strict=True))

    def finite(self) -> Tensor:
        """Which replicas' parameters are all finite: [R]."""
        return torch.stack([p.isfinite().reshape(len(p), -1).all(1) for p in self.parameters()]).all(0)

    def flat(self) -> Tensor:
        """All parameters of each replica in a row: [R, P]."""
        return torch.cat([p.detach().reshape(len(p), -1) for p in self.stacked.parameters()], 1)

    @torch.no_grad()
    def set_flat(self, rows: Tensor) -> None:
        """Set all parameters from rows [R, P], as `flat` returns them."""
        parameters = list(self.stacked.parameters())
        for parameter, part in zip(parameters, rows.split([p[0].numel() for p in parameters], 1), strict=True):
            parameter.copy_(part.view_as(parameter))

    def one(self) -> nn.Module:
        """A model of the architecture in training mode, with arbitrary weights, to make a `Step` of."""
        return copy.deepcopy(self._one[0]).train()


class Draws:
    """The samples and labels of R replicas, each from its seed's own stream, drawn in order.

    With `compiled`, native code draws the same ones where it can.
    """

    def __init__(
        self, data: Data, labels: Mapping[str, Label], seeds: Sequence[int], batch: int, compiled: bool = False
    ):
        self._sampler = Sampler(data, labels)
        self._native = self._sampler.native(seeds) if compiled else None
        self._streams = [] if self._native else [Stream(self._sampler, list(labels), seed) for seed in seeds]
        self._labels = len(labels)
        self._shape = len(seeds), batch

    def next(self, steps: int) -> list[Tensor]:
        """The next steps' batch: inputs, targets if any, and each label, [S, R, B, ...] each.

        If the samples are vectors, all samples' first components lie side by side in memory, then their second.
        """
        shape = (steps, *self._shape)
        drawn = [_empty(shape, table) for table in self._sampler.tables]
        drawn += [torch.empty(shape) for _ in range(self._labels)]
        if self._native:
            self._native.fill(drawn)
        else:
            for r, stream in enumerate(self._streams):
                stream.fill([part[:, r] for part in drawn])
        return drawn


def eager(step: Step, state: Tensors, batch: Tensors, controls: Tensor) -> Run:
    """Steps of all replicas by PyTorch's operators, traced for tensors of these shapes: [R, ...], [R, B, ...], [C]."""
    every = vmap(step, in_dims=(*[0] * (len(state) + len(batch)), None))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        graph = make_fx(every)(*state, *batch, controls)
    graph.graph.eliminate_dead_code()
    graph.recompile()

    @torch.no_grad()
    def run(state: Tensors, batch: Tensors, controls: Tensor) -> Tensors:
        with denormals_as_zero():
            for s in range(len(controls)):
                state = graph(*state, *[part[s] for part in batch], controls[s])
        return state

    return run


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Count denormal numbers as zero in this thread, as native steps do. Intel processors take 100 cycles for each."""
    already = not torch.tensor(1e-40).mul(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


def initialised(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A model made with a seed's random numbers. PyTorch's global ones are restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator(seed, INITIALISATION).integers(2**63)))
        return make()


def _expect_same_buffers(models: Sequence[nn.Module]) -> None:
    for name, constant in models[0].named_buffers():
        if not all(torch.equal(constant, other.get_buffer(name)) for other in models[1:]):
            raise ValueError(f"buffer {name}: found replicas that differ in it, expected a constant, or a parameter")


class _Call(nn.Module):
    """Calls a function with a module, so that `functional_call` can substitute the module's parameters."""

    def __init__(self, module: nn.Module, function: Callable[[nn.Module], Any]):
        super().__init__()
        self.module = module
        self._function = function

    def forward(self) -> Any:
        return self._function(self.module)


def _empty(shape: tuple[int, ...], table: Tensor) -> Tensor:
    """An empty tensor for rows of a table. If the table is a matrix, each of its columns is contiguous."""
    if table.dim() != 2:
        return torch.empty(*shape, *table.shape[1:], dtype=table.dtype)
    *outer, batch = shape
    return torch.empty(*outer, table.shape[1], batch, dtype=table.dtype).mT


def _without_prefix(module: Any, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Before saving, give tensors the names that one model's have, and drop the second names of tied ones."""
    for key in [key for key in state if key.startswith(f"{prefix}stacked.")]:
        name = key.removeprefix(f"{prefix}stacked.")
        tensor = state.pop(key)
        if name not in module._tied:
            state[prefix + name] = tensor


def _with_prefix(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before loading, undo that."""
    own = {key.removeprefix(prefix): state.pop(key) for key in list(state) if key.startswith(prefix)}
    own |= {name: own[first] for name, first in module._tied.items() if first in own}
    state.update({f"{prefix}stacked.{name}": tensor for name, tensor in own.items()})
