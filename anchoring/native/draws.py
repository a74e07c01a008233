"""Draws samples and labels by native code, as NumPy's and PyTorch's operators would."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anchoring.native.build import build


class NativeDraws:
    """Fills batches from tables of samples.

    Args:
        first: the first sample of each 65,536th of [0, 1), and the last of all, [65,537].
        cumulative: the samples' cumulative distribution, [N], which ends with 1.
        tables: [N, ...] each, of 4 or 8 bytes an element.
        labels: each label's probability, [N], and whether the label is that number itself.

    Raises:
        OSError: the compiler is missing or fails.
    """

    def __init__(
        self, first: Tensor, cumulative: Tensor, tables: Sequence[Tensor], labels: Sequence[tuple[Tensor, bool]]
    ):
        self._draw = _library().draw
        self._first, self._cumulative = first.to(torch.int32), cumulative.contiguous()
        self._tables = [table.contiguous() for table in tables]
        self._probabilities = [p.float().contiguous() for p, _ in labels]
        self._soft = [soft for _, soft in labels]

    def fill(self, generator: np.random.Generator, batch: Sequence[Tensor]) -> None:
        """Fill the tables' rows and the labels of steps: [S, B, ...] each, of any strides but for a row's own axes."""
        parts, labels = batch[: len(self._tables)], batch[len(self._tables) :]
        steps, size = batch[0].shape[:2]
        bits: Any = generator.bit_generator.state
        inner = bits["state"]
        state = (ctypes.c_uint64 * 6)(
            *_halves(inner["state"]), *_halves(inner["inc"]), bits["has_uint32"], bits["uinteger"]
        )
        layout = [number for part in parts for number in _layout(part)]
        of_labels = [(soft, *label.stride()) for soft, label in zip(self._soft, labels, strict=True)]
        room = torch.empty(size * (2 + len(labels)))
        self._draw(
            *map(ctypes.c_int64, (steps, size)), state, _pointer(self._first), _pointer(self._cumulative),
            ctypes.c_int64(len(parts)), _array(self._tables), _array(parts),
            _numbers(layout), ctypes.c_int64(len(labels)), _array(self._probabilities), _array(labels),
            _numbers([number for row in of_labels for number in row]), _pointer(room),
        )  # fmt: skip
        inner["state"] = state[0] | state[1] << 64
        bits["has_uint32"], bits["uinteger"] = state[4], state[5]
        generator.bit_generator.state = bits


@cache
def _library() -> ctypes.CDLL:
    return build(resources.files("anchoring.native").joinpath("draws.cpp").read_text("utf-8"))


def can_draw(tables: Sequence[Tensor]) -> bool:
    """Whether the tables' elements have a size that native code copies."""
    return all(table.element_size() in (4, 8) for table in tables)


def _layout(part: Tensor) -> tuple[int, ...]:
    """The bytes of an element, the elements of a row, and the strides of steps, rows and elements."""
    step, row, *own = part.stride()
    return part.element_size(), part[0, 0].numel(), step, row, own[-1] if own else 1


def _halves(number: int) -> tuple[int, int]:
    return number & (1 << 64) - 1, number >> 64


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _array(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * max(1, len(tensors)))(*(tensor.data_ptr() for tensor in tensors))


def _numbers(numbers: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * max(1, len(numbers)))(*numbers)
