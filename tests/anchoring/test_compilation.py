"""Compiled steps of every kind compute the same numbers as eager ones."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from anchoring import fitting, kinds
from anchoring.dopesheet import Dopesheet
from anchoring.kinds import step_kinds
from anchoring.native import Unsupported, compiler
from anchoring.terms import AngularAnchor, AntiAnchor, Fallback
from anchoring.training import train
from excolor.experiment import experiment

needs_compiler = pytest.mark.skipif(not compiler(), reason="there is no C++ compiler")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Empty the caches of compiled code and of warnings."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    fitting._warn_once.cache_clear()
    kinds.MADE.clear()
    return folder


@pytest.fixture(scope="module")
def everything(load: Any, spaces: Path) -> Any:
    """A short setting with every kind of term. Some act in some steps only."""
    setting = load(spaces / "subspace-ablation.toml")
    terms = setting.regularizers | {
        "towards": AngularAnchor(point=(1, 0, 0, 0), labels={"red": 1.0}),
        "away": AntiAnchor(point=(0, 1, 0, 0), labels={"vibrant": 0.5, "red": 2.0}),
        "fallback": Fallback(dims=(0, 1)),
    }
    rows = [["STEP", "lr", "separate", "fallback:linear:step"], ["0", "0.01", "0.01", "0"], ["20", "", "", "1"]]
    schedule = Dopesheet.parse([*rows, ["29", "0.01", "0.001", "1"]])
    return setting.model_copy(update={"regularizers": terms, "schedule": schedule})


def made(folder: Any) -> Any:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.live
@needs_compiler
def test_compiled_steps_are_the_eager_ones_for_any_number_of_replicas_and_are_made_once(
    everything: Any, cache: Any
) -> None:
    eager, _ = train(experiment, everything, [0, 1, 2], rungs=2)
    native, _ = train(experiment, everything, [0, 1, 2], rungs=2, compiled=True)
    assert_close(native.flat(), eager.flat(), rtol=1e-3, atol=1e-5)
    assert not torch.equal(native.flat(), eager.flat())  # it was compiled
    files = made(cache)
    assert files
    again, _ = train(experiment, everything, [0, 1, 2], rungs=2, compiled=True)
    assert torch.equal(again.flat(), native.flat())
    more, _ = train(experiment, everything, [7, 1, 2, 0], rungs=1, compiled=True)
    assert_close(more.flat()[1:3], native.flat()[1:], rtol=1e-3, atol=1e-5)
    one, _ = train(experiment, everything, [2], rungs=1, compiled=True)
    assert_close(one.flat()[0], native.flat()[2], rtol=1e-3, atol=1e-5)
    assert made(cache) == files


@pytest.mark.live
@needs_compiler
@pytest.mark.parametrize("name", ["hue-deletion", "subspace-ablation-red"])
def test_compiled_steps_of_every_model_are_the_eager_ones(load: Any, spaces: Path, name: Any) -> None:
    setting = load(spaces / f"{name}.toml")
    rows = [["STEP", "lr"], ["0", "0.01"], ["19", "0.01"]]
    setting = setting.model_copy(update={"schedule": Dopesheet.parse(rows)})
    eager, _ = train(experiment, setting, [0, 1], rungs=1)
    native, _ = train(experiment, setting, [0, 1], rungs=1, compiled=True)
    assert_close(native.flat(), eager.flat(), rtol=1e-3, atol=1e-5)


def test_a_step_that_cannot_be_native_is_said_once_and_trained_eagerly(
    everything: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*arguments: Any, **named: Any) -> None:
        raise Unsupported("no such operator")

    monkeypatch.setattr(fitting, "compile_steps", unsupported)
    with pytest.warns(RuntimeWarning, match="without compilation, several times slower: no such operator") as warned:
        model, _ = train(experiment, everything, [0, 1], rungs=2, compiled=True)
    assert len(warned) == 1
    eager, _ = train(experiment, everything, [0, 1], rungs=2)
    assert torch.equal(model.flat(), eager.flat())


def test_no_compiler_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert experiment.cannot_compile().startswith("found no C++ compiler: ")


def test_kinds_of_step_differ_by_what_is_computed_and_not_by_weights(everything: Any, load: Any, spaces: Path) -> None:
    kinds = step_kinds(everything)
    assert len(kinds) == 2
    lighter = [row if row[0] != "0" else ["0", "0.02", "0.5", "0"] for row in everything.schedule.text]
    assert step_kinds(everything.model_copy(update={"schedule": Dopesheet.parse(lighter)})) == kinds
    separate = everything.regularizers["separate"].model_copy(update={"power": 30})
    others = step_kinds(
        everything.model_copy(update={"regularizers": everything.regularizers | {"separate": separate}})
    )
    assert not others & kinds
    assert len(step_kinds(load(spaces / "hue-deletion.toml"))) == 2
    assert len(step_kinds(everything.model_copy(update={"regularizers": {}}))) == 1
