"""Replication is in one place: nobody else's code has an axis of replicas."""

import ast
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
REPLICATE = {"vmap", "stack_module_state", "functional_call"}
ALLOWED = {"anchoring/replicas.py": REPLICATE, "anchoring/step.py": {"functional_call"}}
FILES = sorted(path for folder in ("anchoring", "excolor", "examples") for path in (ROOT / folder).rglob("*.py"))


def replicating(code: str) -> set[str]:
    """Names that make many replicas of one, wherever code has them: imported, called or as an attribute."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name.rpartition(".")[2])
    return found & REPLICATE


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_file_makes_many_replicas(path: Any) -> None:
    name = str(path.relative_to(ROOT))
    assert replicating(path.read_text()) <= ALLOWED.get(name, set())


def test_it_would_be_found() -> None:
    assert all(replicating((ROOT / name).read_text()) == names for name, names in {
        "anchoring/replicas.py": {"vmap", "functional_call"}, "anchoring/step.py": {"functional_call"},
    }.items())  # fmt: skip
    assert replicating("import torch\ntorch.func.vmap(f)(x)") == {"vmap"}
    assert replicating("from torch.func import stack_module_state as s") == {"stack_module_state"}
    assert replicating("from torch import vmap") == {"vmap"}
    assert not replicating("'vmap'\n# functional_call")
