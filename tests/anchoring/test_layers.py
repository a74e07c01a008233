"""Layers are read and edited by hooks, which are removed afterwards."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from anchoring.layers import Edited, activations, widths

X = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))


class Model(nn.Module):
    """A nested model. One of its layers is called twice, one has two names, and one returns no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
        self.middle = nn.Linear(4, 4)
        self.again = self.middle
        self.pair = Pair()

    def forward(self, x: Any) -> Any:
        a, b = self.pair(self.middle(self.middle(self.encoder(x))))
        return a + b


class Pair(nn.Module):
    def forward(self, z: Any) -> Any:
        return z, z * 2


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return Model().requires_grad_(False)


def hooks(model: Any) -> Any:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_layers_are_submodules_by_their_names(model: Any) -> None:
    seen = activations(model, X)
    assert set(seen) == {"input", "encoder", "encoder.0", "encoder.1", "middle", "output"}
    assert torch.equal(seen["input"], X)
    assert torch.equal(seen["output"], model(X))
    assert torch.equal(seen["encoder.0"], model.encoder[0](X))
    assert torch.equal(seen["encoder"], seen["encoder.1"])
    assert torch.equal(seen["middle"], model.middle(model.middle(seen["encoder"])))  # the last call's
    assert widths(model, X) == {"input": 3, "encoder": 4, "encoder.0": 4, "encoder.1": 4, "middle": 4, "output": 4}
    assert hooks(model) == 0


@pytest.mark.parametrize("layer", ["input", "encoder.0", "encoder", "output"])
def test_edits_propagate(model: Any, layer: Any) -> None:
    by_hand = {
        "input": lambda f: model(f(X)),
        "encoder.0": lambda f: run(model, f(model.encoder[0](X)).tanh()),
        "encoder": lambda f: run(model, f(model.encoder(X))),
        "output": lambda f: f(model(X)),
    }

    def edit(z: Any) -> Any:
        return z * 3 - 1

    edited = Edited(model, {layer: edit})
    assert_close(edited(X), by_hand[layer](edit))
    assert not torch.allclose(edited(X), model(X), atol=1e-3)
    assert_close(edited.activations(X)[layer], edit(activations(model, X)[layer]))
    assert hooks(model) == 0
    assert torch.equal(Edited(model)(X), model(X))


def run(model: Any, z: Any) -> Any:
    a, b = model.pair(model.middle(model.middle(z)))
    return a + b


def test_edits_of_two_layers_are_made_in_order(model: Any) -> None:
    edited = Edited(model, {"encoder": lambda z: z + 1, "encoder.1": lambda z: z * 2})
    assert_close(edited.activations(X)["encoder"], model.encoder(X) * 2 + 1)


def test_hooks_are_removed_after_an_error(model: Any) -> None:
    def broken(z: Any) -> None:
        raise ArithmeticError("in the middle")

    with pytest.raises(ArithmeticError):
        activations(model, X, {"encoder": broken})  # type: ignore[dict-item]
    with pytest.raises(RuntimeError):
        activations(model, torch.rand(5, 7))
    assert hooks(model) == 0


@pytest.mark.parametrize("layer", ["decoder", "again", "pair"])
def test_an_unknown_layer_names_the_known_ones(model: Any, layer: Any) -> None:
    """A layer with two names is known by the first. A module that returns no tensor is not a layer."""
    known = "input, encoder.0, encoder.1, encoder, middle, output"
    with pytest.raises(ValueError, match=f"layer: found '{layer}', expected one of {known}"):
        activations(model, X, {layer: lambda z: z})


@pytest.mark.parametrize("name", ["input", "output"])
def test_input_and_output_are_the_models_own(name: Any) -> None:
    model = nn.Sequential()
    model.add_module(name, nn.Linear(3, 3))
    with pytest.raises(ValueError, match=f"found a submodule named '{name}', expected another name"):
        activations(model, X)
    assert hooks(model) == 0
