"""Every locked dependency may be used and passed on: its metadata says under which licence."""

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

LOCK = re.findall(r"^([\w.-]+==.*) \\$", (Path(__file__).parent.parent / "requirements.lock").read_text(), re.MULTILINE)
LOCKED = [lock.name for lock in map(Requirement, LOCK) if not lock.marker or lock.marker.evaluate()] + ["torch"]

ALLOWED = {
    *("MIT", "MIT License", "MIT-CMU", "MIT-0", "ISC", "ISC License (ISCL)", "0BSD", "Zlib", "CC0-1.0", "BSL-1.0"),
    *("BSD License", "BSD-2-Clause", "BSD-3-Clause", "3-Clause BSD License"),
    *("Apache 2.0", "Apache-2.0", "Apache Software License", "LLVM-exception"),
    *("PSF-2.0", "Python Software Foundation License"),
    *("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"),  # of files, which we do not change
}
BY_HAND = {"colour-science": "BSD-3-Clause"}  # its metadata says no more than OSI Approved


def licences(name: str) -> list[str]:
    """The licences that a distribution's metadata names."""
    metadata = importlib.metadata.metadata(name)
    classifiers = [c.split(" :: ")[-1] for c in metadata.get_all("Classifier", []) if c.startswith("License ::")]
    text = BY_HAND.get(name) or metadata.get("License-Expression") or " AND ".join(classifiers) or metadata["License"]  # type: ignore[attr-defined]
    return re.split(r" (?:AND|OR|WITH) ", text)


@pytest.mark.parametrize("name", LOCKED)
def test_licences_of_the_lock(name: Any) -> None:
    try:
        found = licences(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed: another lock was")
    assert set(found) <= ALLOWED
