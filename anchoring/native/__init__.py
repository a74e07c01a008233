"""Compiles a training step of one replica, a function of tensors, to native code that loops over replicas and steps."""

from anchoring.native.build import cannot_build, compiler
from anchoring.native.expressions import Unsupported
from anchoring.native.functions import compile_function
from anchoring.native.steps import Run, compile_steps

__all__ = ["Run", "Unsupported", "cannot_build", "compile_function", "compile_steps", "compiler"]
