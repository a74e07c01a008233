"""What each replica is given: streams of random numbers that are its seed's own, samples and labels."""

import numpy as np
import pytest
import torch

from anchoring.data import Data
from anchoring.labels import Label
from anchoring.replicas import Draws
from anchoring.sampling import Sampler, Stream
from excolor import colors
from excolor.setting import data_of


def test_streams_are_the_seeds_own_however_they_are_cut() -> None:
    data, red = data_of(colors.hsv_cube()), {"red": Label(of="redness")}
    samples, labels = Draws(data, red, [1, 2], 8).next(10)
    stream = Stream(Sampler(data, red), red, 2, 8)
    parts = [stream.draw(3), stream.draw(7)]
    assert torch.equal(samples[:, 1], data.inputs[torch.cat([index for index, _ in parts])])
    assert torch.equal(labels[:, 1], torch.cat([label for _, (label,) in parts]))
    assert not torch.equal(samples[:, 0], samples[:, 1])


def test_samples_and_coins_have_the_stated_probabilities() -> None:
    cube = colors.rgb_cube(2)
    data = data_of(colors.Cube(cube.colors, torch.tensor([0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])))
    labels = {
        "red": Label(of="redness", scale=0.7),
        "noisy": Label(of="redness", scale=0.7, noise=0.1),
        "soft": Label(of="redness", scale=0.7, noise=0.1, soft=True),
    }
    index, drawn = Stream(Sampler(data, labels), labels, 0, 1000).draw(200)
    sampled, found = data.inputs[index], dict(zip(labels, drawn, strict=True))
    assert (sampled.sum(-1) == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    red, blue = ((sampled == torch.tensor(color)).all(-1) for color in ([1.0, 0, 0], [0.0, 0, 1]))
    assert found["red"][red].mean().item() == pytest.approx(0.7, abs=0.01)
    assert found["red"][blue].mean() == 0
    assert found["noisy"][red].mean().item() == pytest.approx(0.7 * 0.9 + 0.3 * 0.1, abs=0.01)
    assert found["noisy"][blue].mean().item() == pytest.approx(0.1, abs=0.01)
    assert found["soft"][red].unique().tolist() == pytest.approx([0.66])
    assert found["red"].unique().tolist() == [0, 1]


def test_a_lookup_finds_the_sample_that_the_cumulative_weights_say() -> None:
    weights = torch.rand(500, generator=torch.Generator().manual_seed(0)) ** 8  # some far below a 65,536th
    uniform = torch.from_numpy(np.random.default_rng(0).random(100_000, dtype=np.float32))
    cumulative = (weights.double().cumsum(0) / weights.double().sum()).float()
    expected = torch.searchsorted(cumulative, uniform, right=True).clamp(max=499)
    sampler = Sampler(Data(torch.rand(500, 3), weights=weights), {})
    assert torch.equal(sampler.index(uniform), expected)
    assert torch.equal(Sampler(Data(torch.rand(4, 3)), {}).index(torch.tensor([0, 0.25, 0.5, 0.75])), torch.arange(4))
