"""The Ray that a study runs on: one of its own on this machine, behind loopback, or a cluster that is there already."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
import torch
from ray._private import ray_constants
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from anchoring.errors import InputError, reason

REACHED_IN = 10  # seconds, of a cluster's address
OURS = [Path(__file__).parents[2] / name for name in ("anchoring", "study")]
ANSWERED_IN = 120  # seconds, of its nodes, which may have to fetch the code and import PyTorch


QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Without the loggers and snapshots of Ray that cost more than they tell, and its Ctrl-C, which outlasts a search."""


@contextmanager
def cluster(workers: int, address: str | None = None, packages: Iterable[Path] = ()) -> Iterator[dict[str, Any]]:
    """The Ray at hand: a new one of so many CPUs or, with an address, the one there. Yields its nodes and CPUs.

    packages: of the experiment, which travel to a cluster.

    Raises InputError as `join` does.
    """
    with tempfile.TemporaryDirectory() as empty:
        try:
            if address is None:
                _start(workers, empty)
            elif not ray.is_initialized():
                join(address, packages)
            nodes = _nodes()
            cpus = sum(int(node["Resources"]["CPU"]) for node in nodes)
            yield {"address": address, "nodes": len(nodes), "cpus": cpus}
        finally:
            with _heard():  # what of tasks that were still running, whose end is wanted
                ray.shutdown()


def join(address: str, packages: Iterable[Path] = ()) -> None:
    """Connect, from one of its nodes, to a cluster: `auto` or `host:port`. Our code and the experiment's packages
    travel to it, but not what they need.

    Raises InputError if it cannot be reached, or has not the same versions of Python, Ray and PyTorch as we.
    """
    os.environ.update(QUIET)
    if address.startswith("ray://"):  # Tune would search on the cluster's head, and leave there what it finds
        raise InputError(f"--address: found {address}, expected host:port on a node, or `study submit` from elsewhere")
    if address != "auto":
        check_reachable(address, {"": None}, "expected auto or host:port of a Ray cluster's head that runs")
    code = {"py_modules": [str(path) for path in dict.fromkeys([*OURS, *packages])]}
    with _heard() as said, tempfile.TemporaryDirectory() as empty, chdir(empty):  # as in `_start`
        try:
            ray.init(address=address, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            why = reason(error)
            if b"token" in said():
                why += "; expected its token in RAY_AUTH_TOKEN or a file that RAY_AUTH_TOKEN_PATH names"
            raise InputError(f"--address: found {address}: {why}") from None
    _compare(address)


def _start(workers: int, empty: str) -> None:
    """A Ray on this machine that listens on loopback only and lets nobody in who lacks this process's token.

    Its workers import from where it is started, and that is an empty folder: ours may be a stranger's.
    """
    os.environ.update(QUIET)
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # Ray's own words for it, off by default on a Mac
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ.pop("RAY_AUTH_MODE", None)  # meant for other clusters; where it is unset, Ray turns its token on
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with chdir(empty):
        ray.init(
            address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )


@contextmanager
def _heard() -> Iterator[Callable[[], bytes]]:
    """Keep what Ray's native code writes to stderr meanwhile off the terminal; yields what tells it."""
    with tempfile.TemporaryFile() as file:
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 1_000_000, 0)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def check_reachable(address: str, ports: Mapping[str, int | None], expected: str) -> None:
    """See that somebody listens at an address, which Ray itself takes minutes to find out, and then exits.

    ports: the schemes that the address may have, "" for none, each with its default port. Raises InputError, which says
    what was expected, if it is another address or nobody listens.
    """
    host = port = None
    with suppress(ValueError):  # a port that is none
        parts = urlsplit(address if "://" in address else f"//{address}")
        if parts.scheme in ports:
            host, port = parts.hostname, parts.port or ports[parts.scheme]
    if not host or not port:
        raise InputError(f"--address: found {address!r}, {expected}")
    try:
        socket.create_connection((host, port), timeout=REACHED_IN).close()
    except OSError as error:
        raise InputError(f"--address: found nobody at {address} ({error}), {expected}") from None


def _compare(address: str) -> None:
    """Raises InputError if a node has other versions than we."""
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
            raise InputError(f"{where} has {_words(theirs)}, expected {_words(ours)} (an image with these versions)")


def _nodes() -> list[dict[str, Any]]:
    """The nodes that are alive and have CPUs to give."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def _versions() -> dict[str, str]:
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "Ray": ray.__version__,
        "PyTorch": torch.__version__.partition("+")[0],
    }


def _words(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
