"""Compiles a step of one replica, and runs it for many replicas and many steps."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anchoring.native import emission
from anchoring.native.build import build, shipped
from anchoring.native.expressions import Buffer, Index, Unsupported, Value
from anchoring.native.fusion import fuse
from anchoring.native.operators import KINDS, KNOWN, lower
from anchoring.native.program import Program, position
from anchoring.native.statements import Statement
from anchoring.native.trace import trace

Step = Callable[..., Any]
"""`step(*state, *batch, controls)` returns one replica's new state: a tuple of tensors of the state's shapes."""


class Run:
    """A compiled step: `run(state, batch, controls)` takes S steps of R replicas and returns their new state.

    State tensors are [R, ...], the batch's [S, R, B, ...] and controls [S, C]. All replicas have the same controls. The
    arguments may have any strides and are not modified.
    """

    def __init__(self, source: Source, state: Sequence[Tensor], batch: Sequence[Tensor], controls: Tensor):
        self._run = build(source.text).run
        self._constants = source.constants
        self._run.restype = ctypes.c_int
        self._state = [tuple(t.shape) for t in state]
        self._batch = [(tuple(t.shape), t.dtype) for t in batch]
        self._controls = tuple(controls.shape)

    def __call__(self, state: Sequence[Tensor], batch: Sequence[Tensor], controls: Tensor) -> list[Tensor]:
        """The state after the steps. Raises ValueError if the step was compiled for other shapes."""
        steps, replicas = len(controls), len(state[0])
        self._check(state, batch, controls, steps, replicas)
        new = [t.detach().clone(memory_format=torch.contiguous_format) for t in state]
        batch = [t.detach() for t in batch]
        controls = controls.detach().contiguous()
        strides = [stride for t in batch for stride in t.stride()]
        pointers = [t.data_ptr() for t in (*new, *batch, controls, *self._constants)]
        failed = self._run(
            ctypes.c_int64(steps),
            ctypes.c_int64(replicas),
            (ctypes.c_void_p * len(pointers))(*pointers),
            (ctypes.c_int64 * max(1, len(strides)))(*strides),
        )
        if failed:
            raise MemoryError("there is not enough memory for a native step's intermediate values")
        return new

    def _check(
        self, state: Sequence[Tensor], batch: Sequence[Tensor], controls: Tensor, steps: int, replicas: int
    ) -> None:
        expected = [((replicas, *shape), torch.float32) for shape in self._state]
        expected += [((steps, replicas, *shape), dtype) for shape, dtype in self._batch]
        expected.append(((steps, *self._controls), torch.float32))
        found = [(tuple(t.shape), t.dtype) for t in (*state, *batch, controls)]
        if found != expected or any(t.device.type != "cpu" for t in (*state, *batch, controls)):
            raise ValueError(f"native step: found tensors {found}, expected {expected} on the CPU")


def compile_steps(
    step: Step, state: Sequence[Tensor], batch: Sequence[Tensor], controls: Tensor, name: str = ""
) -> Run:
    """Compile a step of one replica to native code that loops over replicas and steps.

    Args:
        step: `step(*state, *batch, controls)` returns the new state.
        state: examples of one replica's state, such as parameters and moments, float32.
        batch: examples of one replica's batch, [B, ...] each, float32 or int64.
        controls: an example of the numbers that all replicas share in a step, float32 [C].
        name: a comment at the top of the C++ source.

    Raises:
        Unsupported: the step has an unknown operator, or a type or shape that cannot be native.
        OSError: the compiler is missing or fails.
    """
    return Run(write(step, state, batch, controls, name), state, batch, controls)


@dataclass(frozen=True)
class Source:
    """C++, and the large constants whose addresses it takes."""

    text: str
    constants: list[Tensor]


def write(step: Step, state: Sequence[Tensor], batch: Sequence[Tensor], controls: Tensor, name: str = "") -> Source:
    """A step as C++."""
    examples = [*state, *batch, controls]
    for tensor in examples:
        if tensor.dtype not in (torch.float32, torch.int64):
            raise Unsupported(f"the step takes {tensor.dtype}, expected float32 or int64")
    graph = trace(step, examples, KNOWN)
    program = Program(batch[0].shape[0] if batch else 0)
    inputs = [_input(program, tensor, len(state) <= i < len(examples) - 1) for i, tensor in enumerate(examples)]
    outputs = lower(graph, [program.value(*i) for i in inputs], program)
    if [o.shape for o in outputs] != [tuple(s.shape) for s in state]:
        raise Unsupported(f"the step returns {[o.shape for o in outputs]}, expected the state's shapes")
    results = [_buffer(program.keep(output, side_by_side=True)) for output in outputs]
    statements = fuse(program.statements, results)
    used = used_by(statements) | {buffer for buffer, _, _ in inputs}
    constants, members = emission.declare(b for b in program.buffers if b in used)
    enter, leave, begin, end, strides = "", "", "", "", 0
    for i, ((buffer, shape, steps), tensor) in enumerate(zip(inputs, examples, strict=True)):
        size, name = tensor.numel(), buffer.name
        pointer = f"({emission.TYPES[buffer.kind]}*)pointers[{i}]"
        if i < len(state):
            enter += f"    memcpy(s.{name}, {pointer} + r * {size}, sizeof(float) * {size});\n"
            leave += f"    memcpy({pointer} + r * {size}, s.{name}, sizeof(float) * {size});\n"
            end += f"      memcpy(s.{name}, s.{results[i].name}, sizeof(float) * {size});\n"
        elif i < len(examples) - 1:
            begin += _copy(program, buffer, shape, steps, pointer, strides)
            strides += 2 + len(shape)
        else:
            begin += f"      memcpy(s.{name}, {pointer} + t * {size}, sizeof(float) * {size});\n"
    given, taken = given_to(program, used, len(examples))
    text = TEMPLATE.format(
        name=" ".join(name.split()), header=shipped("vectors.h"), constants=constants, members=members, given=taken,
        body=emission.emit(statements), enter=enter, leave=leave, begin=begin, end=end,
    )  # fmt: skip
    return Source(text, given)


def used_by(statements: Sequence[Statement]) -> set[Buffer]:
    """The buffers that statements write or read."""
    return {buffer for s in statements for buffer in (*s.written, *(e.buffer for e in s.loads)) if buffer}


def given_to(program: Program, used: Collection[Buffer], at: int) -> tuple[list[Tensor], str]:
    """The large constants that are used, and C++ that takes their addresses from `pointers`, from number `at` on."""
    given = [(buffer, tensor) for buffer, tensor in program.given if buffer in used]
    taken = (f"  s.{buffer.name} = (const float*)pointers[{at + i}];\n" for i, (buffer, _) in enumerate(given))
    return [tensor for _, tensor in given], "".join(taken)


TEMPLATE = """// {name}
{header}
{constants}
struct Step {{
{members}
void step() {{
{body}}}
}};

extern "C" int run(int64_t steps, int64_t replicas, void** pointers, const int64_t* strides) {{
  Step* memory = new (std::nothrow) Step();
  if (!memory) return 1;
  Step& s = *memory;
  FlushDenormals flush;
{given}  for (int64_t r = 0; r < replicas; r++) {{
{enter}    for (int64_t t = 0; t < steps; t++) {{
{begin}      s.step();
{end}    }}
{leave}  }}
  delete memory;
  return 0;
}}
"""


def _input(program: Program, tensor: Tensor, of_batch: bool) -> tuple[Buffer, tuple[int, ...], list[int]]:
    """The buffer of an argument of the step, with its shape and strides."""
    shape = tuple(tensor.shape)
    buffer, strides = (program.new if of_batch else program.contiguous)(KINDS[tensor.dtype], shape)
    return buffer, shape, strides


def _buffer(value: Value) -> Buffer:
    buffer = value.at([Index()] * len(value.shape)).buffer
    assert buffer
    return buffer


def _copy(program: Program, buffer: Buffer, shape: Sequence[int], strides: Sequence[int], pointer: str, at: int) -> str:
    """Copy a replica's batch of one step from a tensor. Its strides are the C++ array's, from number `at` on."""
    sizes, ix = program.loops(shape, program.order(shape))
    start = f"{pointer} + t * strides[{at}] + r * strides[{at + 1}]"
    axes = {i.terms[0][0]: axis for axis, i in enumerate(ix) if i.terms}
    start += "".join(f" + {name} * strides[{at + 2 + axes[name]}]" for name, _ in sizes[:-1])
    inner, size = sizes[-1] if sizes else ("0", 1)
    step = f"strides[{at + 2 + axes[inner]}]" if sizes else "1"
    to = emission.position(position(ix, strides).substitute({inner: Index()}))
    body = f"copy_row(s.{buffer.name} + {to}, {start}, {step}, {size}, strides[{at}]);\n"
    return emission.nest(sizes[:-1], body)
