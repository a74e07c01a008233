import colorsys
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colors as mpl

from excolor import colors
from excolor.concepts import CONCEPTS, hue_of_concept

with warnings.catch_warnings():  # it warns of packages that are missing and not needed here
    warnings.simplefilter("ignore")
    import colour

unit = st.floats(0, 1, width=32)


@given(unit, unit, unit)
def test_hsv_to_rgb_is_colorsys(h: Any, s: Any, v: Any) -> None:
    ours = colors.hsv_to_rgb(torch.tensor([h, s, v], dtype=torch.float64))
    assert ours.tolist() == pytest.approx(colorsys.hsv_to_rgb(h, s, v), abs=1e-6)


@given(unit, unit, unit)
def test_hsv_to_rgb_is_colour_sciences(h: Any, s: Any, v: Any) -> None:
    ours = colors.hsv_to_rgb(torch.tensor([h, s, v], dtype=torch.float64))
    assert ours.tolist() == pytest.approx(colour.HSV_to_RGB([h, s, v]).tolist(), abs=1e-6)


@given(unit, unit, unit)
def test_similarity_is_the_papers(r: Any, g: Any, b: Any) -> None:
    """Its text is of HSV: with d the angle to red, c = max(0, 1 - d/90) and w = (s v + 1)/2, it is (w c + 1 - w) s v."""
    h, s, v = colorsys.rgb_to_hsv(r, g, b)
    for k, corner in enumerate(CONCEPTS[1:]):
        degrees = min(abs(360 * h - 60 * k), 360 - abs(360 * h - 60 * k))
        c, w = max(0, 1 - degrees / 90), (s * v + 1) / 2
        found = colors.similarity(torch.tensor([r, g, b], dtype=torch.float64), hue_of_concept(corner)).item()
        assert found == pytest.approx((w * c + 1 - w) * s * v, abs=1e-6)
        assert colors.similarity(colors.named()[corner], hue_of_concept(corner)).item() == pytest.approx(1, abs=1e-6)


def test_named_colors_are_twelve_hues_and_five_grays() -> None:
    named = colors.named()
    assert len(named) == 17
    assert named["red"].tolist() == [1, 0, 0]
    assert named["cyan"].tolist() == [0, 1, 1]
    assert named["orange"].tolist() == pytest.approx([1, 0.5, 0])
    hues = [colour.RGB_to_HSV(named[name].numpy())[0] for name in colors.HUES]
    assert hues == pytest.approx([i / 12 for i in range(12)], abs=1e-6)
    assert [named[name].tolist() for name in colors.GRAYS] == [[i / 4] * 3 for i in range(5)]


def test_validation_colors_are_the_cell_centres_and_the_corners() -> None:
    grid = colors.validation_grid(8)
    assert grid.shape == (520, 3)
    assert {tuple(rgb) for rgb in grid[-8:].tolist()} == {(r, g, b) for r in (0, 1) for g in (0, 1) for b in (0, 1)}
    assert torch.cdist(grid[:512], colors.rgb_cube(8).colors).min() > 0.001


@given(unit, unit, unit)
def test_value_vibrancy_and_oracle_are_those_of_hsv(r: Any, g: Any, b: Any) -> None:
    rgb = torch.tensor([r, g, b], dtype=torch.float64)
    _, s, v = colorsys.rgb_to_hsv(r, g, b)
    assert colors.value(rgb).item() == pytest.approx(v)
    assert colors.vibrancy(rgb).item() == pytest.approx(s * v, abs=1e-9)
    assert colors.hue_blind(rgb).tolist() == pytest.approx([v * (1 - s / 2)] * 3, abs=1e-9)


def test_oracle_is_the_mean_over_hues() -> None:
    hues = colors.hsv_centres(360, 4, 5)
    assert hues.mean((0, 3)) == pytest.approx(colors.hue_blind(hues)[0, ..., 0], abs=1e-3)


def test_hsv_cube_is_weighted_as_in_the_paper() -> None:
    cube = colors.hsv_cube(36, 10, 10)
    assert cube.colors.shape == (3600, 3)
    assert cube.weights.sum().item() == pytest.approx(1)
    hsv = torch.as_tensor(mpl.rgb_to_hsv(cube.colors.numpy()))
    weights = cube.weights / cube.weights.max()
    black = weights[hsv[:, 2] < 1e-6]
    white = weights[(hsv[:, 1] < 1e-6) & (hsv[:, 2] > 1 - 1e-6)]
    vibrant = weights[(hsv[:, 1] > 1 - 1e-6) & (hsv[:, 2] > 1 - 1e-6)]
    assert black == pytest.approx(torch.full_like(black, 1 / 360))
    assert white == pytest.approx(torch.full_like(white, 1 / 36))
    assert vibrant == pytest.approx(torch.ones(36))


def test_hues_are_cyclic() -> None:
    pure = colors.hsv_cube(36, 2, 2).colors.reshape(36, 2, 2, 3)[:, 1, 1]
    assert len({tuple(rgb) for rgb in (pure * 1000).round().tolist()}) == 36


def test_rgb_cube_has_corners_and_centres_avoid_them() -> None:
    corners, centres = colors.rgb_cube(8), colors.rgb_centres(16)
    assert corners.colors.shape == (512, 3)
    assert corners.weights.tolist() == pytest.approx([1 / 512] * 512)
    assert centres.shape == (4096, 3)
    assert torch.cdist(centres, corners.colors).min() > 0.001
    assert torch.cdist(centres, colors.hsv_cube().colors).min() > 0


@pytest.mark.parametrize(("attribute", "pure"), [("redness", 0), ("greenness", 1), ("blueness", 2)])
def test_primary_attributes(attribute: Any, pure: Any) -> None:
    of = getattr(colors, attribute)
    assert of(torch.eye(3)).tolist() == [float(i == pure) for i in range(3)]
    assert of(torch.tensor([[0.0, 0, 0], [1, 1, 1]])).tolist() == [0, 0]
    half = torch.full((3,), 0.5)
    half[pure] = 0.8
    assert of(half).item() == pytest.approx(0.8 * 0.5)


def test_desaturation_is_one_for_grays() -> None:
    grays = colors.cell_centres(5).unsqueeze(-1).expand(-1, 3)
    assert colors.desaturation(grays).tolist() == [1] * 5
    assert colors.desaturation(colors.pure_hues(12)).tolist() == pytest.approx([0] * 12)


def test_how_yellow_is_how_blue_the_complement_is() -> None:
    named = colors.named()
    for of, hue in ((colors.cyanness, "cyan"), (colors.magentaness, "magenta"), (colors.yellowness, "yellow")):
        found = {name: of(rgb).item() for name, rgb in named.items()}
        assert max(found, key=found.get) == hue  # type: ignore[arg-type]
        assert [found[name] for name in (hue, "black", "gray", "white")] == [1, 0, 0.25, 0]
    assert colors.yellowness(named["red"]) == colors.yellowness(named["green"]) == 0.5
    assert colors.yellowness(named["blue"]) == 0
