"""One driver for each study: a process that writes to a study's folder holds its lock. The operating system releases
the lock when the process ends, in whatever way."""

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

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # errors of file systems without locks


@contextmanager
def driving(folder: Path) -> Iterator[None]:
    """A context that holds a study's lock. On a file system without locks, it warns and continues.

    Raises:
        InputError: if another process holds the lock, or the folder cannot be written to.
    """
    try:
        lock = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}), expected a writable folder") from None
    with lock:
        for wait in (0, 0.1, 0.3, 0.6):  # `is_held` takes the lock for a moment
            time.sleep(wait)
            if (taken := _take(lock, fcntl.LOCK_EX)) is not False:
                break
        else:
            lock.seek(0)
            found = f"{lock.read() or 'another process'} is working on the study"
            raise InputError(f"{folder}: {found}, expected no other process (wait for it, or end it)")
        if taken is None:
            why = "its file system has no locks: make sure that no other process works on the study"
            warnings.warn(f"{folder}: {why}", RuntimeWarning, stacklevel=3)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        yield


def is_held(folder: Path) -> bool | None:
    """Whether a process holds a study's lock. None if the folder is a copy without a lock, or cannot be locked."""
    try:
        with open(folder / ".lock", "rb") as lock:
            taken = _take(lock, fcntl.LOCK_SH)
    except FileNotFoundError:
        return None
    return None if taken is None else not taken


def _take(lock: IO[bytes] | IO[str], kind: int) -> bool | None:
    """Take a lock until its file is closed, and return whether that worked. None if the file system has no locks."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # some file systems raise the second for a lock that is held
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True
