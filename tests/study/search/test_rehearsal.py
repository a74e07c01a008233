"""What would fail in every trial is said before the first."""

from typing import Any

import pytest

from tests.study.conftest import EXPERIMENTS

BOWL = (EXPERIMENTS / "bowl.py").read_text()


def line_of(text: Any, part: Any) -> Any:
    """The number of the line of a text that a part of it begins in."""
    return text[: text.index(part)].count("\n") + 1


FILE = ("bowl.toml", "--experiment", "bowl.py")
RUN = ("run", *FILE, "--trials", "1", "--confirm", "0")


DEPTH = '"depth": depth, '
TRIES = {
    "a setting that raises": ('title"], schedule', 'tilte"], schedule', 'document["tilte"]', "bowl.toml: bowl.py, line {}: KeyError: 'tilte'"),
    "a training that raises": ("steps = len", "steps = 1 / 0 * len", "steps = 1 / 0", "bowl.py, line {}: ZeroDivisionError"),
    "an error in PyTorch": ("* steep *", "* steep[:1].expand(7) *", "* steep[:1]", "bowl.py, line {}: RuntimeError: The size"),
    "metrics that raise": ('"speed": Metric(', '"speed": Matric(', "Matric(", "bowl.py, line {}: NameError"),
    "a model that raises": ("return Points(seeds", "return Pints(seeds", "Pints", "bowl.py, line {}: NameError"),
    "references that raise": ('with_name("bowl-slow.toml")', "nonsense", ".nonsense", "bowl.py, line {}: AttributeError"),
    "too few numbers": (DEPTH, '"depth": depth[:1], ', "", "experiment bowl: metric depth: found shape [1], expected shape [2]"),
    "one number": (DEPTH, '"depth": torch.tensor(0.5), ', "", "metric depth: found shape [], expected shape [2]"),
    "yes or no": (DEPTH, '"depth": away < 1, ', "", "metric depth: found "),
    "a missing metric": (DEPTH, "", "", "experiment bowl: metric depth: declared but not measured"),
    "a metric that nobody declared": (DEPTH, DEPTH + '"width": away, ', "", "metric width: measured but not declared"),
    "not a number": (DEPTH, '"depth": depth * torch.nan, ', "", "metric depth: found nan for replica 0, expected a finite number"),
    "nothing declared": ('return {\n            "depth"', 'return {} and {\n            "depth"', "", "experiment bowl: metrics: found {}, expected a mapping"),
    "a reserved name": ('"speed": Metric', '"seed": Metric', "", "metrics: found 'seed', expected a printable name"),
    "a meaning alone": ('Metric("how fast it is, measured on request", ideal=None, examined=True)', '"fast"', "", "metrics: speed: found 'fast', expected"),
    "no model": ("return model\n", "return None\n", "", "experiment bowl: train: returned None, expected a torch.nn.Module"),
    "no rung": ("if step in ends:", "if step > steps:", "", "train: called on_rung 0 times with rungs=1"),
    "another model": ("return model\n", "return nn.Linear(2, 2)\n", "", "experiment bowl: model: found the tensors {'at': [2, 2]}, expected those that train returns"),
    "an objective that cannot be": ("diverged=0.0, failure=0.5", "failure=0.5", "", "found depth first, a metric that leaves out diverged replicas"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "message"), TRIES.values(), ids=TRIES.keys())
def test_what_would_fail_in_every_trial_is_said_before_the_first(
    workplace: Any, say: Any, old: Any, new: Any, at: Any, message: Any
) -> None:
    assert old in BOWL
    text = BOWL.replace(old, new)
    (workplace / "bowl.py").write_text(text)
    said, code = say(*RUN)
    assert code == 2, said
    assert (message.format(line_of(text, at)) if at else message) in said
    assert said.count("\n") == 1
    assert not (workplace / "runs").exists()


def test_a_training_that_raises_is_located_in_train_too(workplace: Any, say: Any) -> None:
    text = BOWL.replace("steps = len", "steps = 1 / 0 * len")
    (workplace / "bowl.py").write_text(text)
    said, code = say("train", "bowl-slow.toml", "--experiment", "bowl.py", "--name", "x")
    assert (code, said.count("\n")) == (2, 1)
    assert f"bowl.py, line {line_of(text, 'steps = 1 / 0')}: ZeroDivisionError: division by zero" in said
    assert not (workplace / "runs").exists()


def test_examining_what_has_no_examination(workplace: Any, say: Any) -> None:
    (workplace / "bowl.py").write_text(BOWL.replace("def examine(", "def look("))
    said, code = say("train", "bowl-slow.toml", "--experiment", "bowl.py", "--examine")
    assert code == 2
    assert "--examine: experiment bowl has no method `examine`" in said
