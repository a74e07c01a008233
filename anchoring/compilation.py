"""A step compiled to native code, once per machine: several times as fast as the same step run eagerly."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import platformdirs
import torch
from filelock import FileLock
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from anchoring.errors import reason
from anchoring.step import State, Step

Labels = dict[str, Tensor]
Advance = Callable[[State, Tensor, Labels, Tensor], State]
"""What `Step.__call__` is."""


def compiler() -> str | None:
    """The path of the C++ compiler that compiles steps for a CPU, if there is one."""
    return shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))


def compile_step(step: Step, kind: str, state: State, x: Tensor, labels: Labels, controls: Tensor) -> Advance:
    """The step as native code for any number of replicas above one, and arguments otherwise shaped like these.

    `kind` tells the step from others. Code is kept in the user's cache folder, where all processes find it. If it
    cannot be made, this warns and returns the step as it is.
    """
    try:
        run = _load(_package(step, kind, state, x, labels, controls))
    except Exception as error:  # a compiler may fail in any way, and training need not
        _say_once(reason(error))
        return step
    return lambda state, x, labels, controls: State(*run([*state, x, *labels.values(), controls]))


@cache
def _say_once(why: str) -> None:
    warnings.warn(f"training goes on uncompiled, several times slower: {why}", RuntimeWarning, stacklevel=3)


@cache
def _load(package: Path) -> Callable[[list[Tensor]], list[Tensor]]:
    # what torch._inductor.aoti_load_package wraps in a second of compiler checks, and in bookkeeping at every call
    return torch._C._aoti.AOTIModelPackageLoader(str(package), "model", False, 1, -1).boxed_run


def _package(step: Step, kind: str, state: State, x: Tensor, labels: Labels, controls: Tensor) -> Path:
    """The file of the step's native code, made unless it is there."""
    folder = platformdirs.user_cache_path("excolor", ensure_exists=True)
    package = folder / f"{_digest(kind, str(x.device), *labels)}.pt2"
    if not package.is_file():
        with FileLock(package.with_suffix(".lock")):
            if not package.is_file():
                partial = package.with_name(f"partial-{package.name}")
                _compile(step, partial, state, x, labels, controls)
                partial.replace(package)
    return package


def _compile(step: Step, path: Path, state: State, x: Tensor, labels: Labels, controls: Tensor) -> None:
    replicas = 1 + max(*x.shape[1:], state.parameters.shape[1])  # like no other size: it alone is to stay open

    def replicate(sample: Tensor) -> Tensor:
        like = sample[:1].expand(replicas, *sample.shape[1:])
        return torch.empty_strided(like.shape, sample.stride(), device=x.device).copy_(like)

    def advance(*tensors: Tensor) -> tuple[Tensor, ...]:
        *state, x = tensors[:4]
        return tuple(step(State(*state), x, dict(zip(labels, tensors[4:-1], strict=True)), tensors[-1]))

    arguments = *map(replicate, (*state, x, *labels.values())), controls
    open_size = {0: torch.export.Dim("R", min=2)}
    shapes = (*[open_size] * (len(arguments) - 1), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = make_fx(advance, tracing_mode="symbolic")(*arguments)  # export by itself cannot trace a gradient
        graph.graph.eliminate_dead_code()
        exported = torch.export.export(graph, arguments, dynamic_shapes=shapes)
        torch._inductor.aoti_compile_and_package(exported, package_path=str(path), inductor_configs={"cpp.threads": 1})


def _digest(*facts: str) -> str:
    """A name for native code: of the facts given, our own source, PyTorch's version and the processor."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256("\0".join([*facts, *sources, torch.__version__, _processor()]).encode()).hexdigest()[:32]


def _processor() -> str:
    """What the processor can do: native code for one may not run on another that shares the cache folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.processor()
