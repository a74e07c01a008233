"""The published settings that a study's best are compared with."""

from __future__ import annotations

from pathlib import Path

from excolor.concepts import Concept
from study.space.space import Space

SPACES = Path(__file__).parents[2] / "search_spaces"
REFERENCES = tuple(SPACES / f"{name}.toml" for name in ("seed", "published", "seed-red"))


def references(concept: Concept) -> tuple[Path, ...]:
    """The published settings that isolate a concept, of which there may be none."""
    return tuple(file for file in REFERENCES if file.exists() and Space.read(file).concept == concept)
