"""What each replica is given: streams of random numbers that are its seed's own, samples and labels."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anchoring.data import Data
from anchoring.labels import Label
from anchoring.native import compiler
from anchoring.replicas import Draws
from anchoring.sampling import Sampler
from excolor import colors
from excolor.setting import data_of


def drawn(data: Data, labels: Any, seeds: list[int], size: int, *steps: int, compiled: bool = False) -> Any:
    """Batches of these many steps."""
    draws = Draws(data, labels, seeds, size, compiled)
    assert bool(draws._native) == compiled
    return [draws.next(n) for n in steps]


@pytest.mark.parametrize(
    "compiled",
    [False, pytest.param(True, marks=pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler"))],
)
def test_streams_are_the_seeds_own_however_they_are_cut(compiled: bool) -> None:
    data, red = data_of(colors.hsv_cube()), {"red": Label(of="redness")}
    (both,) = drawn(data, red, [1, 2], 9, 11, compiled=compiled)
    cut = drawn(data, red, [2], 9, 3, 8, compiled=compiled)
    for whole, *parts in zip(both, *cut, strict=True):
        assert torch.equal(whole[:, 1], torch.cat(parts)[:, 0])
    assert not torch.equal(both[0][:, 0], both[0][:, 1])


def test_samples_and_coins_have_the_stated_probabilities() -> None:
    cube = colors.rgb_cube(2)
    data = data_of(colors.Cube(cube.colors, torch.tensor([0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])))
    labels = {
        "red": Label(of="redness", scale=0.7),
        "noisy": Label(of="redness", scale=0.7, noise=0.1),
        "soft": Label(of="redness", scale=0.7, noise=0.1, soft=True),
        "inverted": Label(of="redness", scale=0.7, invert=True),
    }
    ((sampled, *tossed),) = drawn(data, labels, [0], 1000, 200)
    found = dict(zip(labels, tossed, strict=True))
    assert (sampled.sum(-1) == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    red, blue = ((sampled == torch.tensor(color)).all(-1) for color in ([1.0, 0, 0], [0.0, 0, 1]))
    assert found["red"][red].mean().item() == pytest.approx(0.7, abs=0.01)
    assert found["red"][blue].mean() == 0
    assert found["inverted"][blue].mean().item() == pytest.approx(0.7, abs=0.01)
    assert found["inverted"][red].mean() == 0
    assert found["noisy"][red].mean().item() == pytest.approx(0.7 * 0.9 + 0.3 * 0.1, abs=0.01)
    assert found["noisy"][blue].mean().item() == pytest.approx(0.1, abs=0.01)
    assert found["soft"][red].unique().tolist() == pytest.approx([0.66])
    assert found["red"].unique().tolist() == [0, 1]


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
@given(
    samples=st.integers(1, 3000),
    shape=st.sampled_from([(), (1,), (3,), (2, 5)]),
    targets=st.booleans(),
    tokens=st.booleans(),
    weighted=st.booleans(),
    labels=st.integers(0, 3),
    batch=st.integers(1, 9),
    seed=st.integers(0, 2**31),
)
def test_native_code_draws_the_same_samples_and_labels(
    samples: int, shape: Any, targets: bool, tokens: bool, weighted: bool, labels: int, batch: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    inputs = torch.rand(samples, *shape, generator=random)
    data = Data(
        (inputs * 1000).long() if tokens else inputs,
        attributes={"much": torch.rand(samples, generator=random)},
        weights=torch.rand(samples, generator=random) ** 8 + 1e-9 if weighted else None,
        targets=torch.rand(samples, 2, generator=random) if targets else None,
    )
    given = {f"label {i}": Label(of="much", scale=0.5, soft=i == 1) for i in range(labels)}
    cuts = [seed, seed + 1], batch, 5, 2
    for ours, theirs in zip(drawn(data, given, *cuts, compiled=True), drawn(data, given, *cuts), strict=True):
        for part, expected in zip(ours, theirs, strict=True):
            assert torch.equal(part, expected)


def test_a_lookup_finds_the_sample_that_the_cumulative_weights_say() -> None:
    weights = torch.rand(500, generator=torch.Generator().manual_seed(0)) ** 8  # some far below a 65,536th
    uniform = torch.from_numpy(np.random.default_rng(0).random(100_000, dtype=np.float32))
    cumulative = (weights.double().cumsum(0) / weights.double().sum()).float()
    expected = torch.searchsorted(cumulative, uniform, right=True).clamp(max=499)
    sampler = Sampler(Data(torch.rand(500, 3), weights=weights), {})
    assert torch.equal(sampler.index(uniform), expected)
    assert torch.equal(Sampler(Data(torch.rand(4, 3)), {}).index(torch.tensor([0, 0.25, 0.5, 0.75])), torch.arange(4))
