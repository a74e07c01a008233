"""One driver a study: whoever writes to its folder holds its lock, which the system frees however the process ends."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from anchoring.errors import InputError


@contextmanager
def driving(folder: Path) -> Iterator[None]:
    """Hold a study's lock. Raises InputError if another process does, or the folder cannot be written to."""
    file = folder / ".lock"
    lock = FileLock(file)
    try:
        held = lock.acquire(timeout=1)  # who looks at a study asks for it, too, for a moment
    except Timeout:
        found = f"found {file.read_text() or 'another process'} at work on it"
        raise InputError(f"{folder}: {found}, expected one at a time (wait for it, or end it)") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}), expected a study to go on with") from None
    with held:
        file.write_text(f"process {os.getpid()} on {platform.node()}")
        yield


def is_held(folder: Path) -> bool | None:
    """Whether a process holds a study's lock; None of a study that has none, such as a copy."""
    try:
        with open(folder / ".lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return True
    return False
