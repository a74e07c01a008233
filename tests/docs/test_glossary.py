"""The words of the glossary are in use, and words that had other meanings once are gone."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
TERMS = re.findall(r"^\| (?!word)([a-z ]+) \|", GLOSSARY.read_text(), re.MULTILINE)
PAGES = "\n".join(
    page.read_text().lower() for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")) if page != GLOSSARY
)

RETIRED = {
    r"\bseed setting\b|\bthe seed's (setting|experiment|training|own terms)\b": "a setting is named by what it is",
    r"\bpublished\.(toml|csv)\b|\bseed\.(toml|csv)\b|\bseed-red\.": "hue-deletion, subspace-ablation",
    r"\bpublished (setting|hue deletion|work|measure|experiment|grid|terms|model)\b": "the paper's",
    r"\bdata\.affinities\b|affinity\^power": "attributes",
    r"\bspared\b|\.hear\(": "exempted, add",
}
"""Words that no file may have, and what to write instead. The changelog may say what has changed."""


def test_the_glossary_is_in_order() -> None:
    assert sorted(TERMS) == TERMS
    assert len(set(TERMS)) == len(TERMS) > 20


@pytest.mark.parametrize("term", TERMS)
def test_each_term_is_in_use(term: Any) -> None:
    assert re.search(rf"\b{term}", PAGES)


def test_retired_words_are_gone() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("the sources are not a git checkout")
    kept = ("CHANGELOG.md", "analysis/published/", "tests/docs/test_glossary.py", "requirements.lock")
    files = [
        name
        for name in listed.stdout.splitlines()
        if not name.startswith(kept) and not name.endswith((".png", ".parquet", ".safetensors"))
    ]
    found = [
        f"{name}:{number}: {match.group()!r}: write {instead}"
        for name in files
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text().splitlines(), start=1)
        if len(line) < 10_000  # not the figures of notebooks
        for pattern, instead in RETIRED.items()
        if (match := re.search(pattern, line))
    ]
    assert not found, "\n".join(found)
