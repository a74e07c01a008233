"""Where people look: the terminal, a notebook's output, or a pipe. What files say is shown there and not obeyed, and a
character that cannot be shown there is a question mark."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from threading import Event, Thread
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.jupyter import JupyterMixin
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from anchoring.errors import visible

IN_A_NOTEBOOK = 1.0  # seconds between two updates
IN_A_PIPE = 25.0

NARROWEST = 10
"""Columns. In fewer than these, as some programs claim that a terminal has (0), nothing could be read."""


def ignore_narrow() -> None:
    """Forget COLUMNS if it is no width: libraries would print nothing."""
    if os.environ.get("COLUMNS", "").isdigit() and int(os.environ["COLUMNS"]) < NARROWEST:
        del os.environ["COLUMNS"]


class Screen(Console):
    """A console that shows control characters, with which a file could take over a terminal."""

    def __init__(self, **options: Any) -> None:
        ignore_narrow()
        super().__init__(emoji=False, **options)
        self.push_render_hook(_Visible())
        if not (options or self.is_live or "COLUMNS" in os.environ):
            self.width = 160  # a pipe or a file is as wide as need be

    def _check_buffer(self) -> None:
        """Write the output. Where that fails, since nobody reads it or a disk is full, show nothing more."""
        if self.quiet:
            del self._buffer[:]
            return
        try:
            self._write_buffer()
        except OSError:
            self.quiet = True
            del self._buffer[:]
            with suppress(OSError, ValueError):  # of a file without a number; or else Python fails at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    @property
    def is_live(self) -> bool:
        """Whether `following` shows its view, not its lines. A log to which rich is to write styles gets lines."""
        return self.is_jupyter or (self.is_interactive and self.file.isatty())

    @contextmanager
    def following(self, view: Callable[[], RenderableType], line: Callable[[], str]) -> Iterator[None]:
        """Show what changes meanwhile.

        A terminal shows `view` four times a second, a notebook once a second, and both remove it at the end. Anything
        else, such as a pipe or a log, gets the text of `line` at least twice a minute.
        """
        if self.quiet:
            yield
        elif self.is_jupyter:
            from IPython.display import display

            shown = display(_Shown(view()), display_id=True)
            with _every(IN_A_NOTEBOOK, lambda: shown.update(_Shown(view()))):
                yield
            shown.update(_Shown(""))
        elif self.is_live:
            with Live(console=self, get_renderable=view, refresh_per_second=4, transient=True):
                yield
        else:
            with _every(IN_A_PIPE, lambda: self.print(line(), markup=False, highlight=False, soft_wrap=True)):
                yield

    @contextmanager
    def progress(self, title: str, total: float | None = None, unit: str = "") -> Iterator[Callable[..., None]]:
        """Show a progress bar meanwhile. Yields `update(completed=, total=, description=)`, all of them optional."""
        columns = [TextColumn("{task.description}"), BarColumn()]
        if unit:
            columns += [TextColumn("{task.completed:,.0f} " + unit), TimeRemainingColumn()]
        bar = Progress(*columns, console=self)
        task = bar.add_task(title, total=total)

        def line() -> str:
            now = bar.tasks[0]
            done = f", {now.completed:,.0f} of {now.total:,.0f} {unit}" if now.total else ""
            left = f", about {now.time_remaining:,.0f} s left" if now.time_remaining else ""
            return f"{now.description}{done}, after {now.elapsed or 0:,.0f} s{left}"

        with self.following(bar.get_renderable, line):
            yield partial(bar.update, task)


@contextmanager
def _every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again meanwhile, on a thread of its own."""
    over = Event()

    def again() -> None:
        while not over.wait(seconds):
            act()

    # in a notebook, output goes to the cell of the context
    thread = Thread(target=copy_context().run, args=(again,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Visible(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(renderable) for renderable in renderables]


class _Shown(JupyterMixin):
    def __init__(self, renderable: RenderableType):
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text, style, control in console.render(self._renderable, options):
            shown = text if control else "\n".join(map(visible, text.split("\n")))
            shown = shown.encode(console.encoding, "replace").decode(console.encoding)
            yield Segment(shown, style, control)


console = Screen()
"""Where the package prints: `console.quiet = True` silences it."""
