import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anchoring.terms import Anchor, AngularAnchor, AntiAnchor, Separate, Subspace, Term, Unitarity

seeds = st.integers(0, 2**31)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(3, 5))


def latents(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(term: Term, z: list[list[float]], i: int) -> float:
    """A term's loss of sample i of one replica, in plain Python from the formula."""
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
def test_terms_are_their_formulas(make, shape, seed):
    term, z = make(shape[2]), latents(shape, seed)
    term.check(shape[2])
    expected = [[plain(term, replica.tolist(), i) for i in range(shape[1])] for replica in z]
    assert term.per_sample(z).tolist() == [pytest.approx(row, rel=1e-4, abs=1e-6) for row in expected]


def test_separate_ignores_itself_and_duplicates():
    z = torch.tensor([[[1.0, 0], [2, 0], [0, 1]]])
    assert Separate(power=2).per_sample(z).tolist() == [[0, 0, 0]]
    assert Separate(power=2, shift=True).per_sample(z)[0].tolist() == pytest.approx([0.75, 0.75, 0.75])


@given(shapes, seeds)
@settings(max_examples=25)
def test_labels_weight_a_mean_over_the_labelled(shape, seed):
    z = latents(shape, seed)
    generator = torch.Generator().manual_seed(seed)
    labels = {name: (torch.rand(shape[:2], generator=generator) < 0.5).double() for name in ("red", "vibrant")}
    term = Unitarity(labels={"red": 0.75, "vibrant": 0.5})
    losses = term.per_sample(z)
    for r in range(shape[0]):
        affinity = (0.75 * labels["red"][r] + 0.5 * labels["vibrant"][r]).clamp(0, 1)
        expected = sum(a * loss for a, loss in zip(affinity, losses[r], strict=True)) / (sum(affinity) + 1e-8)
        assert term.mean(losses, labels)[r].item() == pytest.approx(float(expected))
    assert Unitarity().mean(losses, labels) == pytest.approx(losses.mean(-1))


def test_a_batch_without_labels_costs_nothing():
    z = latents((2, 5, 3), 0)
    term = Unitarity(labels={"red": 1.0})
    loss = term.mean(term.per_sample(z), {"red": torch.zeros(2, 5)})
    assert loss.tolist() == [0, 0]


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
            Subspace(),
            Unitarity(),
            Separate(power=4),
            Separate(power=7, shift=True),
            Separate(power=3, channels=(0, 2)),
        ),
    ],
    ids=lambda term: term.term,
)
def test_gradients(term):
    z = latents((2, 4, 3), 3).requires_grad_()
    assert torch.autograd.gradcheck(term.per_sample, z)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Anchor(point=(1, 0)), "point: found 2 coordinates, expected 4"),
        (AntiAnchor(point=(1, 0)), "point: found 2 coordinates, expected 4"),
        (Separate(channels=(4,)), "channels: found .4., expected different dimensions from 0 to 3"),
        (AngularAnchor(point=(0, 0, 0, 0)), "expected a direction, not the origin"),
        (Subspace(dims=(0, 1, 2, 3)), "dims: found all 4 dimensions, expected to leave some"),
        (Subspace(dims=(0, 4)), "dims: found .0, 4., expected different dimensions from 0 to 3"),
        (Subspace(dims=(1, 1)), "dims: found .1, 1., expected different"),
    ],
)
def test_terms_that_do_not_fit_say_so(term, message):
    with pytest.raises(ValueError, match=message):
        term.check(4)


def test_antiparallel_pairs_are_numbers_at_any_power():
    z = torch.randn(1, 64, 4, generator=torch.Generator().manual_seed(0))
    z = torch.cat([z, -z], 1).requires_grad_()
    loss = Separate(power=2.5, shift=True).per_sample(z)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert z.grad.isfinite().all()
