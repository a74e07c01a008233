"""The rules of the house that a look at the sources checks: what study/ may know, which way imports run, no rings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
WINGS = ("anchoring", "excolor", "study", "analysis", "examples")

EXPERIMENTS = re.compile(r"excolor|colou?r|hue|\bred\b", re.IGNORECASE)
"""Words of the experiment with colours, which the framework must not know."""

ARROWS = {
    "anchoring": ("anchoring",),
    "excolor": ("excolor", "anchoring", "study.experiment"),
    "examples": ("examples", "anchoring", "study.experiment", "study.testing"),
    "study": ("study", "anchoring.dopesheet", "anchoring.errors"),
    "analysis": ("analysis", "study", "excolor", "anchoring"),
}
"""What each folder may import of ours: a package, and all in it, or a module."""


def sources(root: Path) -> dict[str, str]:
    """The text of each of our modules, by its dotted name; that of a package is its `__init__`'s."""
    files = {wing: sorted((root / wing).rglob("*.py")) for wing in WINGS}
    return {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file.read_text("utf-8")
        for of_wing in files.values()
        for file in of_wing
    }


def imports(module: str, text: str, modules: dict[str, str]) -> Iterator[tuple[int, str]]:
    """The lines and modules of ours that a module imports, wherever it does so, in functions and for types, too."""
    is_package = any(other.startswith(f"{module}.") for other in modules)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            inner = [f"{start}.{alias.name}" for alias in node.names]
            names = [name if name in modules else start for name in inner]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.partition(".")[0] in WINGS)


def words(texts: dict[str, str]) -> list[str]:
    """Where texts, by their files, name an experiment."""
    return [
        f"{file}:{number}: {line.strip()}"
        for file, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if EXPERIMENTS.search(line)
    ]


def wrong_ways(modules: dict[str, str]) -> list[str]:
    """The imports that run against the arrows."""
    return [
        f"{module}:{line}: {name}"
        for module, text in modules.items()
        for line, name in imports(module, text, modules)
        if not any(name == to or name.startswith(f"{to}.") for to in ARROWS[module.partition(".")[0]])
    ]


def rings(modules: dict[str, str]) -> list[list[str]]:
    """Modules that import each other, directly or by others: each ring from its first module back to it."""
    edges = {module: sorted({name for _, name in imports(module, text, modules)}) for module, text in modules.items()}
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for name in edges.get(module, []):
                visit(name, [*path, module])
            done.add(module)

    for module in edges:
        visit(module, [])
    return found


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    return sources(ROOT)


def test_the_framework_knows_no_experiment() -> None:
    files = [file for file in (ROOT / "study").rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert len(files) > 40
    assert words({str(file): file.read_text("utf-8") for file in files}) == []


def test_imports_run_one_way(ours: Any) -> None:
    assert wrong_ways(ours) == []


def test_no_files_import_each_other(ours: Any) -> None:
    assert rings(ours) == []


def test_the_sources_are_looked_at(ours: Any) -> None:
    assert {"study", "study.search.run", "anchoring.dopesheet", "excolor.experiment", "analysis.words"} <= ours.keys()
    found = {name for _, name in imports("study.search.run", ours["study.search.run"], ours)}
    assert {"study.record.folder", "study.search.journal"} <= found  # the module, of `from study.search import journal`


@pytest.mark.parametrize("text", ["from excolor import x", "style = 'red'", "# the hue", "no_color = 1", "Colours"])
def test_a_word_would_be_found(text: Any) -> None:
    assert words({"study/a.py": text})
    assert not words({"study/a.py": "reduced, tired, a cube"})


WRONG = [
    ("study.a", "def f():\n    from excolor.models import ColorMLP"),
    ("study.a", "import analysis"),
    ("study.a", "from anchoring.setting import Setting"),
    ("study.a", "from anchoring import InputError"),
    ("anchoring.a", "if TYPE_CHECKING:\n    from excolor import colors"),
    ("excolor.a", "from study.space.space import Space"),
    ("excolor.a", "import study"),
    ("examples.a", "from excolor import colors"),
]


@pytest.mark.parametrize(("module", "text"), WRONG)
def test_a_wrong_way_would_be_found(module: Any, text: Any) -> None:
    assert wrong_ways({module: text})


def test_the_right_ways_are_let_through() -> None:
    right = {
        "study.a": "from anchoring.errors import InputError\nimport torch\nfrom study import b",
        "study.b": "from anchoring.dopesheet import Dopesheet",
        "excolor.a": "from study.experiment import Metric\nimport anchoring.terms",
        "analysis.a": "import study\nfrom excolor import colors",
    }
    assert wrong_ways(right) == []


RINGS = [
    {"study.a": "from study.b import x", "study.b": "def f():\n    import study.a"},
    {"study.a": "from study import b", "study.b": "from study.c import x", "study.c": "from . import a"},
    {"study": "from study.a import x", "study.a": "from study import y"},
    {"excolor.a": "from anchoring import b", "anchoring.b": "if TYPE_CHECKING:\n    from excolor.a import x"},
]


@pytest.mark.parametrize("modules", RINGS, ids=range(len(RINGS)))
def test_a_ring_would_be_found(modules: Any) -> None:
    assert rings(modules)


def test_what_is_no_ring_is_let_through() -> None:
    assert rings({"study": "from study.a import x", "study.a": "from study.b import y", "study.b": ""}) == []


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by their names, and refuses a second one."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert not {name for name in names if names.count(name) > 1}
