"""The public names: what `__all__` lists can be imported, says what it is, and is what the pages promise."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import anchoring
import study

ROOT = Path(__file__).parent.parent
PACKAGES = [anchoring, study]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_there_and_documented(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    for name in names:
        value = getattr(package, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_a_name_that_is_not_there_is_an_attribute_error(package: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing  # type: ignore[attr-defined]


def test_public_functions_say_arguments_results_and_errors() -> None:
    for name in study.__all__:
        function = getattr(study, name)
        if inspect.isfunction(function):
            for part in ("Args:", "Returns:", "Raises:"):
                assert part in (inspect.getdoc(function) or ""), (name, part)


def test_a_star_import_brings_these_names_alone() -> None:
    script = "from study import *; print(sorted(name for name in dir() if not name.startswith('_')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(sorted(name for name in study.__all__ if not name.startswith("_")))


def test_packages_are_typed() -> None:
    for package in ("anchoring", "excolor", "study", "analysis"):
        assert (ROOT / package / "py.typed").is_file(), package
