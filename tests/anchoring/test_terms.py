import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anchoring.terms import (
    Align,
    Anchor,
    AngularAnchor,
    AntiAnchor,
    Fallback,
    Pin,
    Poles,
    Seen,
    Separate,
    Subspace,
    Term,
    Unitarity,
    pooled,
)

seeds = st.integers(0, 2**31)
shapes = st.tuples(st.integers(1, 7), st.integers(3, 5))


def latents(shape: Any, seed: Any) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seen(layers: Any, labels: Any = None) -> Any:
    """These activations as a term sees them, in a model without a task."""
    return Seen(layers, labels or {}, lambda edits: layers, lambda output: output)


def plain(term: Term, z: list[list[float]], i: int) -> float:  # noqa: PLR0911
    """A term's loss of sample i, in plain Python from the formula."""
    x = z[i]
    norm = lambda v: math.sqrt(sum(c * c for c in v))  # noqa: E731
    match term:
        case Anchor():
            return sum((c - p) ** 2 for c, p in zip(x, term.point, strict=True))
        case AngularAnchor() | AntiAnchor():
            cosine = sum(c * p for c, p in zip(x, term.point, strict=True)) / (norm(x) * norm(term.point))
            if isinstance(term, AngularAnchor):
                return 1 - cosine
            return (cosine + 1) / 2 if term.full else max(cosine, 0)
        case Align():
            return 1 - x[term.dim] / norm(x)
        case Subspace():
            return sum(c**2 for d, c in enumerate(x) if (d in term.dims) == term.invert)
        case Unitarity():
            return (norm(x) - 1) ** 2
        case Separate():
            total = 0.0
            if term.channels is not None:
                z = [[vector[c] for c in term.channels] for vector in z]
                x = z[i]
            for other in z:
                cosine = sum(a * b for a, b in zip(x, other, strict=True)) / (norm(x) * norm(other))
                cosine = 0.0 if abs(cosine - 1) < 1e-5 else cosine
                total += ((cosine + 1) / 2 if term.shift else cosine) ** term.power
            return total
    raise AssertionError(term)


@pytest.mark.parametrize(
    "make",
    [
        lambda width: Align(dim=width - 1),
        lambda width: Anchor(point=tuple(range(width))),
        lambda width: AngularAnchor(point=(1.0,) * width),
        lambda width: AntiAnchor(point=(1.0, *range(1, width))),
        lambda width: AntiAnchor(point=(1.0, *range(1, width)), full=True),
        lambda width: Separate(power=4, channels=(1, 0)),
        lambda width: Subspace(dims=(0, 1)),
        lambda width: Subspace(dims=(width - 1,), invert=True),
        lambda width: Unitarity(),
        lambda width: Separate(power=3),
        lambda width: Separate(power=10),
        lambda width: Separate(power=100, shift=True),
        lambda width: Separate(power=2.5, shift=True),
    ],
)
@given(shapes, seeds)
@settings(max_examples=25)
def test_terms_are_their_formulas(make: Any, shape: Any, seed: Any) -> None:
    term, z = make(shape[1]), latents(shape, seed)
    term.check(shape[1])
    expected = [plain(term, z.tolist(), i) for i in range(shape[0])]
    assert term.per_sample(z).tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_separate_ignores_itself_and_duplicates() -> None:
    z = torch.tensor([[1.0, 0], [2, 0], [0, 1]])
    assert Separate(power=2).per_sample(z).tolist() == [0, 0, 0]
    assert Separate(power=2, shift=True).per_sample(z).tolist() == pytest.approx([0.75, 0.75, 0.75])


@given(shapes, seeds)
@settings(max_examples=25)
def test_labels_weight_a_mean_over_the_labelled(shape: Any, seed: Any) -> None:
    z = latents(shape, seed)
    generator = torch.Generator().manual_seed(seed)
    labels = {name: (torch.rand(shape[0], generator=generator) < 0.5).double() for name in ("red", "vibrant")}
    term = Unitarity(labels={"red": 0.75, "vibrant": 0.5})
    losses = term.per_sample(z)
    weights = [min(0.75 * red + 0.5 * vibrant, 1) for red, vibrant in zip(*labels.values(), strict=True)]
    expected = sum(a * loss for a, loss in zip(weights, losses, strict=True)) / (sum(weights) + 1e-8)
    assert term.mean(losses, seen({}, labels)).item() == pytest.approx(float(expected))
    assert Unitarity().mean(losses, seen({}, labels)).item() == pytest.approx(losses.mean().item())


def test_a_batch_without_labels_costs_nothing() -> None:
    z = latents((5, 3), 0)
    assert Unitarity().total(seen({"encoder": z})) > 0
    assert Unitarity(labels={"red": 1.0}).total(seen({"encoder": z}, {"red": torch.zeros(5)})) == 0


temperatures = st.floats(0.01, 100)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=6), temperatures)
def test_pooling_is_the_negative_mellowmax(losses: Any, t: Any) -> None:
    x = torch.tensor([losses], dtype=torch.float64)
    low = min(losses)
    expected = low - t * math.log(sum(math.exp((low - loss) / t) for loss in losses) / len(losses))
    assert pooled(x, t).item() == pytest.approx(expected, abs=1e-9)
    assert pooled(x.float(), t).item() == pytest.approx(expected, abs=1e-4)
    assert low - 1e-9 <= pooled(x, t).item() <= pooled(x).item() + 1e-9


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=6))
def test_pooling_goes_from_the_minimum_to_the_mean(losses: Any) -> None:
    x = torch.tensor([losses], dtype=torch.float64)
    assert pooled(x, 1e-4).item() == pytest.approx(min(losses), abs=1e-3)
    assert pooled(x, 1e4).item() == pytest.approx(x.mean().item(), abs=1e-3)


def test_pooling_has_the_gradient_of_a_softmax_over_positions() -> None:
    x = latents((3, 4), 0).requires_grad_()
    pooled(x, 0.3).sum().backward()
    assert torch.allclose(x.grad, (-x / 0.3).softmax(1))
    assert torch.autograd.gradcheck(lambda x: pooled(x, 0.3), x)


@given(shapes, seeds, temperatures)
@settings(max_examples=25)
def test_a_sequence_costs_what_its_positions_cost_pooled(shape: Any, seed: Any, t: Any) -> None:
    z = torch.stack([latents(shape, seed + position) for position in range(3)], 1)  # [B, 3, K]
    labels = {"red": (torch.arange(shape[0]) % 2 == 0).double()}
    for term in (
        Align(labels={"red": 1.0}),
        Align(labels={"red": 1.0}, temperature=t),
        Subspace(dims=(0,), invert=True),
    ):
        each = torch.stack([term.per_sample(z[:, position]) for position in range(3)], 1)
        of_samples = each.mean(1) if term.temperature is None else -t * (-each / t).exp().mean(1).log()
        expected = term.mean(of_samples, seen({}, labels))
        assert term.total(seen({"encoder": z}, labels)).item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-9)


def test_a_sample_at_one_position_costs_the_same_at_any_temperature() -> None:
    z = latents((5, 3), 0)
    assert Align(temperature=0.1).total(seen({"encoder": z})) == Align().total(seen({"encoder": z}))


def test_layers_have_factors() -> None:
    z = {"encoder": torch.full((4, 2), 2.0), "bottleneck": torch.full((4, 2), 0.5)}
    term = Unitarity(layers={"encoder": 0.5, "bottleneck": 2.0})
    assert Unitarity(layers=["encoder", "bottleneck"]).layers == {"encoder": 1.0, "bottleneck": 1.0}
    encoder, bottleneck = (float((x[0].norm() - 1) ** 2) for x in z.values())
    assert term.total(seen(z)).item() == pytest.approx(0.5 * encoder + 2 * bottleneck)


@pytest.mark.parametrize(
    "term",
    [
        *(
            Anchor(point=(1, 0, 0)),
            AngularAnchor(point=(1, 0, 0)),
            AntiAnchor(point=(1, 1, 0), full=True),
            AntiAnchor(point=(1, 1, 0)),
        ),
        *(
            Align(dim=2),
            Subspace(),
            Unitarity(),
            Separate(power=4),
            Separate(power=7, shift=True),
            Separate(power=3, channels=(0, 2)),
        ),
    ],
    ids=lambda term: type(term).__name__,
)
def test_gradients(term: Any) -> None:
    z = latents((4, 3), 3).requires_grad_()
    assert torch.autograd.gradcheck(term.per_sample, z)


@given(seeds, st.floats(0.05, 0.95))
@settings(max_examples=25)
def test_poles_teach_the_probability_of_their_labels(seed: Any, p: Any) -> None:
    """Where the loss is least, samples that carry `light` with probability p lie p of the way from dark to light."""
    light = (torch.rand(64, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) < p).double()
    term = Poles(dim=2, at={"light": 3.0, "dark": -1.0})
    z = torch.zeros((), dtype=torch.float64, requires_grad=True)
    activations = torch.stack([z, z, z, z]).expand(64, 4)
    loss = term.total(seen({"encoder": activations}, {"light": light, "dark": 1 - light}))
    (slope,) = torch.autograd.grad(loss, z)
    least = z - slope / 2  # of a parabola whose second derivative is 2
    assert least.item() == pytest.approx(-1 + 4 * light.mean().item())
    assert term.total(seen({"encoder": activations}, {"light": 0 * light, "dark": 0 * light})) == 0


def test_poles_of_labels_as_many_are_two_pins() -> None:
    z, light = latents((8, 4), 0), torch.tensor([1.0, 0, 1, 0, 1, 0, 1, 0], dtype=torch.float64)
    samples = seen({"encoder": z}, {"light": light, "dark": 1 - light})
    pins = [Pin(dim=1, at=at, labels={name: 1.0}).total(samples) for name, at in (("light", 1.0), ("dark", -1.0))]
    assert Poles(dim=1, at={"light": 1.0, "dark": -1.0}).total(samples).item() == pytest.approx(sum(pins).item() / 2)
    with pytest.raises(ValueError, match=r"labels: found .* expected none"):
        Poles(at={"light": 1.0, "dark": -1.0}, labels={"light": 1.0})


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Poles(dim=4, at={"light": 1.0, "dark": 0.0}), "dim: found .4., expected distinct dimensions from 0 to 3"),
        (Anchor(point=(1, 0)), "point: found 2 coordinates, expected 4"),
        (AntiAnchor(point=(1, 0)), "point: found 2 coordinates, expected 4"),
        (Separate(channels=(4,)), "channels: found .4., expected distinct dimensions from 0 to 3"),
        (AngularAnchor(point=(0, 0, 0, 0)), "expected a direction, which"),
        (Subspace(dims=(0, 1, 2, 3)), "dims: found all 4 dimensions, expected fewer"),
        (Align(dim=4), "dim: found .4., expected distinct dimensions from 0 to 3"),
        (Subspace(dims=(0, 4)), "dims: found .0, 4., expected distinct dimensions from 0 to 3"),
        (Subspace(dims=(1, 1)), "dims: found .1, 1., expected distinct"),
        (Fallback(dims=(4,)), "dims: found .4., expected distinct dimensions from 0 to 3"),
        (Fallback(layers=["encoder", "bottleneck"]), "layers: found .'encoder', 'bottleneck'., expected one"),
    ],
)
def test_terms_that_do_not_fit_say_so(term: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        term.check(4)


def test_antiparallel_pairs_are_numbers_at_any_power() -> None:
    z = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    z = torch.cat([z, -z]).requires_grad_()
    loss = Separate(power=2.5, shift=True).per_sample(z)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert z.grad.isfinite().all()
