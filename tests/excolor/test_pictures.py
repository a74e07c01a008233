"""Figures show what they should. Each test reads the drawn figure back."""

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import colors as mpl

from anchoring import Edited
from anchoring.ablation import Ablate
from anchoring.labels import Label
from anchoring.terms import Separate, Subspace
from anchoring.training import Rung
from excolor import colors, pictures
from excolor.models import ColorMLP, ModelConfig
from study.record.folder import StudyFolder


@pytest.fixture
def model(hue: StudyFolder) -> Any:
    return hue.model(hue.best().trial.item())


def images(figure: Any) -> Any:
    return {axis.get_title(): np.array(axis.images[0].get_array()) for axis in figure.axes}


def test_removals_show_colours_as_themselves(model: Any) -> None:
    shown = images(pictures.removals(model, {"ablate": model.edited(Ablate().edits)}, replica=0))
    assert list(shown) == ["intact", "ablate", "hue-blind oracle"]
    truth = pictures.hue_plane().numpy()
    assert truth[0].min() == pytest.approx(1, abs=1e-6)  # white on top
    assert truth[-1].max() == pytest.approx(0, abs=1e-6)
    assert mpl.rgb_to_hsv(truth[40])[:, 0] == pytest.approx(np.arange(180) / 180, abs=1e-5)
    assert np.ptp(shown["hue-blind oracle"], axis=-1).max() < 1e-6
    error = {name: np.square(image - truth).mean() for name, image in shown.items()}
    assert 0 < error["intact"] < error["ablate"]


def test_named_colors_are_swatches_of_themselves(model: Any) -> None:
    figure = pictures.named_colors(model, {"ablate": model.edited(Ablate().edits)}, replica=1)
    axis = figure.axes[0]
    swatches = np.array(axis.images[0].get_array())
    assert [label.get_text() for label in axis.get_yticklabels()] == ["colour", "intact", "ablate"]
    assert swatches[0] == pytest.approx(np.stack([rgb.numpy() for rgb in colors.named().values()]))
    assert swatches[1] == pytest.approx(model(torch.stack(list(colors.named().values())))[1].detach().numpy())


def test_cubes_draw_every_colour_as_likely_as_it_is() -> None:
    cube = colors.hsv_cube()
    points = pictures.cubes({"HSV": cube}).axes[0].collections[0]
    sizes = points.get_sizes()  # type: ignore[attr-defined]
    assert len(sizes) == 3600
    assert sizes / sizes.max() == pytest.approx((cube.weights / cube.weights.max()).numpy())


def test_labels_are_drawn_where_they_are_likely() -> None:
    figure = pictures.label_odds({"red": Label(of="redness", power=10, scale=0.5)})
    outermost = figure.axes[0].collections[-1].get_paths()[0].vertices
    hues = outermost[:, 0]
    assert ((hues < 90) | (hues > 270)).all()
    assert figure.axes[0].get_title() == "red: 0.5 x redness^10"


def test_terms_are_drawn_as_losses() -> None:
    figure = pictures.terms({"Subspace": Subspace(), "Separate": Separate(power=4)})
    curve = figure.axes[1].lines[0]
    assert curve.get_ydata() == pytest.approx(curve.get_xdata() ** 4, abs=1e-5)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["Subspace", "Separate"]


def test_training_draws_every_replica_and_the_mean() -> None:
    rungs = [
        Rung(
            step, 20, {name: torch.rand(3) for name in ("utility", "hue_blindness", "isolation")}, torch.zeros(3).bool()
        )
        for step in (10, 20)
    ]
    figure = pictures.training(rungs)
    assert [len(axis.lines) for axis in figure.axes] == [4, 4, 4]
    mean = figure.axes[2].lines[-1].get_ydata()
    assert mean == pytest.approx([rung.metrics["isolation"].mean().item() for rung in rungs])


def test_latents_are_drawn_in_their_colours() -> None:
    model = Edited(ColorMLP(ModelConfig()))
    figure = pictures.latents(model, "encoder", (0, 1))
    points = figure.axes[0].collections[0]
    x = colors.rgb_centres(12)
    z = model.activations(x)["encoder"].detach()
    assert np.asarray(points.get_offsets()) == pytest.approx(z[:, :2].numpy())
    assert points.get_facecolors()[:, :3] == pytest.approx(x.numpy())  # type: ignore[attr-defined]


def test_reproduction_draws_both_distributions() -> None:
    (axis,) = pictures.reproduction({"hue-deletion": torch.linspace(0.7, 0.9, 60)}).axes
    assert len(np.asarray(axis.collections[0].get_offsets())) == 60
    assert [text.get_text() for text in axis.texts] == ["0.800 ± 0.059", "0.825 ± 0.053"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["hue-deletion\n(2.7.1, vibrancy_r2)"]


@pytest.mark.parametrize(("bottleneck", "dims", "planes"), [(2, (0, 1), 1), (3, (2, 0), 2), (6, (4, 5), 3)])
def test_latents_of_any_width_have_planes(bottleneck: Any, dims: Any, planes: Any) -> None:
    model = Edited(ColorMLP(ModelConfig(bottleneck=bottleneck)))
    figure = pictures.latents(model, "encoder", dims)
    assert len(figure.axes) == planes
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == tuple(f"z{dim}" for dim in dims)
