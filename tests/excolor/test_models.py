"""The models of the colour experiment are those of the paper."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from anchoring.replicas import Replicas
from excolor.models import ModelConfig
from tests.excolor.twin import torch_twin


def replicas_of(seeds: Any, **config: Any) -> Replicas:
    return Replicas(ModelConfig(**config).make, seeds)


def test_a_replica_is_the_papers_model() -> None:
    model = replicas_of([0, 1, 2])
    assert sum(p[0].numel() for p in model.parameters()) == 263
    x = torch.rand(50, 3)
    for replica in range(3):
        assert_close(model(x)[replica], torch_twin(model, replica)(x), rtol=1e-4, atol=1e-6)


def test_initialisation_is_that_of_torch_linear() -> None:
    weights = replicas_of(range(500)).state_dict()["encoder.2.weight"]
    assert weights.abs().max() <= 0.25  # 1/sqrt(16)
    assert weights.std().item() == pytest.approx(0.5 / 12**0.5, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=2e-3)


def test_normed_bottleneck_is_on_the_sphere_and_outputs_are_colours() -> None:
    model = replicas_of([0, 1], kind="NormedColorMLP", bottleneck=5)
    layers = model.activations(torch.rand(30, 3))
    assert_close(layers["bottleneck"].norm(dim=-1), torch.ones(2, 30), rtol=1e-4, atol=1e-6)
    assert layers["encoder"].shape == (2, 30, 5)
    model.stacked.decoder[2].bias.data += 5
    assert model(torch.rand(10, 3)).max() == 1


def test_depth_and_width_are_the_models() -> None:
    model = ModelConfig(depth=3, hidden=7, bottleneck=5).make()
    shapes = [tuple(p.T.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert shapes == [(3, 7), (7, 7), (7, 7), (7, 5), (5, 7), (7, 7), (7, 7), (7, 3)]
