"""Turns of phrase that native readers stumble over, found in docstrings, comments, messages and pages.

Patterns find only what a pattern can: sentences without a verb, and facts in the wrong order, are for a reader's eye.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.test_house import ROOT

PLACES = ("anchoring", "excolor", "examples", "study", "analysis", "benchmarks", "search_spaces", "docs", "clusters")

PATTERNS = {
    "turn it round: `one of them is`, `whose replicas all are`": r"\bof (?:which|whose|whom)\b",
    "two in a row: make it two sentences": r"\bof what\b[^.;:]{0,60}\bof what\b",
    "say it in a sentence of its own": r"\b(?:by|in|to|for|with|from|at|on) whose\b",
    "name the thing before `who`": r"(?:\A|\b(?:and|tells?|says?|knows?|of|to|for) )[Ww]ho (?:is|are|has|was)\b",
    "name the thing instead of `what`": r"(?<!say )(?<!says )\bwhat (?:tells|has|had|is to|cannot|stands|there)\b(?![^.]*\?)",
    "say what it is, or that it is not one": r"(?<!there )\b(?:is|are) none\b(?! of (?:these|them|those)\b)",
    "say `no`, or `not one`": r"\bnone of (?:an?|the) [\w-]+['’]s\b",
    "say it directly": r"\b(?:such as|like) no\b",
    "say what only this does": r"\balone (?:is|are) to\b",
    "start with the subject and its verb": r"(?:(?:\A|\n\n|[.] )O|[;:] [Oo])f (?!course\b)",
    "start with a noun or a verb": r"\A(?:As (?!an? |the |with )|That |Those )",
    "name the number": r"\b(?:of|after|every|for|to|at|on|than|in|one) so many\b",
    "repeat the verb": r"\band so (?:is|are|was|were|do|does|has|have)\b",
    "it reads as `other than`: say distinct": r"\bexpected different\b",
}
"""What to do, and the phrases that call for it; a space is a space or a line's end."""

COMPILED = {why: re.compile(pattern.replace(" ", r"[ \n]")) for why, pattern in PATTERNS.items()}


def found(text: str, suffix: str) -> list[tuple[int, str, str]]:
    """The offending phrases in a file's prose: line, phrase, and what to do about it."""
    return [
        (line + prose.count("\n", 0, match.end()), " ".join(match.group().split()), why)
        for line, raw in READERS[suffix](text)
        for prose in [re.sub(r"[ \t]*\n[ \t]*", "\n", raw)]
        for why, pattern in COMPILED.items()
        for match in pattern.finditer(prose)
    ]


def of_python(text: str) -> Iterator[tuple[int, str]]:
    """Blocks of comments, and strings of more than a word, each with the line that it starts on."""
    for node in (tree := list(ast.walk(ast.parse(text)))):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    parts = {id(part) for node in tree if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in tree:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.lineno, node.value
    comments = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
    yield from _blocks((token.start[0], token.string.lstrip("# ")) for token in comments)


def of_lines(mark: str) -> Callable[[str], Iterator[tuple[int, str]]]:
    """A reader of comments that start with a mark, and of the quoted strings of TOML."""

    def read(text: str) -> Iterator[tuple[int, str]]:
        lines = [(number, line.partition(mark)) for number, line in enumerate(text.splitlines(), start=1)]
        yield from _blocks((number, comment.strip()) for number, (_, found, comment) in lines if found)
        for number, (code, _, _) in lines:
            yield from ((number, string) for string in re.findall(r'"([^"]*)"', code))

    return read


def of_page(text: str) -> Iterator[tuple[int, str]]:
    """A page without its code."""
    code = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
    yield 1, code.sub(lambda match: "`" + "\n" * match.group().count("\n") + "`", text)


def of_notebook(text: str) -> Iterator[tuple[int, str]]:
    """A notebook's cells; lines are counted within each."""
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        yield from of_page(source) if cell["cell_type"] == "markdown" else of_python(source)


READERS = {".py": of_python, ".md": of_page, ".ipynb": of_notebook, ".toml": of_lines("#"), ".h": of_lines("//")}


def _blocks(comments: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Comments on consecutive lines, together."""
    for _, block in groupby(enumerate(comments), lambda pair: pair[1][0] - pair[0]):
        lines = [comment for _, comment in block]
        yield lines[0][0], "\n".join(line for _, line in lines)


def files() -> list[Path]:
    """Every file with prose of ours, except this one, whose controls are bad on purpose, and files that are made.

    Published studies have copies of search spaces, and the page of commands is made from their help.
    """
    looked_at = [*ROOT.glob("*.md"), *ROOT.glob("*.py"), *ROOT.glob("*.toml")]
    looked_at += [file for place in (*PLACES, "tests") for file in (ROOT / place).rglob("*") if file.suffix in READERS]
    made = {*(ROOT / "analysis/published").glob("*/*"), ROOT / "docs/reference/commands.md", Path(__file__)}
    return sorted(file for file in {*looked_at} - made if file.is_file())


def test_no_phrase_is_one_to_stumble_over() -> None:
    hits = [
        f"{file.relative_to(ROOT)}:{line}: found {phrase!r}: {why}"
        for file in files()
        for line, phrase, why in found(file.read_text("utf-8"), file.suffix)
    ]
    assert not hits, "\n".join(["plainer words are needed:", *hits])


CONTROLS = [
    ("three brackets, of which later ones look first", "three brackets; later ones look first"),
    ("trials all of whose replicas diverged", "trials whose replicas all diverged"),
    ("the sum of what is lost of what was there", "a list of what ablation does"),
    ("inputs, by whose shape widths are found", "inputs; their shape gives the widths"),
    ("every metric, and who has diverged", "the person who has diverged"),
    ("Who is to hear of a study", "Anyone who is curious"),
    ("by the key, which is what tells it", "says what has changed"),
    ("see\n    what there is", "What has a run?"),
    ("infinities and numbers that are none", "there are none yet; a concept that is none of these"),
    ("long lines are none of a setting's.", "None of the trials ended."),
    ("a size like no other", "a size no other axis has"),
    ("it alone is to stay open", "it stays open alone"),
    ("0 to 1. Of a replica that diverged, NaN.", "Of course, one of them is."),
    ("Args:\n    seeds: of the samples.", "Args:\n    seeds: One for each replica."),
    ("As `fit`; yields", "As a rule, it yields"),
    ("Stretch it to so many steps", "It has so many"),
    ("Unknown keys are errors, and so are infinities", "and so on"),
    ("expected different dimensions", "expected distinct dimensions"),
]


@pytest.mark.parametrize(("bad", "good"), CONTROLS)
def test_a_phrase_would_be_found(bad: Any, good: Any) -> None:
    assert found(f'"""{bad}"""', ".py")
    assert found("\n".join(f"x = 1  # {line}" for line in bad.splitlines()), ".py")
    assert found("\n".join(f"x = 1  # {line}" for line in bad.splitlines()), ".toml")
    assert found(bad, ".md")
    assert not found(f'"""{good}"""', ".py")
    assert not found(good, ".md")


def test_every_pattern_has_a_control() -> None:
    assert {why for bad, _ in CONTROLS for _, _, why in found(bad, ".md")} == set(PATTERNS)


def test_code_is_not_prose() -> None:
    assert not found("a `list of which` is\n```sh\nof which\n```\n", ".md")
    assert not found("x = none_of_which", ".py")
    assert found("f'{x}, one of which'", ".py")


def test_a_line_is_named() -> None:
    assert found('x = 1\n"""Words.\n\nA list, of\n  which one is it.\n"""', ".py")[0][0] == 5
    assert found("# A\n\nA list,\nof which", ".md")[0][0] == 4


def test_every_kind_of_file_is_looked_at() -> None:
    assert {file.suffix for file in files()} == set(READERS)
    assert len(files()) > 200
