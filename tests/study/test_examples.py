"""The public names of the framework have examples in their docstrings, and the examples do what they say."""

import doctest
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "study.md").read_text("utf-8")
SHOWN = re.findall(r"^::: (study[\w.]+)\n(?:    options:\n      members: \[(.*)\])?", PAGE, re.MULTILINE)
WITHOUT = {
    "study.experiment.Setting",
    "study.experiment.Rung",
    "study.evidence.ranking.RankedStudy",
    "study.testing.ExperimentConformance",
    *(f"study.api.{name}" for name in ("run", "survey", "resume", "confirm", "report", "compare")),
    *(f"study.fixed.{name}" for name in ("train", "arms", "path", "vary")),
}
"""Names whose example is elsewhere: in the functions that take such an object, at the top of the module, or, if it takes
a minute, on the page `docs/from-python.md`, which `tests/docs` runs."""


def public(module: Any, members: Any) -> Any:
    """The classes and functions that a page of the reference shows of a module."""
    values = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    own = {n: v for n, v in values.items() if getattr(v, "__module__", "") == module.__name__}
    return {n: v for n, v in own.items() if (inspect.isclass(v) or inspect.isfunction(v)) and n in (members or own)}


@pytest.mark.parametrize(("name", "members"), SHOWN)
def test_examples(name: Any, members: Any) -> None:
    module = importlib.import_module(name)
    shown = public(module, re.findall(r"\w+", members))
    assert shown
    missing = [n for n, v in shown.items() if f"{name}.{n}" not in WITHOUT and ">>> " not in (inspect.getdoc(v) or "")]
    assert not missing
    ran = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert ran.failed == 0
