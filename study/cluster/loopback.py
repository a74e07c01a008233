"""Whether a Ray that this process started can be reached from other machines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice, takewhile
from pathlib import Path

from anchoring.errors import InputError

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENS = "0A"


@contextmanager
def on_loopback_only() -> Iterator[None]:
    """A context in which a Ray starts. At its end, new sockets of this process and those below it are looked at.

    Systems without `/proc` are not looked at.

    Raises:
        InputError: if one listens to other machines.
    """
    before = reachable()
    yield
    new = {inode: place for inode, place in reachable().items() if inode not in before}
    if new and (ours := new.keys() & _sockets(_family(os.getpid()))):
        import ray

        found = ", ".join(sorted(new[inode] for inode in ours))
        raise InputError(f"Ray {ray.__version__} listens at {found}, expected 127.0.0.1 only (install another version)")


def reachable() -> dict[str, str]:
    """The address of each socket of this machine that listens to other machines, by the socket's number."""
    found = {}
    for table in TABLES:
        with suppress(OSError), open(table, encoding="ascii") as file:
            rows = (line.split() for line in islice(file, 1, None))
            for _, local, _, _, *others in takewhile(lambda row: row[3] == LISTENS, rows):  # these are the first
                digits, _, port = local.partition(":")
                if not (address := _address(digits)).is_loopback:
                    found[others[5]] = f"{address}:{int(port, 16)}"
    return found


def _address(digits: str) -> IPv4Address | IPv6Address:
    """An address as the kernel's tables write it: each four bytes backwards."""
    raw = bytes.fromhex(digits)
    address = ip_address(b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4)))
    return getattr(address, "ipv4_mapped", None) or address


def _family(root: int) -> set[int]:
    """A process and all below it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[int(entry.parent.name)] = int(entry.read_text("ascii", "replace").rpartition(")")[2].split()[1])
    family, more = {root}, {root}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - family
        family |= more
    return family


def _sockets(processes: set[int]) -> set[str]:
    """The numbers of the sockets that processes have open."""
    found = set()
    for process in processes:
        with suppress(OSError):
            for file in Path(f"/proc/{process}/fd").iterdir():
                with suppress(OSError):
                    found.add(os.readlink(file))
    return {name.removeprefix("socket:[").removesuffix("]") for name in found if name.startswith("socket:[")}
