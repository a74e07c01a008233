"""Loading stored weights into a model. Neither the weights nor the setting that the model is made from are trusted."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from anchoring.errors import InputError, reason

ROOM = 2**30  # bytes that making a model may take, besides eight times the size of its file

Weights = Mapping[str, Tensor]


def load_weights(
    path: Path, make: Callable[[], nn.Module], upgraded: Callable[[Weights], Weights] | None = None
) -> nn.Module:
    """Make a model and load the weights of a safetensors file into it.

    The file is read first, which checks its header against its size. The model may then allocate only as much memory
    as the file's weights need, because a stranger's setting may describe a gigantic model.

    Args:
        path: the safetensors file.
        make: makes the model.
        upgraded: renames weights that an older version of the experiment stored.

    Raises:
        InputError: if the file is not a safetensors file, or its tensors do not fit the model.
    """
    try:
        weights = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a safetensors file: {error}, expected the weights of a trial") from None
    if upgraded:
        weights = dict(upgraded(weights))
    found = sum(tensor.numel() for tensor in weights.values())
    try:
        with _at_most(ROOM + 8 * path.stat().st_size):
            model = make()
    except (MemoryError, RuntimeError, OverflowError) as error:
        problem = f"the setting's model cannot be made in {ROOM / 2**30:g} GiB ({reason(error)})"
        raise InputError(f"{path}: {problem}, expected a model of {found:,} weights, as in the file") from None
    expected = model.state_dict()
    needed = sum(tensor.numel() for tensor in expected.values())
    if found != needed:
        raise InputError(f"{path}: found {found:,} weights, expected {needed:,}, as in the setting's model")
    if (theirs := _shapes(weights)) != (ours := _shapes(expected)):
        name = next(iter(theirs.items() - ours.items()), None) or next(iter(ours.items() - theirs.items()))
        raise InputError(f"{path}: found the tensor {name[0]} {list(name[1])}, expected {_words(ours)}")
    model.load_state_dict(weights)
    return model


def joined(parts: Sequence[bytes], replicas: Sequence[int]) -> bytes:
    """The weights of replicas that were trained in parts, as if they had been trained together.

    Args:
        parts: each part's weights, as safetensors.
        replicas: how many replicas each part has, the first axis of what belongs to a replica.
    """
    if len(parts) == 1:
        return parts[0]
    loaded = [safetensors.torch.load(part) for part in parts]
    together = {}
    for name in loaded[0]:
        tensors = [part[name] for part in loaded]
        of_replicas = [tensor.shape[:1] for tensor in tensors] == [(n,) for n in replicas]
        together[name] = torch.cat(tensors) if of_replicas else tensors[0]
    return safetensors.torch.save(together)


@contextmanager
def _at_most(more: int) -> Iterator[None]:
    """A context in which this process may allocate at most `more` bytes. Only Linux says what is allocated already."""
    status = Path("/proc/self/status")
    if not status.is_file():
        yield
        return
    allocated = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData"))
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = allocated * 1024 + more
    known = [limit for limit in (before, most, wanted) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(known), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _words(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
