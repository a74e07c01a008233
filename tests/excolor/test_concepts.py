from typing import Any

import pytest
import torch

from excolor import colors
from excolor.concepts import CONCEPTS, amount, oracle

X = colors.rgb_centres(16)
SIX = [concept for concept in CONCEPTS if concept != "hue"]
NAMED = colors.named()
ANY = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0))


def test_a_colour_is_a_mixture_of_white_and_the_six_hues() -> None:
    mixture = sum(amount(ANY, hue).unsqueeze(-1) * NAMED[hue] for hue in SIX)
    assert torch.allclose(ANY.amin(-1, keepdim=True) + mixture, ANY, atol=1e-6)


@pytest.mark.parametrize("concept", CONCEPTS)
def test_an_oracle_forgets_the_concept_and_only_that(concept: Any) -> None:
    blind = oracle(ANY, concept)
    assert amount(blind, concept).max() < 1e-6
    assert torch.allclose(oracle(blind, concept), blind, atol=1e-6)
    assert torch.allclose(colors.hue_blind(blind), colors.hue_blind(ANY), atol=1e-6)  # as light as it was
    without = ANY[amount(ANY, concept) == 0]
    assert torch.equal(oracle(without, concept), without)
    assert blind.min() >= 0
    assert blind.max() <= 1


@pytest.mark.parametrize("concept", CONCEPTS)
def test_what_differs_in_the_concept_alone_has_one_answer(concept: Any) -> None:
    """A colour with half of the concept put back gets the same answer."""
    blind = oracle(ANY, concept)
    assert torch.allclose(oracle((ANY + blind) / 2, concept), blind, atol=1e-6)


def test_what_the_red_blind_see() -> None:
    turned = {name: oracle(rgb, "red").tolist() for name, rgb in NAMED.items()}
    changed = {name: rgb for name, rgb in turned.items() if rgb != NAMED[name].tolist()}
    assert changed == {"red": [0.5, 0.5, 0.5], "orange": [0.75, 0.75, 0.25], "pink": [0.75, 0.25, 0.75]}
    tints = torch.tensor([[1, 0.5, 0.5], [0.5, 0, 0]])
    assert oracle(tints, "red").tolist() == [[0.75] * 3, [0.25] * 3]


def test_the_six_hues_are_each_others_turned() -> None:
    for hue, turns in (("green", 1), ("blue", 2)):
        assert torch.allclose(oracle(X, hue), oracle(X.roll(-turns, -1), "red").roll(turns, -1))  # type: ignore[arg-type]
    for hue, opposite in (("cyan", "red"), ("magenta", "green"), ("yellow", "blue")):
        assert torch.allclose(oracle(X, hue), 1 - oracle(1 - X, opposite), atol=1e-6)  # type: ignore[arg-type]


def test_hue_is_vibrancy() -> None:
    assert torch.equal(amount(X, "hue"), colors.vibrancy(X))
    assert torch.equal(oracle(X, "hue"), colors.hue_blind(X))


@pytest.mark.parametrize("concept", SIX)
def test_a_hue_is_in_excess_or_in_deficit(concept: Any) -> None:
    x = colors.rgb_centres(8)
    excess, deficit = colors.excess(x, concept), colors.deficit(x, concept)
    assert torch.equal(excess, amount(x, concept))
    assert (excess * deficit == 0).all()
    kept = {"red": ("yellow", "magenta"), "yellow": ("magenta", "cyan"), "green": ("yellow", "cyan")}
    for light in kept.get(concept, ()):  # what stays the same when the hue becomes gray
        channels = colors.CORNERS[light]
        torch.testing.assert_close(colors.mean_of(oracle(x, concept), channels), colors.mean_of(x, channels))
