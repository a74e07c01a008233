"""Compiles a function of one replica's parameters, such as its metrics, and runs it for many replicas."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from anchoring.native import emission
from anchoring.native.build import build, shipped
from anchoring.native.expressions import Unsupported
from anchoring.native.fusion import fuse
from anchoring.native.operators import KNOWN, lower
from anchoring.native.program import Program
from anchoring.native.steps import given_to, used_by
from anchoring.native.trace import trace


def compile_function(
    function: Callable[[Tensor], Sequence[Tensor]], parameters: Tensor, name: str = ""
) -> Callable[[Tensor], Tensor]:
    """Compile a function of one replica's parameters to native code that loops over replicas.

    Args:
        function: takes parameters [P] and returns scalars.
        parameters: an example, float32 [P].
        name: a comment at the top of the C++ source.

    Returns:
        A function of all replicas' parameters [R, P], which returns [R, scalars].

    Raises:
        Unsupported: the function has an unknown operator, or a type or shape that cannot be native.
        OSError: the compiler is missing or fails.
    """
    program = Program(None)
    buffer, strides = program.contiguous("float", parameters.shape)
    graph = trace(lambda p: tuple(function(p)), [parameters], KNOWN, mode="real")
    outputs = lower(graph, [program.value(buffer, parameters.shape, strides)], program)
    if any(output.shape for output in outputs):
        raise Unsupported(f"the function returns {[output.shape for output in outputs]}, expected scalars")
    kept = [program.keep(output, side_by_side=True).at([]).buffer for output in outputs]
    results = [result for result in kept if result]
    statements = fuse(program.statements, results)
    used = used_by(statements) | {buffer, *results}
    constants, members = emission.declare(b for b in program.buffers if b in used)
    given, taken = given_to(program, used, 2)
    text = TEMPLATE.format(
        name=" ".join(name.split()), header=shipped("vectors.h"), constants=constants, members=members, given=taken,
        body=emission.emit(statements), input=buffer.name, size=len(parameters),
        leave="".join(f"    out[r * {len(results)} + {i}] = s.{b.name}[0];\n" for i, b in enumerate(results)),
    )  # fmt: skip
    run = build(text).run

    def call(rows: Tensor) -> Tensor:
        rows, out = rows.detach().contiguous(), torch.empty(len(rows), len(results))
        pointers = [tensor.data_ptr() for tensor in (rows, out, *given)]
        if run(ctypes.c_int64(len(rows)), (ctypes.c_void_p * len(pointers))(*pointers)):
            raise MemoryError("there is not enough memory for a native function's intermediate values")
        return out

    return call


TEMPLATE = """// {name}
{header}
{constants}
struct Function {{
{members}
void call() {{
{body}}}
}};

extern "C" int run(int64_t replicas, void** pointers) {{
  Function* memory = new (std::nothrow) Function();
  if (!memory) return 1;
  Function& s = *memory;
  FlushDenormals flush;
{given}  float* out = (float*)pointers[1];
  for (int64_t r = 0; r < replicas; r++) {{
    memcpy(s.{input}, (float*)pointers[0] + r * {size}, sizeof(float) * {size});
    s.call();
{leave}  }}
  delete memory;
  return 0;
}}
"""
