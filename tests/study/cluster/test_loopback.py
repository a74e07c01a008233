"""A Ray that a study starts cannot be reached from other machines."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchoring.errors import InputError
from study.cluster import loopback
from study.cluster.loopback import on_loopback_only, reachable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

LISTEN = """
import os, socket, sys
if sys.argv[2:]:
    os.fork() and os._exit(0)
    os.setsid()
with socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET):
    print("listens", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def listener(address: str, *stranger: str) -> Iterator[None]:
    """A process below this one that listens; or a stranger's, which is not below it."""
    command = [sys.executable, "-c", LISTEN, address, *stranger]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listens\n"
        yield
        process.communicate()


REACHABLE = ["0.0.0.0", "::"]
REFUSED = r"Ray [0-9.]+ listens at .*, expected 127\.0\.0\.1 only"


@pytest.mark.parametrize("address", REACHABLE)
def test_what_listens_to_all_is_refused(address: str) -> None:
    with contextlib.ExitStack() as stack, pytest.raises(InputError, match=REFUSED), on_loopback_only():
        stack.enter_context(listener(address))


@pytest.mark.parametrize("address", REACHABLE)
def test_so_is_this_process(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as stack, pytest.raises(InputError, match=REFUSED), on_loopback_only():
        stack.enter_context(socket.create_server((address, 0), family=family))


def test_what_listens_on_loopback_is_let_through() -> None:
    with contextlib.ExitStack() as stack, on_loopback_only():
        stack.enter_context(listener("127.0.0.1"))
        stack.enter_context(socket.create_server(("127.0.0.2", 0)))


def test_others_may_listen_to_all() -> None:
    """A server of the user's that listened before, and other processes of the machine."""
    with contextlib.ExitStack() as stack, socket.create_server(("", 0)), on_loopback_only():
        before = reachable()
        stack.enter_context(listener("0.0.0.0", "stranger"))
        assert reachable().keys() > before.keys()


def test_a_system_without_tables_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loopback, "TABLES", (tmp_path / "tcp",))
    with on_loopback_only(), socket.create_server(("", 0)):
        pass


@given(st.ip_addresses())
def test_addresses_are_read_as_the_kernel_writes_them(address: Any) -> None:
    packed = address.packed
    digits = "".join(packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4))
    assert loopback._address(digits) in (address, getattr(address, "ipv4_mapped", None))
    assert loopback._address("0000000000000000FFFF00000100007F") == ip_address("127.0.0.1")


@pytest.mark.live
def test_a_ray_that_listens_to_all_is_refused() -> None:
    """Another version may do so. This is the positive control of all studies, whose Rays are let through."""
    start = (
        "from study import private\nprivate.keep_on_loopback = lambda: None\n"
        "from study.cluster.connect import cluster\nwith cluster(1): print('started')"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("found no network but loopback, on which any Ray listens")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "expected 127.0.0.1 only" in done.stderr.splitlines()[-1]
    assert "started" not in done.stdout
