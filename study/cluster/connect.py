"""The Ray cluster that a study runs on: a new one on this machine, on loopback only, or an existing one."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any
from urllib.parse import urlsplit

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from anchoring.errors import InputError, reason
from study import private
from study.cluster.loopback import on_loopback_only
from study.search.interrupt import Terminated
from study.search.plan import Plan
from study.surroundings import expect_room, socket_folder

REACHED_IN = 10  # seconds to connect to a cluster's address
OURS = [Path(__file__).parents[2] / name for name in ("anchoring", "study")]
ANSWERED_IN = 120  # seconds for a node to answer, which may have to fetch the code and import PyTorch


QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PL_DISABLE_FORK": "1",
}
"""Turns off Ray's loggers, snapshots and usage statistics, and its handler of Ctrl-C, which outlives a search.

The last is what Tune sets for Lightning in its trials. `private.share_workers` takes it away there."""


@contextmanager
def cluster(
    workers: int, address: str | None = None, packages: Iterable[Path] = (), preload: Iterable[str] = ()
) -> Iterator[dict[str, Any]]:
    """A context with a Ray cluster. Yields its address, and how many nodes and CPUs it has.

    A Ray that this process is connected to already is used, and left running.

    Args:
        workers: the CPUs of a new cluster on this machine.
        address: an existing cluster to join instead, see `join`.
        packages: the experiment's packages, to be sent to an existing cluster.
        preload: modules that the workers of a new cluster import at once, besides ours, not with their first trial.

    Raises:
        InputError: if the existing cluster cannot be joined.
    """
    os.environ.update(QUIET)
    if ray.is_initialized():
        yield _size(address)
        return
    here = None if address else socket_folder()  # Ray's processes may still write to it while they end
    with tempfile.TemporaryDirectory(dir=here, ignore_cleanup_errors=True) as folder:
        try:
            if address is None:
                _start(workers, folder, preload)
            else:
                join(address, packages)
            yield _size(address)
        finally:
            with _stderr_captured():  # Ray complains about tasks that it ends
                ray.shutdown()


@contextmanager
def joined(address: str | None, packages: Iterable[Path] = ()) -> Iterator[None]:
    """Be connected to a cluster, if there is an address, from before anything is written until all is done."""
    if address is None:
        yield
        return
    if ray.is_initialized():
        found = "this process is connected to a Ray already"
        raise InputError(f"--address: {found}, expected no address, or ray.shutdown() first")
    with cluster(0, address, packages):
        yield


def expect_start(plan: Plan) -> None:
    """Check, before anything is written, that a Ray can start here if the plan needs one. Raises InputError if not."""
    if plan.address is None and not ray.is_initialized():
        expect_room(plan.workers)


def join(address: str, packages: Iterable[Path] = ()) -> None:
    """Connect to a cluster from one of its nodes. Our code and the experiment's packages are sent to it; the packages
    that they depend on must be installed there.

    Args:
        address: `auto`, or the `host:port` of the cluster's head.
        packages: the experiment's packages.

    Raises:
        InputError: if the cluster cannot be reached, or a node has other versions of Python, Ray or PyTorch than this
            process.
    """
    if address.startswith("ray://"):  # Tune would run on the cluster's head, and write the study's folder there
        raise InputError(
            f"--address: found {address}, expected auto or host:port on a node (elsewhere: `study submit`)"
        )
    if address != "auto":
        check_reachable(address, {"": None}, "expected auto or the host:port of a running Ray cluster's head")
    code = {"py_modules": [str(path) for path in dict.fromkeys([*OURS, *packages])]}
    with (
        _stderr_captured() as said,
        tempfile.TemporaryDirectory() as empty,
        chdir(empty),
        _sigterm_kept(),
    ):  # as in `_start`
        try:
            ray.init(address=address, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            why = reason(error)
            if b"token" in said():
                why += "; expected the cluster's token in RAY_AUTH_TOKEN, or its file's path in RAY_AUTH_TOKEN_PATH"
            raise InputError(f"--address: found {address}: {why}") from None
    _compare(address)


def _start(workers: int, folder: str, preload: Iterable[str]) -> None:
    """Start a Ray cluster on this machine. It requires a token that this process makes.

    Raises InputError if it does not listen on loopback only.

    Ray's files are in the folder: those of other users are not in the way. Workers import from the folder in which Ray
    starts. That is an empty one, since the current folder may hold a stranger's files.
    """
    private.keep_on_loopback()
    os.environ.pop("RAY_AUTH_MODE", None)  # unset, Ray requires a token
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    empty = Path(folder, "empty")
    empty.mkdir()
    with chdir(empty), _sigterm_kept(), on_loopback_only():
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=folder,
            _system_config={
                "preload_python_modules": ["study.search.worker", *preload],
                "idle_worker_killing_time_threshold_ms": 3_600_000,  # by default Ray ends workers while they import
            },
        )


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """A context in which Ray may start. When it ends, SIGTERM does again what it did before."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:  # what Ray does on SIGTERM
        raise Terminated from None
    finally:
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _stderr_captured() -> Iterator[Callable[[], bytes]]:
    """A context that captures what Ray's native code writes to stderr. Yields a function that returns it."""
    with tempfile.TemporaryFile() as file:
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 1_000_000, 0)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def check_reachable(address: str, ports: Mapping[str, int | None], expected: str) -> None:
    """Check that something listens at an address. Ray itself would try for minutes, then end the process.

    Args:
        address: what the user gave.
        ports: the default port of each scheme that the address may have. "" stands for an address without a scheme.
        expected: the end of the error message.

    Raises:
        InputError: if the address has another form, or nothing listens there.
    """
    host = port = None
    with suppress(ValueError):  # the port is not a number
        parts = urlsplit(address if "://" in address else f"//{address}")
        if parts.scheme in ports:
            host, port = parts.hostname, parts.port or ports[parts.scheme]
    if not host or not port:
        raise InputError(f"--address: found {address!r}, {expected}")
    try:
        socket.create_connection((host, port), timeout=REACHED_IN).close()
    except OSError as error:
        raise InputError(f"--address: nothing listens at {address} ({error}), {expected}") from None


def _compare(address: str) -> None:
    """Raise InputError if a node has other versions than this process, or cannot run our code."""
    ours = _versions()
    nodes = _nodes()
    task = ray.remote(num_cpus=0)(_versions)
    on = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    answers = [task.options(scheduling_strategy=there).remote() for there in on]
    for node, answer in zip(nodes, answers, strict=True):
        where = f"--address: node {node['NodeManagerAddress']} of {address}"
        try:
            theirs = ray.get(answer, timeout=ANSWERED_IN)
        except RayError as error:
            why = str(error).strip().rpartition("\n")[2]
            raise InputError(f"{where} cannot run this code: {why}") from None
        if theirs != ours:
            raise InputError(f"{where} has {_words(theirs)}, expected {_words(ours)} (install these versions)")


def _size(address: str | None) -> dict[str, Any]:
    nodes = _nodes()
    cpus = sum(int(node["Resources"]["CPU"]) for node in nodes)
    return {"address": address, "nodes": len(nodes), "cpus": cpus}


def _nodes() -> list[dict[str, Any]]:
    """The nodes that are alive and have CPUs for tasks."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def _versions() -> dict[str, str]:
    import torch

    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "Ray": ray.__version__,
        "PyTorch": torch.__version__.partition("+")[0],
    }


def _words(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
