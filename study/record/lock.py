"""One driver a study: whoever writes to its folder holds its lock, which the system frees however the process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from anchoring.errors import InputError

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # what a file system without locks answers


@contextmanager
def driving(folder: Path) -> Iterator[None]:
    """Hold a study's lock. On a file system without locks, warn and go on.

    Raises:
        InputError: if another process holds it, or the folder cannot be written to.
    """
    try:
        lock = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}), expected a study to go on with") from None
    with lock:
        for wait in (0, 0.1, 0.3, 0.6):  # `is_held` takes the lock for a moment
            time.sleep(wait)
            if (taken := _take(lock, fcntl.LOCK_EX)) is not False:
                break
        else:
            lock.seek(0)
            found = f"found {lock.read() or 'another process'} at work on it"
            raise InputError(f"{folder}: {found}, expected one at a time (wait for it, or end it)")
        if taken is None:
            warnings.warn(f"{folder}: cannot be locked: see that nobody else works on it", RuntimeWarning, stacklevel=3)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        yield


def is_held(folder: Path) -> bool | None:
    """Whether a process holds a study's lock; None if it has none, as a copy, or its file system has no locks."""
    try:
        with open(folder / ".lock", "rb") as lock:
            taken = _take(lock, fcntl.LOCK_SH)
    except FileNotFoundError:
        return None
    return None if taken is None else not taken


def _take(lock: IO[bytes] | IO[str], kind: int) -> bool | None:
    """Whether a lock could be taken, until its file is closed; None if its file system has no locks."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second is some file systems' word for the first
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True
