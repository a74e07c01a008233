"""Compiles C++ to a shared object and loads it. A cache folder of the user's keeps it, by a digest of its inputs."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

import platformdirs

KEPT = 200  # shared objects in the cache; a whole search needs a few
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fPIC",
    "-shared",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-freciprocal-math",
    "-w",
)


def compiler() -> str | None:
    """The path of the C++ compiler: `CXX` if it is set, else g++ or clang++. None if there is no such program."""
    if named := os.environ.get("CXX"):
        return shutil.which(named)
    order = ("clang++", "g++") if sys.platform == "darwin" else ("g++", "clang++")
    return next((path for name in order if (path := shutil.which(name))), None)


def cannot_build() -> str:
    """Why this machine cannot make native code, in one line; an empty text if it can, for which it is tried."""
    try:
        build(shipped("vectors.h"))
    except OSError as error:
        return str(error)
    return ""


def shipped(name: str) -> str:
    """The C++ in a file of this package."""
    return resources.files("anchoring.native").joinpath(name).read_text("utf-8")


def build(source: str) -> ctypes.CDLL:
    """The source's shared object, compiled unless the cache has an intact one.

    Raises OSError, in one line, if there is no compiler, if it fails, or if its output cannot be loaded.
    """
    path = compiler()
    if path is None:
        raise OSError("found no C++ compiler: install g++ or clang++, or name one in CXX")
    try:
        folder = platformdirs.user_cache_path("concept-study") / "native"
    except RuntimeError:  # in a container, say, that runs as nobody's user
        raise OSError("found no home to keep native code in: set HOME or XDG_CACHE_HOME") from None
    folder.mkdir(parents=True, exist_ok=True)
    made_of = "\n".join([path, *FLAGS, _target(path), re.sub("[ \t]*//.*", "", source)])  # comments do not matter
    file = folder / f"{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.so"
    if not _is_whole(file):
        _compile(path, source, file)
        _prune(folder)
    library = ctypes.CDLL(str(file))
    file.touch()  # the cache keeps the most recently used
    return library


def _is_whole(file: Path) -> bool:
    """Whether a shared object ends with its digest. Loading a damaged one could crash the process."""
    try:
        content = file.read_bytes()
    except OSError:
        return False
    return content[-32:] == hashlib.sha256(content[:-32]).digest()


@cache
def _target(path: str) -> str:
    """The macros that the compiler defines: they tell its version, and the processor that it compiles for."""
    return _run([path, "-march=native", "-dM", "-E", "-x", "c++", os.devnull])


def _compile(path: str, source: str, file: Path) -> None:
    """Compile in a temporary folder, then move the result into place, since another process may do the same."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix="making-") as folder:
        written, made = Path(folder, "step.cpp"), Path(folder, "step.so")
        written.write_text(source)
        extra = ["-mprefer-vector-width=512"] if "__AVX512F__" in _target(path) else []
        _run([path, *FLAGS, *extra, "-o", str(made), str(written)])
        content = made.read_bytes()
        made.write_bytes(content + hashlib.sha256(content).digest())
        os.replace(made, file)


def _run(command: list[str]) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise OSError(f"{command[0]} does not run: {error.strerror or error}") from None
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()] or ["it gives no reason"]
        said = next((line for line in lines if "error" in line), lines[0])
        raise OSError(f"{command[0]} cannot compile the step: {said.rpartition('error: ')[2].strip()}")
    return ran.stdout


def _prune(folder: Path) -> None:
    """Remove all but the most recently used shared objects."""
    found = []
    for file in folder.glob("*.so"):
        try:
            found.append((file.stat().st_mtime_ns, file))
        except OSError:  # another process removed it
            continue
    for _, file in sorted(found, reverse=True)[KEPT:]:
        file.unlink(missing_ok=True)
