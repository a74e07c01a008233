"""The report's sections on colours."""

from typing import Any

import pytest
import torch

from anchoring.ablation import Suppress
from excolor import colors
from excolor.concepts import oracle
from excolor.experiment import experiment
from excolor.sections import Swatch, lightness_over_hues, named_colors
from study.record.folder import StudyFolder


@pytest.fixture
def best(hue: StudyFolder) -> Any:
    """The best trial's replicas and setting."""
    trial = hue.best().trial.item()
    return hue.model(trial), hue.setting(trial)


def test_swatches_say_their_colour() -> None:
    assert "<code>#ff8000</code>" in Swatch([1, 0.5, 0])._repr_html_()
    assert str(Swatch([1, 0.5, 0])) == "#ff8000"


def test_named_colours_are_swatches_of_what_is_answered(best: Any) -> None:
    model, setting = best
    table = named_colors(model, experiment.ablated(model, setting), 0)
    assert table.shape == (17, 4)
    assert str(table.loc["red", "true"]) == "#ff0000"
    assert str(table.loc["red", "oracle"]) == "#808080"
    red = colors.named()["red"][None]
    assert table.loc["red", "intact"].rgb == pytest.approx(model(red)[0, 0].tolist(), abs=1e-6)
    assert table.loc["red", "ablated"].rgb == pytest.approx(
        experiment.ablated(model, setting)(red)[0, 0].tolist(), abs=1e-6
    )


def test_hue_that_is_left_as_lightness_is_said(best: Any) -> None:
    model, setting = best
    sections = experiment.sections(model, setting, 0)
    assert [section.title for section in sections] == ["What ablation does", "Named colours", "Where hue is", ""]
    assert all(len(section.description) > 20 and section.name for section in sections if section.figure)
    dark, light = lightness_over_hues(experiment.ablated(model, setting), 0)
    assert light - dark > 0.02
    assert f"a mean channel of {dark:.3f} to {light:.3f}. So hue is not gone altogether" in sections[0].words


def test_the_oracle_answers_pure_hues_with_one_gray() -> None:
    dark, light = lightness_over_hues(lambda x: oracle(x, "hue")[None], 0)
    assert (dark, light) == (pytest.approx(0.5), pytest.approx(0.5))  # type: ignore[comparison-overlap]
    dark, light = lightness_over_hues(lambda x: x.mean(-1, keepdim=True).expand_as(x)[None], 0)
    assert light - dark == pytest.approx(1 / 3)


def test_another_concept_and_another_ablation_have_sections(best: Any) -> None:
    model, setting = best
    suppressed = Suppress()
    red = setting.model_copy(update={"concept": "red", "ablation": suppressed})
    sections = experiment.sections(model, red, 1)
    assert [section.title for section in sections] == ["What ablation does", "Named colours"]
    assert sections[0].words.startswith("The red-blind oracle knows everything about a colour except its red.")
    assert torch.is_grad_enabled()
