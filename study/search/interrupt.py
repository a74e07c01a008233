"""Ctrl-C, a closed terminal and SIGTERM: the first of them stops the work at a point where its files are complete. A
second Ctrl-C ends the process at once; what is recorded stays."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import NoReturn

from study.watch.screen import console

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """SIGTERM, after which a scheduler soon kills."""


@contextmanager
def interrupts_restored() -> Iterator[None]:
    """A context. When it ends, Ctrl-C and the other signals do again what they did before."""
    if current_thread() is not main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible(stop: Callable[[type[KeyboardInterrupt]], None] | None = None) -> Iterator[None]:
    """A context in which the first Ctrl-C, SIGTERM or closed terminal calls `stop` with an exception's class, or raises
    that exception: KeyboardInterrupt, or Terminated after SIGTERM.

    The next Ctrl-C, in the context or after it, ends the process with exit code 130. In a notebook it raises
    KeyboardInterrupt instead, so the kernel lives on. Outside the main thread, the only one that gets signals, nothing
    changes. Nor does a signal that this process was started to ignore, as by `nohup`.
    """
    if current_thread() is not main_thread():
        yield
        return

    def first(number: int, _: object) -> None:
        signal.signal(signal.SIGINT, leave)
        for other in caught - {signal.SIGINT}:
            signal.signal(other, lambda *_: None)  # a terminal may send its signal twice
        exception = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if stop is None:
            raise exception
        stop(exception)

    def leave(*_: object) -> NoReturn:
        if console.is_jupyter:
            raise KeyboardInterrupt
        if os.isatty(1):
            os.write(1, b"\x1b[?25h\n")  # a live view hides the cursor
        os._exit(130)

    caught = {number for number in SIGNALS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, first) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is first:
                signal.signal(number, handler)


@contextmanager
def until_interrupted(interrupted: list[type[KeyboardInterrupt]]) -> Iterator[None]:
    """A context that an interruption ends. Its class is added to the list, also where Ray raises another instead."""

    def stop(exception: type[KeyboardInterrupt]) -> NoReturn:
        interrupted.append(exception)
        raise exception

    try:
        with interruptible(stop):
            yield
    except KeyboardInterrupt as ending:
        interrupted.append(type(ending))
        console.print("interrupted: once more (Ctrl-C) leaves at once")
