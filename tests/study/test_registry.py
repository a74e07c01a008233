"""Experiments that are brought along: found, tried before a study is made of them, and never run unless a person says so."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

import study
from study import registry
from tests.study.conftest import EXPERIMENTS

BOWL = (EXPERIMENTS / "bowl.py").read_text()


FILE = ("bowl.toml", "--experiment", "bowl.py")
RUN = ("run", *FILE, "--trials", "1", "--confirm", "0")

FILES = {
    "no file": (None, "--experiment: bowl.py: no such file, expected a Python file"),
    "no Python": (BOWL + "\ndef (", f"bowl.py, line {len(BOWL.splitlines()) + 2}: SyntaxError"),
    "not UTF-8": (b"\xff\xfe\x00", "--experiment: bowl.py: 'utf-8' codec"),
    "a package that is missing": ("x = 1\nimport no_such_package", "bowl.py, line 2: ModuleNotFoundError: No module named"),
    "an error": ("def f():\n    return {}['key']\n\nf()", "bowl.py, line 2: KeyError: 'key'"),
    "no experiment": ("x = 1", "bowl.py: found none, expected exactly one instance of a class"),
    "a class alone": (BOWL.replace("experiment = RollDown()", ""), "bowl.py: found none, expected exactly one instance"),
    "two": (BOWL + "\nother = RollDown()", "bowl.py: found 2 experiments: experiment, other, expected exactly one"),
    "another name": (BOWL.replace('"bowl"', '"dish"'), "bowl.toml: experiment: found 'bowl', expected 'dish', the name of the experiment in bowl.py"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("verb", ["run", "train"])
def test_files_that_hold_no_experiment(workplace: Any, say: Any, text: Any, message: Any, verb: Any) -> None:
    (workplace / "bowl.py").unlink()
    if text is not None:
        (workplace / "bowl.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    said, code = say(verb, *FILE)
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (workplace / "runs").exists()


def test_one_experiment_under_two_names_is_one(workplace: Any) -> None:
    (workplace / "bowl.py").write_text(BOWL + "\nalias = experiment")
    assert registry.from_file("bowl.py").load().name == "bowl"


def test_no_such_experiment(workplace: Any, say: Any) -> None:
    said, code = say("run", "bowl.toml")
    assert code == 2
    assert "bowl.toml: experiment: 'bowl' is not installed, expected one of excolor, or --experiment FILE.py" in said
    (workplace / "bowl.toml").write_text((workplace / "bowl.toml").read_text().replace('"bowl"', "3"))
    assert "bowl.toml: experiment: found 3, expected the name of an experiment" in say(*RUN)[0]
    assert not (workplace / "runs").exists()


def test_a_source_travels_in_the_place_of_what_cannot(workplace: Any) -> None:
    """What the file defines cannot be unpickled elsewhere; its source can, where there is no such file."""
    source = registry.from_file("bowl.py")
    space = study.read("bowl.toml", experiment="bowl.py")
    module = type(source.load()).__module__
    sent = [cloudpickle.dumps(each) for each in (source, space)]
    del sys.modules[module]
    (workplace / "bowl.py").unlink()
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(pickle.dumps(source.load()).replace(module.encode(), module[:-1].encode() + b"x"))
    del sys.modules[module]
    received, there = map(pickle.loads, sent)
    assert received.load().name == "bowl"
    assert there.setting(next(there.corners())).title == "How fast may a point roll?"
    assert not source.packages()


def test_what_is_known_of_a_source(workplace: Any) -> None:
    source = registry.from_file("bowl.py")
    assert source.record["file"] == "bowl.py"
    assert source.version == "7"
    (workplace / "bowl.py").write_text(BOWL + "\n# more")
    assert registry.from_file("bowl.py").digest != source.digest
    installed = registry.find()
    assert installed == registry.find("excolor")
    assert installed.target == "excolor.experiment:experiment"
    assert [path.name for path in installed.packages()][-1:] == ["excolor"]
    assert len(installed.digest) == 64


def test_a_study_of_version_0_1_is_of_the_default_experiment() -> None:
    folder = study.load(Path(__file__).parents[2] / "analysis" / "published" / "hue")
    assert "experiment" not in folder.manifest()
    assert folder.source == registry.find()
    assert next(iter(folder.metrics)) == folder.goal.objectives[0] == "isolation"
    assert folder.answer().setting in folder.confirmation().setting.tolist()
    assert set(folder.references) < set(folder.confirmation().setting)  # which it named otherwise
