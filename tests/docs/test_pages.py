"""What the documentation says can be done is done here: its Python runs, its files are read, its commands are parsed.

```python blocks of a page are run one after the other, in a folder that has search_spaces/ and a study, first-look;
```py blocks are only parsed. A block with a title is a file, and a TOML one with a schedule is read as a space.
"""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from study import cli
from study.record.folder import StudyFolder
from study.space.space import Space

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Any, *kinds: Any) -> Any:
    return [(title, text) for kind, title, text in BLOCK.findall(page.read_text()) if kind in kinds]


def having(*kinds: Any) -> Any:
    return [pytest.param(page, id=page.stem) for page in PAGES if blocks(page, *kinds)]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hue: StudyFolder) -> Any:
    """A folder in which what a page says can be tried."""
    (tmp_path / "search_spaces").symlink_to(ROOT / "search_spaces")
    (tmp_path / "runs").mkdir()
    for name in ("first-look", "hue-001"):
        (tmp_path / "runs" / name).symlink_to(hue.path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", having("python"))
def test_python_runs(page: Any, workplace: Any) -> None:
    names: dict[str, Any] = {}
    for _, text in blocks(page, "python"):
        exec(compile(text, page.name, "exec"), names)


@pytest.mark.parametrize("page", having("py"))
def test_what_is_not_run_is_python_all_the_same(page: Any) -> None:
    for _, text in blocks(page, "py"):
        compile(text, page.name, "exec")


@pytest.mark.parametrize("page", having("toml"))
def test_toml_and_csv_are_settings_and_spaces(page: Any, tmp_path: Path) -> None:
    files = blocks(page, "toml", "csv")
    for title, text in files:
        (tmp_path / (title or "unnamed")).write_text(text)
    for title, text in blocks(page, "toml"):
        if "schedule" in tomllib.loads(text) and title:
            Space.read(tmp_path / title)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_a_page_links_to_are_there(page: Any) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose)]
    missing = [link for link in links if link and "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", having("sh"))
def test_commands_are_ours_and_have_these_options(page: Any) -> None:
    app = typer.main.get_command(cli.app)
    for _, text in blocks(page, "sh"):
        for line in re.sub(r"\\\n", " ", text).splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["study"] and words[1:] != ["--version"]:
                command = app.get_command(None, words[1])  # type: ignore[attr-defined]
                assert command, line
                command.make_context(words[1], words[2:])  # a usage error is raised
