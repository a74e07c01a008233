"""Probes, wheel and relearning, on models built by hand: one whose hue is perfectly isolated, and others where it is not."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import excolor
from excolor import colors
from excolor.examination import examine
from excolor.models import ColorMLP, ModelConfig
from excolor.probes import circular_correlation, hue_r2, probe_gap, wheel
from excolor.relearning import relearning, steps_to


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
    assert stats.circmean(a) > 0  # the angles are no special case


def test_relearning_is_one_for_models_that_never_knew(spaces):
    setting = excolor.load(spaces / "seed.toml")
    seeds = range(24)
    strangers = ColorMLP(setting.model, range(100, 124))
    assert relearning(strangers, setting, seeds).log().mean().exp().item() == pytest.approx(1, abs=0.25)


def test_relearning_is_fast_where_hue_was_left(spaces):
    """The control: hue is in dims 2 and 3, too, so that pruning 0 and 1 takes little away."""
    setting = excolor.load(spaces / "seed.toml")
    plain = setting.model_copy(update={"regularizers": {}})
    seeds = range(8)
    model = ColorMLP(setting.model, seeds)
    steps_to(model, plain, seeds, reach=0.99, limit=1500, lr=0.01)
    with torch.no_grad():  # as if the other dims held all of it
        model.decoder.first.weight[:, :2] *= 0.01
    steps_to(model, plain, seeds, reach=0.99, limit=1500, lr=0.01)
    assert relearning(model, setting, seeds).median() < 0.7


def test_a_closer_look_measures_every_replica(spaces):
    setting = excolor.load(spaces / "seed.toml")
    measured = examine(ColorMLP(setting.model, [0, 1]), setting, [0, 1])
    assert set(measured) == {"probe_gap", "relearning", "wheel", "winding"}
    assert all(metric.shape == (2,) and metric.isfinite().all() for metric in measured.values())
