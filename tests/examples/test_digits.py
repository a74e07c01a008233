"""The digits do what studies rely on, and their metrics are what they say."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from anchoring import Data, Edited, InputError, Replicas
from anchoring.ablation import Leace
from anchoring.fitting import fit
from study.registry import from_file
from study.space.space import Space
from study.testing import ExperimentConformance

FOLDER = Path(__file__).parents[2] / "examples" / "digits"
SOURCE = from_file(FOLDER / "digits.py")
EXPERIMENT: Any = SOURCE.load()
DIGITS = sys.modules[type(EXPERIMENT).__module__]


def setting_of(name: Any) -> Any:
    return Space.read(FOLDER / f"{name}.toml", experiment=SOURCE).setting()


def answered(by_digit: Any, by_others: Any) -> Any:
    """A model that answers the held-out images of the digit with one tensor, and those of the others with another."""

    def answer(x: Any) -> Any:
        n = len(DIGITS.references(3, 8, 32).oracle)
        return torch.cat([by_digit(x[:n]), by_others(x[n:])])

    return answer


def same(x: Any) -> Any:
    return x


def oracle(x: Any) -> Any:
    return DIGITS.references(3, 8, 32).oracle


def mean_image(x: Any) -> Any:
    others = DIGITS.IMAGES[: DIGITS.SEEN][DIGITS.DIGITS[: DIGITS.SEEN] != 3]
    return others.mean(0).expand_as(x)


class TestDigits(ExperimentConformance):
    experiment = FOLDER / "digits.py"
    space = FOLDER / "digits.toml"

    @pytest.mark.slow  # the study of a new experiment is run in tests/study/test_new.py
    def test_a_study_runs_resumes_confirms_and_reports(self, tmp_path: Path) -> None:
        super().test_a_study_runs_resumes_confirms_and_reports(tmp_path)

    def reference_points(self) -> Any:
        setting = setting_of("handset")
        answers = {
            "the oracle": (answered(oracle, same), {"isolation": 1}),
            "untouched": (same, {"isolation": 0}),
            "one image for all": (mean_image, {"isolation": 0, "kept": 0}),
            "the digit destroyed": (answered(mean_image, same), {"isolation": 0}),
            "the others alone": (answered(same, mean_image), {"isolation": 0, "kept": 0}),
        }
        return [(name, EXPERIMENT.measure(same, ablated, setting), ours) for name, (ablated, ours) in answers.items()]


@pytest.fixture(scope="module")
def trained() -> Any:
    """Untouched models, and models that never saw a 3. They are not the reference models."""
    images = DIGITS.IMAGES[: DIGITS.SEEN]
    others = images[DIGITS.DIGITS[: DIGITS.SEEN] != 3]

    def models(seen: Any) -> Any:
        replicas = Replicas(lambda: EXPERIMENT.build(setting_of("leace")), range(8))
        return fit(replicas, Data(seen), lambda y, x: (y - x).square().mean(-1), range(8), DIGITS.RATES)

    return models(images), models(others)


def mean_of(before: Any, after: Any) -> Any:
    setting = setting_of("handset")
    with torch.no_grad():
        found = [EXPERIMENT.measure(Edited(a), Edited(b), setting) for a, b in zip(before, after, strict=True)]
    return {name: torch.stack([each[name] for each in found]).mean().item() for name in found[0]}


def test_untouched_models_know_the_digit_and_forget_nothing(trained: Any) -> None:
    untouched, _ = trained
    assert mean_of(untouched, untouched) == {
        "isolation": pytest.approx(0.04, abs=0.08),
        "utility": pytest.approx(1, abs=0.1),
        "forgotten": pytest.approx(0, abs=0.15),
        "kept": pytest.approx(1, abs=0.05),
    }


def test_models_that_never_saw_the_digit_have_nothing_to_forget(trained: Any) -> None:
    _, never = trained
    found = mean_of(never, never)
    assert found["utility"] == pytest.approx(0, abs=0.15)
    assert found["forgotten"] == pytest.approx(1, abs=0.15)
    assert found["kept"] == pytest.approx(1, abs=0.05)
    assert found["isolation"] < 0.15


def test_an_untouched_model_that_becomes_one_that_never_saw_the_digit_is_isolated(trained: Any) -> None:
    assert mean_of(*trained)["isolation"] > 0.85


def test_leace_takes_more_than_the_digit(trained: Any) -> None:
    untouched, _ = trained
    setting = setting_of("leace")
    assert isinstance(setting.ablation, Leace)
    found = EXPERIMENT.measured(untouched, setting)
    assert found["isolation"].mean() < 0.1
    assert found["forgotten"].mean() < 0  # it is destroyed
    assert found["kept"].mean() < 0.9


def test_hindsight_does_not_change_the_model_and_beats_the_dims(trained: Any) -> None:
    untouched, _ = trained
    one = untouched[0]
    before = copy.deepcopy(one.state_dict())
    setting = setting_of("hindsight")
    ablated = Edited(one, EXPERIMENT.edits(setting)(one))
    found = EXPERIMENT.measure(Edited(one), ablated, setting)
    dims = [{"encoder": lambda z, d=d: z * (torch.arange(8) != d)} for d in range(8)]
    best = max(EXPERIMENT.measure(Edited(one), Edited(one, edits), setting)["isolation"] for edits in dims)
    assert found["isolation"] > best
    assert all(torch.equal(tensor, before[name]) for name, tensor in one.state_dict().items())


def test_lookalikes_are_those_of_a_label_that_there_is() -> None:
    document = Space.read(FOLDER / "handset.toml", experiment=SOURCE).document({})
    del document["experiment"]
    document["regularizers"]["lookalike"]["others"] = "another"
    with pytest.raises(InputError, match=r"regularizers\.lookalike\.others: found 'another', expected one of digit"):
        EXPERIMENT.setting(document)
