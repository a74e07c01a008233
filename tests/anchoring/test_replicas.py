"""Many replicas behave as each does alone: outputs, names, weights on disk, and functions of them."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.testing import assert_close

from anchoring.layers import activations
from anchoring.replicas import Replicas, initialised
from anchoring.step import Step, controls

X = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    """A model with a parameter at the top, constant buffers, and a module with a name that Replicas uses itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(()))
        self.register_buffer("shift", torch.arange(4.0))
        self.stacked = nn.Linear(3, 4)
        self.register_buffer("unsaved", torch.ones(()), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.stacked(x) * self.scale + self.shift * self.unsaved


class Tied(nn.Module):
    """An autoencoder whose encoder and decoder share weights."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 3)
        self.decoder = nn.Linear(3, 3)
        self.decoder.weight = self.encoder.weight

    def forward(self, x: Any) -> Any:
        return self.decoder(self.encoder(x).relu())


class Frozen(nn.Module):
    """A model that is half frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.given = nn.Linear(3, 2).requires_grad_(False)
        self.learned = nn.Linear(2, 3)

    def forward(self, x: Any) -> Any:
        return self.learned(self.given(x))


class Noisy(nn.Module):
    """A model with a random buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.register_buffer("frequencies", torch.rand(3))

    def forward(self, x: Any) -> Any:
        return self.linear(x * self.frequencies)


def mlp() -> Any:
    return nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 2))


@pytest.mark.parametrize("make", [mlp, Plain, Tied, Frozen])
def test_replicas_are_ordinary_modules_stacked(make: Any) -> None:
    replicas = Replicas(make, [0, 1, 7])
    assert len(replicas) == 3
    alone = initialised(make, 7).eval()
    assert type(replicas[2]) is type(alone)
    for (name, a), (other, b) in zip(replicas[2].state_dict().items(), alone.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(a, b)
    for one, outputs in zip(replicas, replicas(X), strict=True):
        assert_close(one(X), outputs)
    assert not torch.allclose(replicas(X)[0], replicas(X)[1], atol=1e-3)
    for name, z in replicas.activations(X).items():
        assert_close(z[2], activations(alone, X)[name])


@pytest.mark.parametrize("make", [mlp, Plain, Tied, Frozen])
def test_weights_have_natural_names_and_survive_a_file(make: Any, tmp_path: Path) -> None:
    replicas = Replicas(make, [0, 1, 7])
    state = replicas.state_dict()
    parameters = dict(make().named_parameters())
    buffers = {name for name in make().state_dict() if name in dict(make().named_buffers())}
    assert set(state) == set(parameters) | buffers
    for name, parameter in parameters.items():
        assert state[name].shape == (3, *parameter.shape)
    safetensors.torch.save_file(state, tmp_path / "m.safetensors")
    other = Replicas(make, [4, 5, 6])
    assert not torch.allclose(other(X), replicas(X), atol=1e-3)
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "m.safetensors"))
    assert torch.equal(other(X), replicas(X))
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({})
    within = nn.ModuleDict({"model": replicas, "stacked": nn.Linear(1, 1)})  # as in a LightningModule
    names = {f"model.{name}" for name in state} | {"stacked.weight", "stacked.bias"}
    assert set(within.state_dict()) == names
    again = nn.ModuleDict({"model": Replicas(make, [4, 5, 6]), "stacked": nn.Linear(1, 1)})
    again.load_state_dict(within.state_dict())
    assert torch.equal(again["model"](X), replicas(X))


def test_tied_parameters_stay_tied() -> None:
    replicas = Replicas(Tied, [0, 1])
    assert replicas.flat().shape == (2, 9 + 3 + 3)
    replicas.set_flat(replicas.flat() * 2)
    for one, outputs in zip(replicas, replicas(X), strict=True):
        assert one.decoder.weight is one.encoder.weight
        assert_close(one(X), outputs)


def stepped(replicas: Any, target: Any) -> Any:
    """One replica after some training steps."""
    step = Step(replicas.one(), lambda output, wanted: (output - wanted).square().mean(1), (), (), True)
    flat = replicas.flat()[0]
    state = flat, torch.zeros_like(flat), torch.zeros_like(flat)
    for moves in controls(np.arange(5), np.full(5, 0.1), np.empty((5, 0))):
        state = step(*state, X, target, moves)
    replicas.set_flat(state[0].unsqueeze(0))
    return replicas[0]


@pytest.mark.parametrize("make", [Tied, Frozen])
def test_a_step_of_tied_and_of_frozen_parameters_is_that_of_ordinary_pytorch(make: Any) -> None:
    replicas, target = Replicas(make, [3]), torch.zeros(6, 3)
    twin = replicas[0].train()
    adam = torch.optim.Adam([p for p in twin.parameters() if p.requires_grad], lr=0.1)
    before = copy.deepcopy(twin.state_dict())
    for _ in range(5):
        adam.zero_grad()
        (twin(X) - target).square().mean().backward()
        adam.step()
    ours = stepped(replicas, target)
    changed = {name for name, p in ours.state_dict().items() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if not name.startswith("given")}
    for a, b in zip(ours.parameters(), twin.parameters(), strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seeds", [[0, 1], [0]])
def test_buffers_that_differ_are_refused(seeds: Any) -> None:
    with pytest.raises(ValueError, match="buffer frequencies: found replicas that differ in it"):
        Replicas(Noisy, seeds)
    assert len(Replicas(Plain, seeds)) == len(seeds)


def by_numbers(one: Any) -> Any:
    return {"sum": one(X).sum().item(), "rows": one(X).numpy().sum(0)}


def by_branches(one: Any) -> Any:
    return one(X).sum() if one(X).sum() > 0 else one(X).sum() * 2


FUNCTIONS = [
    lambda one: one(X),
    lambda one: {"mean": one(X).mean(), "both": (one(X).amax(), one(X).amin())},
    lambda one: torch.ones(2),
    lambda one: one[0].weight.norm(),
    by_numbers,
    by_branches,
    lambda one: np.linalg.norm(one[0].weight),
]


def leaves(value: Any) -> Any:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else [torch.as_tensor(value)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_mapped_as_if_called_for_one_after_another(function: Any) -> None:
    replicas = Replicas(mlp, range(4))
    with torch.no_grad():
        mapped = leaves(replicas.map(function))
        for r, one in enumerate(replicas):
            for whole, single in zip(mapped, leaves(function(one.requires_grad_(False))), strict=True):
                assert_close(whole[r], single, check_dtype=False)


@pytest.mark.parametrize(("function", "calls"), [(lambda one: one(X), 1), (lambda one: one(X).sum().item(), 1 + 4)])
def test_what_can_be_is_vectorised(function: Any, calls: Any) -> None:
    seen = []
    Replicas(mlp, range(4)).map(lambda one: seen.append(one) or function(one))  # type: ignore[func-returns-value]
    assert len(seen) == calls


def test_an_error_in_a_function_is_its_own() -> None:
    with pytest.raises(KeyError, match="nowhere") as error:
        Replicas(mlp, range(2)).map(lambda one: {}["nowhere"])
    assert error.value.__context__ is None


def test_mapping_has_gradients_where_it_is_vectorised() -> None:
    replicas = Replicas(mlp, range(2))
    replicas.map(lambda one: one(X).square().sum()).sum().backward()
    for r, one in enumerate(replicas):
        one(X).square().sum().backward()
        assert_close(replicas.stacked[0].weight.grad[r], one[0].weight.grad)


def test_replicas_of_models_that_are_there() -> None:
    models = [initialised(mlp, seed) for seed in (5, 6)]
    replicas = Replicas.of(models)
    assert torch.equal(replicas.flat(), Replicas(mlp, [5, 6]).flat())
    with torch.no_grad():
        models[0][0].weight.zero_()  # which were copied
    assert torch.equal(replicas.flat(), Replicas(mlp, [5, 6]).flat())


def test_a_copy_is_a_copy() -> None:
    replicas = Replicas(Tied, [0, 1])
    other = copy.deepcopy(replicas)
    other.set_flat(torch.zeros_like(other.flat()))
    assert replicas.flat().abs().sum() > 0
    assert other(X).abs().sum() == 0
    assert set(other.state_dict()) == set(replicas.state_dict())
    other.load_state_dict(replicas.state_dict())
    assert torch.equal(other(X), replicas(X))


def test_replicas_are_evaluated_whatever_lightning_says_and_one_is_for_training() -> None:
    class Clamped(nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) if self.training else super().forward(x) * 0

    replicas = Replicas(lambda: Clamped(3, 2), [0, 1]).train()
    assert replicas(X).abs().sum() == 0
    assert replicas[0](X).abs().sum() == 0
    assert replicas.one()(X).abs().sum() > 0


def test_initialisation_is_the_seeds_and_touches_nothing_global() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = Replicas(mlp, [1, 2])
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.flat()[1], Replicas(mlp, [2]).flat()[0])
    assert not torch.equal(first.flat()[0], first.flat()[1])


def test_finite_says_which_replicas_are() -> None:
    replicas = Replicas(mlp, range(3))
    with torch.no_grad():
        replicas.stacked[2].bias[1, 0] = torch.inf
    assert replicas.finite().tolist() == [True, False, True]


def test_a_model_may_have_parameters_of_any_shape() -> None:
    replicas = Replicas(Plain, [0, 1, 2])
    assert replicas.flat().shape == (3, 1 + 12 + 4)
    again = Replicas(Plain, [3, 4, 5])
    again.set_flat(replicas.flat())
    assert all(torch.equal(a, b) for a, b in zip(replicas.parameters(), again.parameters(), strict=True))
    with torch.no_grad():
        again.stacked.scale[1] = torch.nan
    assert again.finite().tolist() == [True, False, True]
