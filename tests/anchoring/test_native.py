"""Native steps compute PyTorch's numbers for any model and loss with known operators, one replica at a time."""

import math
from itertools import pairwise
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from anchoring import native
from tests.anchoring.steps import Normalised, check, compiled, eagerly, training_step

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not native.compiler(), reason="there is no C++ compiler"),
    pytest.mark.usefixtures("session_cache"),
]


ACTIVATIONS = [nn.GELU, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.Softplus, lambda: nn.GELU("tanh"), nn.ELU]


@st.composite
def trainings(draw: Any) -> Any:
    """A small model, its loss and the batch's size."""
    widths = [3, *draw(st.lists(st.integers(1, 20), max_size=3)), 3]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers.append(nn.Linear(before, after, bias=draw(st.booleans())))
        kind = draw(st.sampled_from(["nothing", "activation", "normalised", "layer norm"]))
        if kind == "activation":
            layers.append(draw(st.sampled_from(ACTIVATIONS))())
        elif kind == "normalised" and after > 1:
            layers.append(Normalised())
        elif kind == "layer norm" and after > 1:
            layers.append(nn.LayerNorm(after))
    return nn.Sequential(*layers), draw(st.sampled_from([1, 2, 5, 16, 17, 33, 64]))


@hypothesis.settings(max_examples=5, deadline=None, derandomize=True)
@hypothesis.given(trainings())
def test_trainings_of_small_models_are_as_close_to_double_precision_as_pytorch(case: Any) -> None:
    model, size = case
    torch.manual_seed(0)

    def loss(y: Any, x: Any, weights: Any, controls: Any) -> Any:
        cosines = F.cosine_similarity(y[:, None], x[None] + 0.1, dim=-1)
        return (weights * (y - x).square().mean(-1)).sum() + controls[1] * cosines.clamp(min=0).pow(3).mean()

    step, p = training_step(model, loss)
    state = [p + 0.1 * torch.randn(3, len(p)), torch.zeros(3, len(p)), torch.zeros(3, len(p))]
    batch = [torch.rand(2, 3, size, 3), (torch.rand(2, 3, size) < 0.5).float()]
    check(step, state, batch, torch.tensor([[0.01, 0.1], [0.02, 0.3]]))


@pytest.fixture(scope="module")
def training() -> Any:
    """A step of a small model, with two sets of sample weights and a batch of odd size."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 3), Normalised())

    def loss(y: Any, x: Any, weights: Any, controls: Any) -> Any:
        return (weights.clamp(0, 1) * (y - x).square().mean(-1)).sum() / (weights.sum() + 1) + controls[1] * y.pow(
            4
        ).sum()

    step, p = training_step(model, loss)
    state = [p + 0.1 * torch.randn(4, len(p)), torch.zeros(4, len(p)), torch.zeros(4, len(p))]
    batch = [torch.rand(6, 4, 21, 3), torch.rand(6, 4, 21)]
    controls = torch.tensor([[0.01, 0.1]] * 6)
    return step, compiled(step, state, batch, controls), state, batch, controls


def same(found: Any, expected: Any) -> None:
    assert all(torch.equal(a.nan_to_num(7), b.nan_to_num(7)) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(found, expected, strict=True))


def test_a_replica_alone_is_the_same_to_the_last_bit(training: Any) -> None:
    _, run, state, batch, controls = training
    together = run(state, batch, controls)
    for r in range(4):
        alone = run([t[r : r + 1] for t in state], [t[:, r : r + 1] for t in batch], controls)
        same(alone, [t[r : r + 1] for t in together])


def test_steps_may_be_taken_in_pieces_and_taking_none_changes_nothing(training: Any) -> None:
    _, run, state, batch, controls = training
    now = state
    for start, end in [(0, 1), (1, 4), (4, 4), (4, 6)]:
        now = run(now, [t[start:end] for t in batch], controls[start:end])
    same(now, run(state, batch, controls))
    same(run(state, [t[:0] for t in batch], controls[:0]), state)


def test_strides_of_arguments_change_nothing(training: Any) -> None:
    _, run, state, batch, controls = training
    x, weights = batch
    by_channel = torch.stack(list(x.unbind(-1)), 2).mT
    assert by_channel.stride(-2) == 1
    expected = run(state, batch, controls)
    same(run(state, [by_channel, weights], controls), expected)
    same(run(state, [x, weights.transpose(0, 2).contiguous().transpose(0, 2)], controls), expected)
    same(run([t.T.contiguous().T for t in state], batch, controls.T.contiguous().T), expected)
    one = x[:, :1].expand_as(x), weights[:, :1].expand_as(weights)
    same(run(state, one, controls), run(state, [t.contiguous() for t in one], controls))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_replica_that_diverges_stays_so_and_alone(training: Any, bad: Any) -> None:
    step, run, state, batch, controls = training
    well = run(state, batch, controls)
    p = state[0].clone()
    p[2, 4] = bad
    ill = run([p, *state[1:]], batch, controls)
    others = [0, 1, 3]
    same([t[others] for t in ill], [t[others] for t in well])
    assert ill[0][2].isnan().all()
    eager = eagerly(step, [p, *state[1:]], batch, controls, torch.float32)
    assert all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(ill, eager, strict=True))


def test_other_shapes_are_refused(training: Any) -> None:
    _, run, state, batch, controls = training
    with pytest.raises(ValueError, match="native step: found tensors"):
        run(state, [batch[0][:, :, :20], batch[1]], controls)
    with pytest.raises(ValueError, match="native step: found tensors"):
        run(state, [batch[0].double(), batch[1]], controls)
