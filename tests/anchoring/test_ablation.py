"""Each kind of ablation, on real models, does to each activation what it should."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.testing import assert_close

from anchoring.ablation import ABLATIONS, Ablate, Leace, Prune, Repel, Suppress, around, prune
from anchoring.alignment import Bend, alignment, falloff, repel, suppress
from anchoring.erasure import Target
from anchoring.errors import InputError
from anchoring.layers import Edited, activations
from anchoring.replicas import Replicas, initialised
from anchoring.setting import Setting
from excolor import colors
from excolor.examination import hue_target
from excolor.models import ModelConfig
from tests.anchoring.blobs import DOCUMENT, blobs

X = colors.rgb_centres(6)
PLANE = torch.eye(4, dtype=torch.float64)[:2]


def model_of(kind: Any = "ColorMLP", **config: Any) -> Any:
    """A model whose activations are far from 0, like a trained one's."""
    model = initialised(ModelConfig(kind=kind, **config).make, 0).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(3)
    return model


def removed(ablation: Any, model: Any) -> Any:
    """A model with an ablation's edits."""
    return Edited(model, ablation.edits(model, hue_target()))


def latents(seed: Any, width: Any = 4, count: Any = 50) -> Any:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["ColorMLP", "NormedColorMLP"])
@pytest.mark.parametrize("config", [{}, {"bottleneck": 6, "hidden": 8, "depth": 3}])
@pytest.mark.parametrize("dims", [(0, 1), (2,), (1, 3)])
def test_pruned_is_ablated_but_smaller(kind: Any, config: Any, dims: Any) -> None:
    model = model_of(kind, **config)
    ablated, pruned = Ablate(dims=dims).changed(model), Prune(dims=dims).changed(model)
    assert_close(pruned(X), ablated(X), atol=1e-5, rtol=1e-4)
    for kind_of in (Ablate, Prune):  # edits have the same outputs as the change of weights
        assert_close(removed(kind_of(dims=dims), model)(X), ablated(X), atol=1e-5, rtol=1e-4)
    assert pruned.decoder[0].in_features == model.decoder[0].in_features - len(dims)
    assert activations(pruned, X)["encoder"].shape[-1] == pruned.decoder[0].in_features
    assert sum(p.numel() for p in pruned.parameters()) < sum(p.numel() for p in model.parameters())
    assert not torch.allclose(ablated(X), model(X), atol=1e-3)


def test_ablated_dims_neither_are_written_nor_read() -> None:
    model = model_of()
    ablated = Ablate(dims=(0, 1)).changed(model)
    before, after = activations(model, X)["encoder"], activations(ablated, X)["encoder"]
    assert after[:, :2].abs().max() == 0
    assert before[:, :2].abs().max() > 0.1  # there was something to take away
    assert_close(after[:, 2:], before[:, 2:])
    without = before.clone()
    without[:, :2] = 0
    assert_close(ablated(X), torch.sigmoid(model.decoder(without)), rtol=1e-4, atol=1e-6)
    assert ablated.decoder[0].weight[:, :2].abs().max() == 0
    assert not torch.allclose(model(X), ablated(X), atol=1e-3)


@pytest.mark.parametrize("kind", ABLATIONS)
def test_no_ablation_changes_the_model_itself(kind: Any) -> None:
    model = model_of("NormedColorMLP")
    before = model(X)
    after = removed(kind(layer="bottleneck"), model)(X)
    assert after.shape == before.shape
    assert torch.equal(model(X), before)
    assert not torch.allclose(after, before, atol=1e-3)
    if hasattr(kind, "changed"):
        kind(layer="bottleneck").changed(model)
        assert torch.equal(model(X), before)


@pytest.mark.parametrize("kind", ABLATIONS)
def test_replicas_are_ablated_each_by_itself(kind: Any) -> None:
    replicas = Replicas.of([model_of("NormedColorMLP"), initialised(ModelConfig(kind="NormedColorMLP").make, 1).eval()])
    ablation, target = kind(layer="bottleneck"), hue_target()
    together = replicas.edited(lambda one: ablation.edits(one, target))(X)
    for one, outputs in zip(replicas, together, strict=True):
        assert_close(outputs, removed(ablation, one)(X), atol=1e-5, rtol=1e-4)


def test_suppressing_an_axis_zeroes_it_after_the_norm() -> None:
    model = model_of("NormedColorMLP")
    z = activations(model, X)["bottleneck"].clone()
    z[..., :2] = 0
    expected = model.decoder(z).clamp(0, 1)
    assert_close(removed(Suppress(layer="bottleneck"), model)(X), expected, atol=1e-5, rtol=1e-4)
    # which is not ablating, after which the rest is normalised again
    assert not torch.allclose(removed(Ablate(layer="bottleneck"), model)(X), expected, atol=1e-3)


def test_suppression_has_an_amount() -> None:
    model = model_of()
    assert_close(removed(Suppress(amount=0), model)(X), model(X))
    everything = removed(Suppress(amount=1), model)(X)
    assert_close(everything, removed(Ablate(), model)(X), atol=1e-5, rtol=1e-4)


@given(st.floats(0, 1), st.floats(0, 0.9), st.floats(0, 1), st.floats(0, 5))
def test_bounded_falloff_is_its_formula(x: Any, a: Any, b: Any, p: Any) -> None:
    expected = b * ((x - a) / (1 - a)) ** p if x > a else 0
    assert falloff(torch.tensor(x, dtype=torch.float64), a, b, p).item() == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 2**31), st.floats(0, 0.8), st.floats(0.1, 1))
@settings(max_examples=30)
def test_suppression_along_a_direction_is_its_formula(seed: Any, start: Any, amount: Any) -> None:
    z = latents(seed)
    direction = torch.tensor([[0.6, 0.0, 0.8, 0.0]], dtype=torch.float64)
    out = suppress(z, direction, lambda x: falloff(x, start, amount, 2), signed=True)
    for vector, result in zip(z, out, strict=True):
        along = float(vector @ direction[0])
        cosine = along / float(vector.norm())
        gate = amount * ((cosine - start) / (1 - start)) ** 2 if cosine > start else 0
        assert result.tolist() == pytest.approx((vector - gate * along * direction[0]).tolist())


@pytest.mark.parametrize("kind", ["linear", "bezier"])
@given(st.floats(0, 0.9), st.floats(0.05, 1))
def test_mappings_keep_what_is_below_and_bring_the_rest_under_the_end(kind: Any, start: Any, share: Any) -> None:
    end = start + (1 - start) * share
    x = torch.linspace(-1, 1, 201, dtype=torch.float64)
    y = Bend(kind, start, end)(x)
    assert_close(y[x <= start], x[x <= start])
    assert y[-1].item() == pytest.approx(end, abs=1e-6)
    assert (y.diff() >= -1e-9).all()
    assert (y <= torch.maximum(x, torch.tensor(start)) + 1e-9).all()


def test_bezier_leaves_smoothly_and_arrives_flat() -> None:
    x = torch.linspace(0.3, 1, 7001, dtype=torch.float64)
    slope = Bend("bezier", 0.3, 0.6)(x).diff() / x.diff()
    assert slope[0].item() == pytest.approx(1, abs=0.01)
    assert slope[-1].item() == pytest.approx(0, abs=0.05)
    middle = Bend("linear", 0.3, 0.6)(torch.tensor([0.65], dtype=torch.float64))
    assert middle.item() == pytest.approx(0.45)


@pytest.mark.parametrize(
    "basis", [PLANE, torch.tensor([[0.6, 0.0, 0.8, 0.0]], dtype=torch.float64)], ids=["plane", "direction"]
)
@given(st.integers(0, 2**31), st.floats(0, 0.8), st.floats(0.1, 0.9))
@settings(max_examples=30)
def test_repelling_turns_in_the_shared_plane(basis: Any, seed: Any, start: Any, share: Any) -> None:
    z = latents(seed)
    mapping = Bend("linear", start, start + (1 - start) * share)
    signed = len(basis) == 1
    before, out = alignment(z, basis, signed), repel(z, basis, mapping, signed)
    touched = before > start
    assert_close(out.norm(dim=-1), z.norm(dim=-1))
    assert_close(alignment(out, basis, signed), mapping(before), atol=1e-6, rtol=1e-6)
    assert_close(out[~touched], z[~touched])
    # both parts keep their directions
    along, along_after = z @ basis.T @ basis, out @ basis.T @ basis
    across, across_after = z - along, out - along_after
    for a, b in ((along, along_after), (across, across_after)):
        assert (torch.cosine_similarity(a, b, dim=-1)[touched] > 1 - 1e-6).all()


def test_repelling_what_lies_wholly_in_the_subspace_finds_a_way_out() -> None:
    z = torch.tensor([[2.0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)
    out = repel(z, PLANE, Bend("linear", 0, 0.5))
    assert out.isfinite().all()
    assert out[0].norm().item() == pytest.approx(2)
    assert alignment(out, PLANE)[0].item() == pytest.approx(0.5)
    assert out[1].norm() == 0


def bezier(x: Any, a: Any, b: Any) -> Any:
    """The Bezier curve at x, from its control points and a fine table of its parameter."""
    t = np.linspace(0, 1, 200_001)
    near = 0.5**0.5
    points = [(a, a), (a + near * (b - a),) * 2, (1 - near * (1 - b), b), (1, b)]
    weights = [(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3]
    xs, ys = (sum(w * p[k] for w, p in zip(weights, points, strict=True)) for k in (0, 1))
    return np.interp(x, xs, ys)


@given(st.floats(0, 0.9), st.floats(0.05, 1))
@settings(max_examples=20)
def test_the_bezier_mapping_is_that_of_its_control_points(start: Any, share: Any) -> None:
    end = start + (1 - start) * share
    x = np.linspace(start + 1e-6, 1, 50)
    ours = Bend("bezier", start, end)(torch.tensor(x))
    assert ours.numpy() == pytest.approx(bezier(x, start, end), abs=1e-5)


def edited(model: Any, ablation: Any) -> Any:
    """A layer's activations before and after an intervention at run time, as the decoder receives them."""
    return activations(model, X)[ablation.layer], removed(ablation, model).activations(X)[ablation.layer]


def test_a_settings_keys_reach_its_suppression() -> None:
    model = model_of("NormedColorMLP")
    before, after = edited(model, Suppress(layer="bottleneck", dims=(1, 3), start=0.2, amount=0.7, power=2))
    share = before[..., [1, 3]].norm(dim=-1)
    gate = torch.where(share > 0.2, 0.7 * ((share - 0.2) / 0.8).clamp(min=0) ** 2, 0)
    assert_close(after[..., [1, 3]], before[..., [1, 3]] * (1 - gate).unsqueeze(-1), atol=1e-5, rtol=1e-4)
    assert_close(after[..., [0, 2]], before[..., [0, 2]])


def test_one_dim_is_an_axis_with_both_its_ends_and_a_direction_has_one() -> None:
    model = model_of()
    axis, zeroed = removed(Suppress(dims=(0,)), model), removed(Ablate(dims=(0,)), model)
    assert_close(axis(X), zeroed(X), atol=1e-5, rtol=1e-4)
    before, after = edited(model, Suppress(direction=(0, 3, 0, 0)))
    assert (before[..., 1] < 0).any()
    assert (before[..., 1] > 0).any()
    assert_close(after[..., 1], before[..., 1].clamp(max=0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mapping", ["linear", "bezier"])
def test_a_settings_keys_reach_its_repulsion(mapping: Any) -> None:
    model = model_of("NormedColorMLP")
    before, after = edited(model, Repel(layer="bottleneck", dims=(2, 3), start=0.1, end=0.4, mapping=mapping))
    x = before[..., [2, 3]].norm(dim=-1)
    expected = torch.tensor(bezier(x.numpy(), 0.1, 0.4)).float() if mapping == "bezier" else 0.1 + (x - 0.1) * 0.3 / 0.9
    assert_close(after[..., [2, 3]].norm(dim=-1), torch.where(x > 0.1, expected, x), atol=1e-4, rtol=1e-4)


def test_repelling_wholly_leaves_nothing_along_the_dims() -> None:
    before, after = edited(model_of("NormedColorMLP"), Repel(layer="bottleneck"))
    assert before[..., :2].abs().max() > 0.5
    assert after[..., :2].abs().max() < 1e-5
    assert_close(after.norm(dim=-1), before.norm(dim=-1))


def test_leace_leaves_no_linear_trace_of_its_target() -> None:
    model, target = model_of("NormedColorMLP"), hue_target()
    hue = target.values - target.values.mean(0)

    def r2(z: Any) -> Any:
        """R² of a ridge regression, since least squares would fit the residue of rounding."""
        z = z - z.mean(0)
        probe = torch.linalg.solve(z.mT @ z + 1e-3 * len(hue) * torch.eye(4), z.mT @ hue)
        return 1 - (hue - z @ probe).square().sum() / hue.square().sum()

    erased = removed(Leace(layer="bottleneck"), model)
    assert r2(activations(model, target.inputs)["bottleneck"]) > 0.3
    assert r2(erased.activations(target.inputs)["bottleneck"]) < 0.01


def test_leace_of_a_replica_that_is_not_finite_is_nan() -> None:
    broken = model_of()
    broken.encoder[2].bias[1] = torch.nan
    replicas, target = Replicas.of([model_of(), broken, model_of()]), hue_target()
    outputs = replicas.edited(lambda one: Leace().edits(one, target))(X)
    assert outputs.isfinite().flatten(1).all(1).tolist() == [True, False, True]


def test_pruning_dims_that_are_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"dims: found \[7\]"):
        prune(model_of(), "encoder", (7,))


def ablation_of(**table: Any) -> Any:
    rows = [["STEP", "lr"], ["0", "1"]]
    return Setting(schedule={"file": "s.csv", "rows": rows}, ablation=table).ablation


def test_tables_name_their_kind_and_ablate_is_the_usual_one() -> None:
    assert ablation_of() == ablation_of(kind="ablate") == Ablate()
    for kind in ABLATIONS:
        assert type(ablation_of(kind=kind.__name__.lower())) is kind


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "erase"}, "kind: found 'erase', expected one of ablate, prune, suppress, repel, leace"),
        ({"kind": ["ablate"]}, r"kind: found \['ablate'\], expected one of ablate"),
        ({"kind": "repel", "start": 0.5, "end": 0.4}, "end: found 0.4, expected start"),
        ({"direction": (1, 0, 0, 0)}, "direction: unknown key, expected one of layer, dims"),
        ({"kind": "suppress", "mapping": "linear"}, "mapping: unknown key"),
        ({"kind": "leace", "dims": (0, 1)}, "dims: unknown key"),
        ({"kind": "suppress", "direction": (0, 0, 0, 0)}, "direction: found only zeros"),
        ({"kind": "suppress", "start": 1.0}, "less than 1"),
    ],
)
def test_wrong_tables(table: Any, message: Any) -> None:
    with pytest.raises(ValidationError, match=message):
        ablation_of(**table)


class Stream(nn.Module):
    """A sequence of states [B, 3, 4], and a second one, to which the first and the input are added."""

    def __init__(self) -> None:
        super().__init__()
        self.state = nn.ModuleList([nn.Identity(), nn.Identity()])
        self.add = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        h = self.state[0](x)
        return self.state[1](h + self.add(x).tanh() + x.mean(1, keepdim=True))


STATES = ("state.0", "state.1")
SEQUENCES = torch.randn(200, 3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ablation", [Suppress(dims=(0,), layers=STATES), Repel(dims=(0,), layers=STATES)])
def test_one_ablation_can_act_on_all_states_of_a_sequence(ablation: Any) -> None:
    stream = initialised(Stream, 0)
    before, after = activations(stream, SEQUENCES), removed(ablation, stream).activations(SEQUENCES)
    first_only = removed(ablation.model_copy(update={"layers": STATES[:1]}), stream).activations(SEQUENCES)
    for state in STATES:
        assert before[state][..., 0].abs().min() > 0
        assert after[state][..., 0].abs().max() < 1e-6
    assert first_only["state.1"][..., 0].abs().max() > 0.1  # it comes back


@pytest.mark.parametrize("by_position", [False, True])
def test_leace_of_all_states_leaves_no_linear_trace_in_any(by_position: Any) -> None:
    stream = initialised(Stream, 0)
    concept = SEQUENCES[:, :1, :2] if not by_position else SEQUENCES[..., :2]
    values = concept[:, 0] if not by_position else concept
    edits = Leace(layers=STATES).edits(stream, Target(SEQUENCES, values))
    concept = (concept - concept.mean((0, 1))).expand(-1, 3, -1)

    def trace(z: Any) -> Any:
        return torch.einsum("bpk,bpt->kt", z - z.mean((0, 1)), concept).div(600).abs().max()

    with torch.no_grad():
        before, after = activations(stream, SEQUENCES), activations(stream, SEQUENCES, edits)
        alone = activations(stream, SEQUENCES, Leace(layer="state.0").edits(stream, Target(SEQUENCES, values)))
    assert all(trace(before[state]) > 0.1 for state in STATES)
    assert all(trace(after[state]) < 1e-5 for state in STATES)
    assert trace(alone["state.1"]) > 0.1  # it comes back


def test_every_layer_of_an_ablation_is_looked_at() -> None:
    document = {**DOCUMENT, "ablation": {"kind": "suppress", "layers": ["encoder", "latent"], "dims": [0]}}
    with pytest.raises(InputError, match=r"ablation\.layers: found 'latent', expected one of input"):
        blobs.setting(document)
    document["ablation"]["layers"] = ["encoder", "head"]
    document["ablation"]["dims"] = [3]
    with pytest.raises(InputError, match=r"ablation\.dims: found \[3\], expected distinct dimensions from 0 to 2"):
        blobs.setting(document)


@pytest.mark.parametrize(
    ("ablation", "message"),
    [
        (Suppress(direction=(1, 0)), "direction: found 2 coordinates, expected 4"),
        (Prune(dims=(0, 1, 2, 3)), "expected fewer: kind 'prune' must leave some"),
        (Repel(dims=(0, 1, 2, 3)), "expected fewer: kind 'repel' must leave some"),
        (Ablate(dims=(4,)), "dims: found .4., expected distinct"),
        (Ablate(layer="decoder.0"), "layer: found 'decoder.0', for which the model's `around` names no weights"),
        (Leace(), "kind: found 'leace', but the experiment has no"),
    ],
)
def test_what_does_not_fit_the_layer(ablation: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        ablation.check(4, around(model_of()), False)
