"""Steps as native code: the same numbers, made once."""

import pytest
import torch
from torch.testing import assert_close

import study
from anchoring import compilation
from anchoring.dopesheet import Dopesheet
from anchoring.step import flatten, step_kinds
from anchoring.terms import AngularAnchor, AntiAnchor, Fallback
from anchoring.training import train

needs_compiler = pytest.mark.skipif(not compilation.compiler(), reason="there is no C++ compiler")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation.platformdirs, "user_cache_path", lambda name, ensure_exists: tmp_path)
    return tmp_path


@pytest.fixture
def everything(spaces):
    """A short setting with every kind of term, some of which act in some steps only."""
    setting = study.read(spaces / "seed.toml").setting()
    terms = setting.regularizers | {
        "towards": AngularAnchor(point=(1, 0, 0, 0), labels={"red": 1.0}),
        "away": AntiAnchor(point=(0, 1, 0, 0), labels={"vibrant": 0.5, "red": 2.0}),
        "fallback": Fallback(dims=(0, 1)),
    }
    rows = [["STEP", "lr", "separate", "fallback:linear:step"], ["0", "0.01", "0.01", "0"], ["20", "", "", "1"]]
    schedule = Dopesheet.parse([*rows, ["29", "0.01", "0.001", "1"]])
    return setting.model_copy(update={"regularizers": terms, "schedule": schedule})


@needs_compiler
def test_compiled_steps_are_the_eager_ones_for_any_number_of_replicas_and_are_made_once(everything, cache):
    eager, _ = train(everything, [0, 1, 2], rungs=2)
    native, _ = train(everything, [0, 1, 2], rungs=2, compiled=True)
    assert_close(flatten(list(native.parameters())), flatten(list(eager.parameters())), rtol=1e-3, atol=1e-5)
    assert not torch.equal(flatten(list(native.parameters())), flatten(list(eager.parameters())))  # it was compiled
    made = {path: path.stat().st_mtime_ns for path in cache.glob("*.pt2")}
    assert len(made) == len(step_kinds(everything)) == 2
    again, _ = train(everything, [0, 1, 2], rungs=2, compiled=True)
    assert torch.equal(flatten(list(again.parameters())), flatten(list(native.parameters())))
    more, _ = train(everything, [7, 1, 2, 0], rungs=1, compiled=True)
    assert_close(flatten(list(more.parameters()))[1:3], flatten(list(native.parameters()))[1:], rtol=1e-3, atol=1e-5)
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*.pt2")} == made


def test_without_a_compiler_training_says_so_and_goes_on(everything, cache, monkeypatch):
    monkeypatch.setattr(compilation, "_compile", lambda *arguments: 1 / 0)
    with pytest.warns(RuntimeWarning, match="uncompiled, several times slower: division by zero") as warned:
        model, _ = train(everything, [0, 1], rungs=2, compiled=True)
    assert len(warned) == 1
    eager, _ = train(everything, [0, 1], rungs=2)
    for a, b in zip(model.parameters(), eager.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not list(cache.glob("*.pt2"))


def test_kinds_of_step_differ_by_what_is_computed_and_not_by_weights(everything, spaces):
    kinds = step_kinds(everything)
    lighter = [row if row[0] != "0" else ["0", "0.02", "0.5", "0"] for row in everything.schedule.text]
    assert step_kinds(everything.model_copy(update={"schedule": Dopesheet.parse(lighter)})) == kinds
    separate = everything.regularizers["separate"].model_copy(update={"power": 30})
    others = step_kinds(
        everything.model_copy(update={"regularizers": everything.regularizers | {"separate": separate}})
    )
    assert not others & kinds
    assert len(step_kinds(study.read(spaces / "published.toml").setting())) == 2
    assert len(step_kinds(everything.model_copy(update={"regularizers": {}}))) == 1
