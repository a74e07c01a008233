"""Draws replicas' samples and labels by native code: the same ones as `anchoring.sampling` draws."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from anchoring.native.build import build, shipped


class NativeDraws:
    """Fills batches from tables of samples.

    Args:
        generators: NumPy's PCG64, one for each replica. Their own state does not change.
        first: the first sample of each 65,536th of [0, 1), and the last of all, [65,537].
        cumulative: the samples' cumulative distribution, [N], which ends with 1.
        tables: [N, ...] each, of 4 or 8 bytes an element.
        labels: each label's probability, [N], and whether the label is that number itself.

    Raises:
        OSError: the compiler is missing or fails.
    """

    def __init__(
        self,
        generators: Sequence[np.random.Generator],
        first: Tensor,
        cumulative: Tensor,
        tables: Sequence[Tensor],
        labels: Sequence[tuple[Tensor, bool]],
    ):
        self._draw = _library().draw
        self._states = np.array([_state(generator) for generator in generators], dtype=np.uint64)
        self._first, self._cumulative = first.to(torch.int32), cumulative.contiguous()
        self._tables = [table.contiguous() for table in tables]
        self._probabilities = [p.float().contiguous() for p, _ in labels]
        self._soft = [soft for _, soft in labels]

    def fill(self, batch: Sequence[Tensor]) -> None:
        """Fill rows of each table and each label, [S, R, B, ...] each. A row's elements and labels lie side by side."""
        parts, labels = batch[: len(self._tables)], batch[len(self._tables) :]
        steps, replicas, size = batch[0].shape[:3]
        room = torch.empty(size * (2 + len(labels)))
        of_labels = ((soft, *label.stride()[:2]) for soft, label in zip(self._soft, labels, strict=True))
        self._draw(
            *map(ctypes.c_int64, (steps, replicas, size)), self._states.ctypes.data_as(ctypes.c_void_p),
            *map(_pointer, (self._first, self._cumulative)), ctypes.c_int64(len(parts)), _array(self._tables),
            _array(parts), _numbers(map(_layout, parts)), ctypes.c_int64(len(labels)), _array(self._probabilities),
            _array(labels), _numbers(of_labels), _pointer(room),
        )  # fmt: skip


def can_draw(tables: Sequence[Tensor]) -> bool:
    """Whether the tables' elements have a size that native code copies."""
    return all(table.element_size() in (4, 8) for table in tables)


@cache
def _library() -> ctypes.CDLL:
    return build(shipped("draws.cpp"))


def _state(generator: np.random.Generator) -> list[int]:
    """A generator's state, as C++ takes it."""
    found = generator.bit_generator.state
    whole = found["state"]["state"], found["state"]["inc"]
    return [*(half for n in whole for half in (n & (1 << 64) - 1, n >> 64)), found["has_uint32"], found["uinteger"]]


def _layout(part: Tensor) -> tuple[int, ...]:
    """The bytes of an element, the elements of a row, and the strides of steps, replicas, rows and elements."""
    step, replica, row, *own = part.stride()
    return part.element_size(), part[0, 0, 0].numel(), step, replica, row, own[-1] if own else 1


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _array(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * max(1, len(tensors)))(*(tensor.data_ptr() for tensor in tensors))


def _numbers(rows: Iterable[Sequence[int]]) -> ctypes.Array[ctypes.c_int64]:
    numbers = [number for row in rows for number in row]
    return (ctypes.c_int64 * max(1, len(numbers)))(*numbers)
