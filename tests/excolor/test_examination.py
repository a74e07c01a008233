"""Probes, wheel and relearning, on models built by hand: one whose hue is perfectly isolated, and others where it is not."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import anchoring
from anchoring.ablation import prune
from anchoring.probes import circular_correlation, hue_r2, probe_gap, wheel
from anchoring.relearning import relearning
from excolor import colors
from excolor.examination import examine
from excolor.models import ColorMLP, ModelConfig


class ByHand(nn.Module):
    """A stand-in for replicas, whose latents are given functions of the colours."""

    def __init__(self, *latents):
        super().__init__()
        self.config = ModelConfig()
        self.replicas = len(latents)
        self.latents = latents

    def activations(self, x):
        return {"encoder": torch.stack([latents(rgb) for latents, rgb in zip(self.latents, x, strict=True)])}


def chroma(rgb):
    r, g, b = rgb.unbind(-1)
    return torch.stack([r - (g + b) / 2, math.sqrt(3) / 2 * (g - b)], -1)


def isolated(rgb):
    """Hue and vibrancy in dims 0 and 1, as on a wheel; what is without hue in the others."""
    return torch.cat([chroma(rgb), rgb.amax(-1, keepdim=True), rgb.amin(-1, keepdim=True)], -1)


def elsewhere(rgb):
    return isolated(rgb).roll(2, -1)


def everywhere(rgb):
    """The same two functions of hue in both pairs of dims."""
    return torch.cat([chroma(rgb), chroma(rgb)], -1)


def nowhere(rgb):
    gray = colors.hue_blind(rgb)[..., :1]
    return torch.cat([gray, gray**2, rgb.amax(-1, keepdim=True), rgb.amin(-1, keepdim=True)], -1)


def test_the_probe_finds_hue_where_it_is_and_only_there():
    model = ByHand(isolated, elsewhere, everywhere, nowhere)
    gap, inside, outside = probe_gap(model, "encoder", (0, 1)), *(hue_r2(model, "encoder", d) for d in ((0, 1), (2, 3)))
    assert inside[0] > 0.95
    assert outside[0] < 0.05
    assert gap[0] > 0.95
    assert gap[1] < -0.95
    assert gap[2].item() == pytest.approx(0, abs=0.05)
    assert inside[3] < 0.05
    assert gap[3].item() == pytest.approx(0, abs=0.05)


def test_no_dims_have_no_hue():
    assert hue_r2(ByHand(isolated), "encoder", ()).tolist() == [0]


def turned(by, times=1):
    def latents(rgb):
        hue = torch.atan2(chroma(rgb)[..., 1], chroma(rgb)[..., 0]) * times + by
        return torch.stack([hue.cos(), hue.sin(), 0 * hue, 0 * hue], -1)

    return latents


def line(rgb):
    return chroma(rgb)[..., :1] * torch.tensor([1.0, 0.5, 0, 0]) + torch.tensor([5.0, 1, 0, 0])


def test_the_wheel_is_found_however_it_is_turned_and_mirrored():
    correlation, winding = wheel(ByHand(turned(0), turned(2), turned(1, -1), turned(0, 2), line), "encoder", (0, 1))
    assert correlation[:3].tolist() == pytest.approx([1, 1, 1], abs=0.01)
    assert winding.tolist() == [1, 1, -1, 2, 0]
    assert correlation[3] < 0.05
    assert correlation[4] < 0.5


def test_circular_correlation_is_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 2 * np.pi, 40)
    b = a + rng.normal(0, 0.7, 40)
    sa, sb = np.sin(a[:, None] - a), np.sin(b[:, None] - b)
    expected = (sa * sb).sum() / np.sqrt((sa**2).sum() * (sb**2).sum())
    assert circular_correlation(torch.tensor(a), torch.tensor(b)).item() == pytest.approx(expected)
    constant = torch.full((40,), 2.3, dtype=torch.float64)
    assert circular_correlation(constant, torch.tensor(b)).item() == pytest.approx(0, abs=1e-6)


def trained_to(model, target, dims=(), steps=600):
    """Train replicas to answer a target of each colour, with some dims empty."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x = colors.rgb_cube(8).colors.expand(model.replicas, -1, 3)
    for _ in range(steps):
        z = model.encoder(x).clone()
        z[..., list(dims)] = 0
        optimizer.zero_grad()
        (model.decode(z) - target(x)).square().mean((1, 2)).sum().backward()
        optimizer.step()
    return model


def test_relearning_tells_hue_that_was_kept_from_hue_that_was_taken(spaces):
    """By hand: replicas whose other dims hold hue too, ones whose other dims answer gray, and ones that know nothing."""
    setting = anchoring.load(spaces / "seed.toml")
    setting = setting.model_copy(update={"model": ModelConfig(bottleneck=6)})
    seeds = range(12)
    kept = trained_to(ColorMLP(setting.model, seeds), lambda x: x, dims=(0, 1))
    gray = trained_to(ColorMLP(setting.model, seeds), colors.hue_blind, dims=(0, 1))
    strangers = ColorMLP(setting.model, range(100, 112))
    ratios = [relearning(model, setting, seeds) for model in (kept, gray, strangers)]
    assert ratios[0].median() < 0.2
    assert ratios[1].median() > 2 * ratios[0].median()
    assert ratios[2].log().mean().exp().item() == pytest.approx(1, abs=0.3)


def test_relearning_redraws_what_was_ablated_and_leaves_the_model_alone(spaces):
    setting = anchoring.load(spaces / "seed.toml")
    model = ColorMLP(setting.model, range(2))
    before = [p.clone() for p in model.parameters()]
    model.requires_grad_(False)
    with torch.no_grad():
        first = relearning(model, setting, range(2))
        model.encoder.last.weight[:, :, :2] = 1e6  # never seen
        model.decoder.first.weight[:, :2] = -1e6
        assert torch.equal(relearning(model, setting, range(2)), first)
    assert torch.equal(model.encoder.first.weight, before[0])


def test_relearning_of_the_diverged_is_nothing_and_of_the_pruned_an_error(spaces):
    setting = anchoring.load(spaces / "seed.toml")
    model = ColorMLP(setting.model, range(2))
    with torch.no_grad():
        model.encoder.first.weight[1] = torch.nan
    assert relearning(model, setting, range(2)).isnan().tolist() == [False, True]
    with pytest.raises(ValueError, match="relearning: found a model"):
        relearning(prune(model, (0, 1)), setting, range(2))


def test_what_is_not_about_dims_is_not_examined(spaces):
    setting = anchoring.load(spaces / "unregularized.toml")
    assert examine(ColorMLP(setting.model, [0]), setting, [0]) == {}


def test_a_closer_look_measures_every_replica(spaces):
    setting = anchoring.load(spaces / "seed.toml")
    measured = examine(ColorMLP(setting.model, [0, 1]), setting, [0, 1])
    assert set(measured) == {"probe_gap", "relearning", "wheel", "winding"}
    assert all(metric.shape == (2,) and metric.isfinite().all() for metric in measured.values())


def test_of_red_relearning_is_measured(spaces):
    setting = anchoring.load(spaces / "seed-red.toml")
    assert set(examine(ColorMLP(setting.model, [0]), setting, [0])) == {"relearning"}
