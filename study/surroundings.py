"""What surrounds a process: what its machine or container allows it, and variables that are for other programs."""

from __future__ import annotations

import os
import re
import resource
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anchoring.errors import InputError

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")

LONGEST = 31
"""Characters of the path of a folder for sockets. The system allows a socket 103, and Ray adds up to 70."""

THREADS, THREADS_OF_A_WORKER = 180, 40
"""Processes and threads of a study and its Ray. With one worker, 190 were counted."""

ADDRESSES, SHARED = 12 * 2**30, 0.3
"""Bytes of addresses that a process of Ray takes, and the share of the machine's memory that it maps as well."""

LAUNCHED = re.compile(
    r"SLURM_(NTASKS|NPROCS|TASKS|PROCID|LOCALID|NODEID|STEP).*|OMPI_COMM_.*|MV2_COMM_.*|MPI_LOCAL.*|PMIX?_.*"
    r"|JSM_NAMESPACE_.*|LSB_DJOB_RANKFILE|TORCHELASTIC_.*|((GROUP|LOCAL|NODE|ROLE)_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)"
    r"|PL_TRAINER_.*|PL_GLOBAL_SEED|PL_SEED_WORKERS|LT_.*"
)
"""Variables by which schedulers and launchers tell a process that it is one of several, and Lightning its defaults."""


@contextmanager
def alone() -> Iterator[None]:
    """A context in which this process, whoever launched it, is not one of several: a trial is one process."""
    hidden = {name: os.environ.pop(name) for name in [*os.environ] if LAUNCHED.fullmatch(name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def expanded(path: str | Path) -> Path:
    """A path that a person gave, with ~ and ~user replaced by their home.

    Raises:
        InputError: if the system knows no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: found no home for it, expected a path without ~") from None


def expect_folder() -> None:
    """Check that the current folder exists, as libraries rely on it. Raises InputError if it does not."""
    try:
        os.getcwd()
    except OSError as error:
        raise InputError(f"the current folder: {error.strerror}, expected one that exists (cd to another)") from None


def have_a_home() -> None:
    """Give a user whom the system does not know a home, as containers do: without one, Ray cannot be imported."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"


def open_streams() -> None:
    """Open the standard streams that a service was started without, as Ray and kernels need them. They lead nowhere."""
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115  # open until the end
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def cpus() -> int:
    """The CPUs that this process may use at a time, by its affinity and its container's quota, at least 1."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [text.split() for text in _limits("cpu", "cpu.max")]
    periods = _limits("cpu", "cpu.cfs_period_us")
    quotas += [[quota, period] for quota, period in zip(_limits("cpu", "cpu.cfs_quota_us"), periods, strict=False)]
    allowed = [int(quota) // int(period) for quota, period in quotas if quota.isdecimal()]
    return max(1, min([found, *allowed]))


def memory() -> int:
    """The bytes of memory that this process and its children may use, by the machine and its container's limit."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = (*_limits("memory", "memory.max"), *_limits("memory", "memory.limit_in_bytes"))
    return min([found, *(int(limit) for limit in limits if limit.isdecimal())])


def expect_room(workers: int) -> None:
    """Check that this process may start a Ray. Without room, Ray hangs, or ends in a traceback after a minute.

    Raises:
        InputError: if it may not have as many processes or addresses as are needed, or a folder for sockets, or if
            processes of this machine cannot reach each other.
    """
    socket_folder()
    expect_loopback()
    threads = THREADS + THREADS_OF_A_WORKER * workers
    pids = zip(_limits("pids", "pids.max"), _limits("pids", "pids.current"), strict=False)
    room = [
        *(("pids.max of the container", max(0, int(most) - int(now)), threads) for most, now in pids if most != "max"),
        ("ulimit -u", resource.getrlimit(resource.RLIMIT_NPROC)[0], threads if os.geteuid() else 0),
        ("ulimit -v", resource.getrlimit(resource.RLIMIT_AS)[0], int(ADDRESSES + SHARED * memory())),
    ]
    for limit, left, needed in room:
        if left < needed and left != resource.RLIM_INFINITY:
            kind = "bytes of addresses" if limit == "ulimit -v" else "more processes and threads"
            expected = f"{needed:,} for Ray with {workers} workers (--cpus)"
            raise InputError(f"{limit}: found room for {left:,} {kind}, expected {expected}")


def expect_loopback() -> None:
    """Check that processes can reach each other at 127.0.0.1, as some sandboxes forbid. Raises InputError if not."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=10).close()
    except OSError as error:
        found = error.strerror or error
        raise InputError(f"127.0.0.1: {found}, expected a loopback interface (`ip link set lo up`)") from None


def socket_folder() -> Path:
    """A folder for folders with sockets, whose paths must be short: TMPDIR, or one that systems have.

    Raises:
        InputError: if there is none, or RAY_TMPDIR is set and cannot be used.
    """
    named = os.environ.get("RAY_TMPDIR")
    folders = [named] if named else [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    for folder in folders:
        if len(os.fsencode(folder)) <= LONGEST and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    variable = "RAY_TMPDIR" if named else "TMPDIR"
    expected = f"a writable folder with a path of at most {LONGEST} characters, for sockets (set {variable})"
    raise InputError(f"{variable}: found {folders[0]}, expected {expected}")


def _limits(controller: str, file: str) -> list[str]:
    """What a file says in this process's control group and in each above it. Empty on a system without such a file."""
    found = []
    with suppress(OSError):
        for line in OWN_CGROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or controller in controllers.split(","):  # version 2 names none
                mount = CGROUPS / controller if controllers else CGROUPS
                group = mount / path.strip("/")  # a container may see only the mount, which is its own group
                for folder in (group, *(above for above in group.parents if above.is_relative_to(mount))):
                    with suppress(OSError):
                        found.append((folder / file).read_text(encoding="utf-8").strip())
    return found
