"""The controls are what they are called."""

from pathlib import Path
from typing import Any

import pytest
import torch

import study
from analysis import baseline_plots, baselines
from anchoring.ablation import Ablate
from excolor.concepts import blindness_of
from excolor.experiment import experiment
from study.record.folder import StudyFolder


@pytest.fixture(scope="module")
def seed(spaces: Path) -> Any:
    return study.read(spaces / "subspace-ablation.toml").setting()


@pytest.fixture(scope="module")
def model(seed: Any) -> Any:
    return experiment.model(seed, [0, 1, 2])


def test_answers_without_a_model_score_what_design_says() -> None:
    """The reference points of docs: rotated hues 0, luma 0.625, one gray 0.573, V as gray -0.281."""
    blindness = baselines.answers().hue_blindness
    expected = [1, 0.951, 0.625, 0.573, -0.281, 0, 0]
    assert blindness.tolist() == pytest.approx(expected, abs=2e-3)
    assert baselines.answers().vibrancy_r2.iloc[-1] == pytest.approx(0.942, abs=1e-3)
    red = baselines.answers("red")
    assert red.loc["the red-blind oracle", "isolation"] == pytest.approx(1)
    assert red.loc["red untouched", blindness_of("red")] == pytest.approx(0)


def test_each_pair_is_ablated(model: Any, seed: Any) -> None:
    pairs = baselines.by_dims(model, seed, 2)
    assert list(pairs) == ["z0, z1", "z0, z2", "z0, z3", "z1, z2", "z1, z3", "z2, z3"]
    expected = experiment.measured(model, seed, Ablate(dims=(1, 3)).edits)["isolation"]
    assert torch.tensor(pairs["z1, z3"].to_numpy()).equal(expected)


def test_random_subspaces_are_the_same_each_time(model: Any, seed: Any) -> None:
    planes = baselines.random_subspaces(model, seed, 2, draws=3)
    assert planes.shape == (3, 3)
    assert planes.equals(baselines.random_subspaces(model, seed, 2, draws=3))
    assert planes.nunique(axis=1).min() > 1 or (planes == 0).all(axis=None)


def test_one_dim_is_compared_with_each_other_one(model: Any, spaces: Path) -> None:
    setting = study.read(spaces / "subspace-ablation-red.toml").setting()
    assert setting.ablation.dims == (0,)
    singles = baselines.by_dims(model, setting, 1)
    assert list(singles) == ["z0", "z1", "z2", "z3"]
    rows = baselines.compared({"red": (model, setting)})
    best = rows[rows.control == "best other dims"].isolation
    assert best.tolist() == singles[["z1", "z2", "z3"]].max(axis=1).tolist()


def test_controls_are_compared_told_and_drawn(hue: StudyFolder) -> None:
    trial = int(hue.best().trial.iloc[0])
    settings = {f"trial {trial}": (hue.model(trial), hue.setting(trial))}
    bare = (experiment.model(hue.setting(trial), [0, 1]), hue.setting(trial))
    rows = baselines.compared(settings | {"no regularizers": bare})
    own = rows[(rows.model == f"trial {trial}") & (rows.control == "its dims")]
    assert own.isolation.mean() == pytest.approx(hue.final(trial).isolation.mean(), abs=1e-5)
    assert f"{own.isolation.mean():.3f}" in baseline_plots.in_words(rows, trial)
    (axis,) = baseline_plots.compared(rows).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    controls = ("its dims", "best other dims", "random subspaces", "LEACE")
    assert names[:4] == [f"trial {trial}: {what}" for what in controls]
    assert baseline_plots.summary(rows).loc[names[0], "replicas"] == 4
