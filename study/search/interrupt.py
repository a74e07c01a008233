"""Ctrl-C: the first one stops the work at a point where its files are complete. The second one ends the process at
once; what is recorded stays."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import NoReturn

from study.watch.screen import console


@contextmanager
def interrupts_restored() -> Iterator[None]:
    """A context. When it ends, Ctrl-C does again what it did before."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interruptible(stop: Callable[[], None] | None = None) -> Iterator[None]:
    """A context in which the first Ctrl-C calls `stop`, or raises KeyboardInterrupt.

    The next Ctrl-C, in the context or after it, ends the process with exit code 130. In a notebook it raises
    KeyboardInterrupt instead, so the kernel lives on. Outside the main thread, the only one that gets signals, nothing
    changes.
    """
    if current_thread() is not main_thread():
        yield
        return

    def first(*_: object) -> None:
        signal.signal(signal.SIGINT, leave)
        if stop is None:
            raise KeyboardInterrupt
        stop()

    def leave(*_: object) -> NoReturn:
        if console.is_jupyter:
            raise KeyboardInterrupt
        if os.isatty(1):
            os.write(1, b"\x1b[?25h\n")  # a live view hides the cursor
        os._exit(130)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is first:
            signal.signal(signal.SIGINT, before)
