"""The command line. Its commands are in the modules that are imported here, in the order of `study --help`."""

from __future__ import annotations

import atexit
import gc
import io
import logging
import sys

from rich.console import Console

from anchoring.errors import FailedError, InputError, visible

from study.cli import search, arms, vary, path, confirm, submit, train, status, look, compare, new, dashboard  # noqa: F401  # isort: skip
from study.cli.options import app
from study.surroundings import expect_folder, have_a_home, open_streams
from study.watch.screen import console

__all__ = ["app", "console", "main"]


def main() -> None:
    """Run the command line: exit code 0 for done, 1 for work that failed, 2 for wrong input."""
    atexit.register(gc.freeze)  # at its end, Python would look for garbage among all of PyTorch, for seconds
    open_streams()
    have_a_home()
    logging.raiseExceptions = False  # of a library's log that cannot be written, on a full disk
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that the terminal does not know ends nothing
    errors = Console(stderr=True, emoji=False)
    try:
        expect_folder()
        app()
    except InputError as error:
        errors.print(f"error: {error}", style="logging.level.error", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except (FailedError, OSError) as error:
        errors.print(
            f"failed: {visible(str(error))}", style="logging.level.error", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(1)
