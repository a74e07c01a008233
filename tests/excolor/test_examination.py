"""Probes, wheel and relearning on models built by hand: in one of them hue is perfectly isolated, in others it is not."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from anchoring.ablation import Ablate, Suppress, prune
from anchoring.probes import probe_r2
from anchoring.relearning import graft, relearning
from anchoring.replicas import Replicas
from excolor import colors
from excolor.examination import circular_correlation, examine, hue_r2, knowledge, probe_gap, wheel
from excolor.experiment import experiment
from excolor.models import ModelConfig


class Given(nn.Module):
    """A layer that computes a given function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def by_hand(latents: Any) -> Any:
    """A stand-in for a replica. Its latents are a given function of the colours."""
    model = nn.Sequential()
    model.add_module("encoder", Given(latents))
    return model


def chroma(rgb: Any) -> Any:
    r, g, b = rgb.unbind(-1)
    return torch.stack([r - (g + b) / 2, math.sqrt(3) / 2 * (g - b)], -1)


def isolated(rgb: Any) -> Any:
    """Hue and vibrancy in dims 0 and 1, as on a wheel, and functions without hue in the others."""
    return torch.cat([chroma(rgb), rgb.amax(-1, keepdim=True), rgb.amin(-1, keepdim=True)], -1)


def elsewhere(rgb: Any) -> Any:
    return isolated(rgb).roll(2, -1)


def everywhere(rgb: Any) -> Any:
    """The same two functions of hue in both pairs of dims."""
    return torch.cat([chroma(rgb), chroma(rgb)], -1)


def nowhere(rgb: Any) -> Any:
    gray = colors.hue_blind(rgb)[..., :1]
    return torch.cat([gray, gray**2, rgb.amax(-1, keepdim=True), rgb.amin(-1, keepdim=True)], -1)


def test_the_probe_finds_hue_where_it_is_and_only_there() -> None:
    models = [by_hand(latents) for latents in (isolated, elsewhere, everywhere, nowhere)]
    gap = [probe_gap(model, "encoder", (0, 1)) for model in models]
    inside, outside = ([hue_r2(model, "encoder", dims) for model in models] for dims in ((0, 1), (2, 3)))
    assert inside[0] > 0.95
    assert outside[0] < 0.05
    assert gap[0] > 0.95
    assert gap[1] < -0.95
    assert gap[2].item() == pytest.approx(0, abs=0.05)
    assert inside[3] < 0.05
    assert gap[3].item() == pytest.approx(0, abs=0.05)


def test_no_dims_have_no_hue() -> None:
    assert hue_r2(by_hand(isolated), "encoder", ()) == 0


def test_a_probe_reads_what_is_a_smooth_function_and_not_noise() -> None:
    z = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(1))
    fitted = torch.arange(4000) % 2 == 0
    assert probe_r2(z, (3 * z[:, :1]).sin() * z[:, 1:], fitted) > 0.99
    assert probe_r2(z, noise, fitted) < 0.1
    half = probe_r2(z, z[:, :1] + noise * z[:, :1].std(), fitted)  # as much signal as noise
    assert half.item() == pytest.approx(0.5, abs=0.15)


def turned(by: Any, times: Any = 1) -> Any:
    def latents(rgb: Any) -> Any:
        hue = torch.atan2(chroma(rgb)[..., 1], chroma(rgb)[..., 0]) * times + by
        return torch.stack([hue.cos(), hue.sin(), 0 * hue, 0 * hue], -1)

    return latents


def line(rgb: Any) -> Any:
    return chroma(rgb)[..., :1] * torch.tensor([1.0, 0.5, 0, 0]) + torch.tensor([5.0, 1, 0, 0])


def test_the_wheel_is_found_however_it_is_turned_and_mirrored() -> None:
    models = map(by_hand, (turned(0), turned(2), turned(1, -1), turned(0, 2), line))
    correlation, winding = zip(*(wheel(model, "encoder", (0, 1)) for model in models), strict=True)
    assert [float(c) for c in correlation[:3]] == pytest.approx([1, 1, 1], abs=0.01)
    assert [float(w) for w in winding] == [1, 1, -1, 2, 0]
    assert correlation[3] < 0.05
    assert correlation[4] < 0.5


def test_circular_correlation_is_the_sum_over_pairs() -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 2 * np.pi, 40)
    b = a + rng.normal(0, 0.7, 40)
    sa, sb = np.sin(a[:, None] - a), np.sin(b[:, None] - b)
    expected = (sa * sb).sum() / np.sqrt((sa**2).sum() * (sb**2).sum())
    assert circular_correlation(torch.tensor(a), torch.tensor(b)).item() == pytest.approx(expected)
    constant = torch.full((40,), 2.3, dtype=torch.float64)
    assert circular_correlation(constant, torch.tensor(b)).item() == pytest.approx(0, abs=1e-6)


def trained_to(seeds: Any, target: Any, dims: Any = (), steps: Any = 300) -> Any:
    """Replicas trained to answer each colour with a target while some dims are 0."""
    model = Replicas(ModelConfig(bottleneck=6).make, seeds)
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    x = colors.rgb_cube(8).colors
    kept = torch.tensor([float(dim not in dims) for dim in range(6)])
    for _ in range(steps):
        outputs = model.edited(lambda one: {"encoder": lambda z: z * kept})(x)
        optimizer.zero_grad()
        (outputs - target(x)).square().mean((1, 2)).sum().backward()
        optimizer.step()
    return model


def relearned(model: Any, setting: Any, seeds: Any, **named: Any) -> Any:
    return relearning(experiment, model, setting, seeds, lambda one: knowledge(one, setting.concept), **named)


def test_relearning_tells_hue_that_was_kept_from_hue_that_was_taken(subspace_ablation: Any) -> None:
    """Three kinds of replicas: the other dims hold hue too, the other dims answer gray, or they know nothing."""
    setting = subspace_ablation.model_copy(update={"model": ModelConfig(bottleneck=6)})
    seeds = range(6)
    kept = trained_to(seeds, lambda x: x, dims=(0, 1))
    gray = trained_to(seeds, colors.hue_blind, dims=(0, 1))
    strangers = Replicas(setting.model.make, range(100, 106))
    ratios = [relearned(model, setting, seeds) for model in (kept, gray, strangers)]
    assert ratios[0].median() < 0.2
    assert ratios[1].median() > 2 * ratios[0].median()
    assert ratios[2].log().mean().exp().item() == pytest.approx(1, abs=0.3)


def test_relearning_redraws_what_was_ablated_and_leaves_the_model_alone(subspace_ablation: Any) -> None:
    model = Replicas(subspace_ablation.model.make, range(2))
    first = relearned(model, subspace_ablation, range(2), reach=0.6)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["encoder.2.weight"][:, :2] = 1e6  # new weights replace these
    state["encoder.2.bias"][:, :2] = 1e6
    state["decoder.0.weight"][:, :, :2] = -1e6
    model.load_state_dict(state)
    assert torch.equal(relearned(model, subspace_ablation, range(2), reach=0.6), first)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_a_graft_is_of_the_dims_and_of_nothing_else() -> None:
    one, new = Replicas(ModelConfig().make, range(2))
    grafted = graft(one, new, "encoder", *Ablate(dims=(1,)).edits(one).values())
    for name, tensor in grafted.state_dict().items():
        whole = {"encoder.2.weight": (1,), "encoder.2.bias": (1,), "decoder.0.weight": (slice(None), 1)}.get(name)
        expected = one.state_dict()[name].clone()
        if whole:
            expected[whole] = new.state_dict()[name][whole]
        assert torch.equal(tensor, expected), name


def test_a_graft_keeps_what_an_affine_edit_keeps_and_takes_the_rest_from_new_weights() -> None:
    """An oblique projection along one direction, with a constant, as LEACE fits it."""
    one, new = Replicas(ModelConfig().make, range(2))
    along, read = torch.tensor([1.0, 2.0, 0.0, -1.0]), torch.tensor([0.5, 0.5, 0.0, 0.5])  # read @ along is 1

    def edit(z: torch.Tensor) -> torch.Tensor:
        return z - ((z - 3) @ read).unsqueeze(-1) * along

    grafted = graft(one, new, "encoder", edit)
    hidden = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    before, added, after = (model.encoder[2](hidden) for model in (one, new, grafted))
    taken = (added @ read).unsqueeze(-1) * along
    assert torch.allclose(after, edit(before) + taken, atol=1e-5)
    answers = [model.decoder[0].weight for model in (one, new, grafted)]
    assert torch.allclose(answers[2] @ along, answers[1] @ along, atol=1e-6)
    untouched = torch.tensor([0.0, 0.0, 1.0, 0.0])
    assert torch.allclose(answers[2] @ untouched, answers[0] @ untouched, atol=1e-6)


def test_relearning_knows_no_graft_of_an_edit_that_is_not_affine(subspace_ablation: Any) -> None:
    model = Replicas(subspace_ablation.model.make, range(1))
    with pytest.raises(ValueError, match="encoder that is not affine"):
        relearned(model, subspace_ablation, range(1), edits=lambda one: {"encoder": torch.tanh})
    with pytest.raises(ValueError, match="edits of encoder, decoder, expected those of one layer"):
        relearned(
            model, subspace_ablation, range(1), edits=lambda one: dict.fromkeys(("encoder", "decoder"), torch.abs)
        )


def test_relearning_of_the_diverged_is_nothing_and_of_the_pruned_an_error(subspace_ablation: Any) -> None:
    model = Replicas(subspace_ablation.model.make, range(2))
    with torch.no_grad():
        model.stacked.encoder[0].weight[1] = torch.nan
    assert relearned(model, subspace_ablation, range(2), reach=0.3).isnan().tolist() == [False, True]
    pruned = Replicas.of([prune(one, "encoder", (0, 1)) for one in model])
    with pytest.raises(ValueError, match="relearning: found a model"):
        relearned(pruned, subspace_ablation, range(2))


def test_what_is_not_about_dims_that_weights_write_is_not_examined(
    subspace_ablation: Any,
) -> None:
    for ablation in (Suppress(direction=(1, 0, 0, 0)), Suppress(layer="decoder.0", dims=(3,))):
        setting = subspace_ablation.model_copy(update={"ablation": ablation})
        assert examine(experiment, experiment.model(setting, [0]), setting, [0]) == {}


def test_a_closer_look_measures_every_replica(subspace_ablation: Any) -> None:
    model = experiment.model(subspace_ablation, [0, 1])
    measured = experiment.examine(model, subspace_ablation, [0, 1])
    declared = {name for name, metric in experiment.metrics(subspace_ablation).items() if metric.examined}
    assert set(measured) == {"probe_gap", "relearning", "wheel", "winding"} == declared
    assert all(metric.shape == (2,) and metric.isfinite().all() for metric in measured.values())
    assert measured["probe_gap"][1].item() == pytest.approx(probe_gap(model[1], "encoder", (0, 1)).item(), abs=1e-4)


def test_of_what_leace_erased_relearning_is_measured(load: Any, spaces: Path) -> None:
    setting = load(spaces / "unregularized.toml")
    measured = experiment.examine(experiment.model(setting, [0]), setting, [0])
    assert set(measured) == {"relearning"}
    assert measured["relearning"].isfinite().all()


def test_of_red_relearning_is_measured(load: Any, spaces: Path) -> None:
    setting = load(spaces / "subspace-ablation-red.toml")
    assert set(experiment.examine(experiment.model(setting, [0]), setting, [0])) == {"relearning"}
