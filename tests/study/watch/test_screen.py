"""Progress where people look: a terminal, a notebook, and lines elsewhere, at least two a minute."""

import io
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from rich.text import Text

from study.watch import screen
from study.watch.screen import Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(terminal: Any, act: Any) -> Any:
    text = Terminal() if terminal else io.StringIO()
    act(Screen(file=text, width=80, force_terminal=terminal, _environ={"TERM": "xterm"}))
    return text.getvalue()


def wait(console: Any) -> None:
    done = iter(range(100))
    with console.following(lambda: Text("a view"), lambda: f"line {next(done)}"):
        time.sleep(0.2)


def test_a_pipe_gets_lines_at_least_twice_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen.IN_A_PIPE <= 30
    assert shown(False, wait) == ""  # it was over before
    monkeypatch.setattr(screen, "IN_A_PIPE", 0.05)
    lines = shown(False, wait).splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert 1 <= len(lines) <= 4


def test_a_terminal_gets_a_view_that_is_gone_at_the_end() -> None:
    said = shown(True, wait)
    assert "a view" in said
    assert said.endswith("\x1b[2K")  # erases its line


def test_a_quiet_console_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "IN_A_PIPE", 0.05)

    def quietly(console: Any) -> None:
        console.quiet = True
        wait(console)

    assert shown(False, quietly) == shown(True, quietly) == ""


def test_what_is_counted_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "IN_A_PIPE", 0.05)

    def work(console: Any) -> None:
        with console.progress("training", 100, "steps") as update:
            update(completed=40)
            time.sleep(0.15)

    assert shown(False, work).startswith("training, 40 of 100 steps, after 0 s")


@pytest.mark.live
@pytest.mark.skipif(sys.platform == "win32", reason="a kernel's socket is a file")
def test_a_notebook_shows_the_view_and_updates_it(tmp_path: Path) -> None:
    source = """
import time
from study.watch import screen

screen.IN_A_NOTEBOOK = 0.05
count = iter(range(1000))
with screen.console.following(lambda: f"view {next(count)}", str):
    time.sleep(0.5)
    assert next(count) > 2  # asked again and again
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    seen = []

    class Client(NotebookClient):
        def process_message(self, message: Any, *rest: Any) -> Any:
            if message["msg_type"] in ("display_data", "update_display_data"):
                seen.append(message["content"]["data"]["text/html"])
            return super().process_message(message, *rest)

    Client(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [re.sub("<[^>]*>", "", page).strip() for page in (*seen[:2], seen[-1])] == ["view 0", "view 1", ""]
