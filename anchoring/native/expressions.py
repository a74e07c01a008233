"""Expressions over loop variables for one element of a tensor. Lowering makes them, and emission writes them as C++."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

Kind = Literal["float", "int", "bool"]
"""How elements are stored: float32, int64, or for bools an int32 mask (0 or -1), as comparisons of vectors return."""

LANES = 16  # a multiple of every vector's width


class Unsupported(Exception):  # noqa: N818
    """The step cannot be compiled. The message says why in one line; it may name an unknown operator, for example."""


@dataclass(frozen=True, eq=False)
class Buffer:
    """A tensor in memory. If `padded`, the innermost axis is rounded up to whole vectors."""

    name: str
    kind: Kind
    size: int
    padded: int = 0  # the true size of the padded axis
    values: tuple[Any, ...] | None = None  # if it is a constant
    given: bool = False  # whether it is a constant that the caller passes, since it is large


@dataclass(frozen=True)
class Index:
    """A position: `constant + sum(factor * variable) + sum(factor * expression)`."""

    constant: int = 0
    terms: tuple[tuple[str, int], ...] = ()
    looked_up: tuple[tuple[Expr, int], ...] = ()

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return replace(self, constant=self.constant + other)
        terms = dict(self.terms)
        for name, factor in other.terms:
            terms[name] = terms.get(name, 0) + factor
        kept = tuple(sorted((name, factor) for name, factor in terms.items() if factor))
        return Index(self.constant + other.constant, kept, self.looked_up + other.looked_up)

    def __mul__(self, factor: int) -> Index:
        if factor == 0:
            return Index()
        terms = tuple((name, value * factor) for name, value in self.terms)
        return Index(self.constant * factor, terms, tuple((e, value * factor) for e, value in self.looked_up))

    def factor(self, variable: str) -> int:
        return dict(self.terms).get(variable, 0)

    def uses(self, variable: str) -> bool:
        return variable in dict(self.terms) or any(variable in e.variables for e, _ in self.looked_up)

    def substitute(self, values: dict[str, Index]) -> Index:
        result = Index(self.constant)
        for name, factor in self.terms:
            result = result + values.get(name, Index(0, ((name, 1),))) * factor
        return result + Index(0, (), tuple((e.substitute(values), factor) for e, factor in self.looked_up))


def variable(name: str) -> Index:
    return Index(0, ((name, 1),))


@dataclass(frozen=True)
class Expr:
    """An operation on other expressions, a constant (`value`), an element of a buffer, or a position as a number."""

    op: str
    kind: Kind
    args: tuple[Expr, ...] = ()
    value: float | int | None = None
    buffer: Buffer | None = None
    index: Index = field(default_factory=Index)

    @cached_property
    def _hash(self) -> int:
        value = repr(self.value)  # -0.0 and 0.0 differ, as 1 and True do
        return hash((self.op, self.kind, self.args, value, self.buffer, self.index))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Expr) or self._hash != other._hash:
            return False
        mine = (self.op, self.kind, repr(self.value), self.buffer, self.index, self.args)
        return mine == (other.op, other.kind, repr(other.value), other.buffer, other.index, other.args)

    @cached_property
    def variables(self) -> frozenset[str]:
        names = {name for name, _ in self.index.terms}
        parts = [*self.args, *(e for e, _ in self.index.looked_up)]
        return frozenset(names).union(*(part.variables for part in parts))

    @cached_property
    def loads(self) -> frozenset[Expr]:
        """All elements of buffers that it reads."""
        parts = [*self.args, *(e for e, _ in self.index.looked_up)]
        return frozenset({self} if self.buffer else ()).union(*(part.loads for part in parts))

    @cached_property
    def counts(self) -> bool:
        """Whether it depends on integers other than constants."""
        parts = [*self.args, *(e for e, _ in self.index.looked_up)]
        return (self.kind == "int" and self.op != "constant") or any(part.counts for part in parts)

    def substitute(self, values: dict[str, Index]) -> Expr:
        if not self.variables & values.keys():
            return self
        args = tuple(arg.substitute(values) for arg in self.args)
        return replace(self, args=args, index=self.index.substitute(values))


def constant(value: Any, kind: Kind) -> Expr:
    if kind == "float":
        return Expr("constant", kind, value=float(value))
    return Expr("constant", kind, value=int(value))


def load(buffer: Buffer, index: Index) -> Expr:
    return Expr("load", buffer.kind, buffer=buffer, index=index)


def apply(op: str, kind: Kind, *args: Expr) -> Expr:
    return Expr(op, kind, args)


def to(kind: Kind, expr: Expr) -> Expr:
    """The expression, converted to a kind as PyTorch converts tensors."""
    if expr.kind == kind:
        return expr
    if expr.op == "constant":
        return constant(bool(expr.value) if kind == "bool" else expr.value, kind)
    return apply(f"to_{kind}", kind, expr)


@dataclass(frozen=True)
class Value:
    """A tensor that is computed where it is used. `at` takes an index for each axis, and returns the element."""

    shape: tuple[int, ...]
    kind: Kind
    at: Callable[[Sequence[Index]], Expr]

    def expand(self, shape: Sequence[int]) -> Value:
        """Broadcast to a shape."""
        more = len(shape) - len(self.shape)
        if tuple(shape) == self.shape:
            return self

        def at(ix: Sequence[Index]) -> Expr:
            return self.at([Index() if size == 1 else i for size, i in zip(self.shape, ix[more:], strict=True)])

        return Value(tuple(shape), self.kind, at)


def positions(shape: Sequence[int]) -> Iterator[list[Index]]:
    """The index of every element of a small shape, in order."""
    if not shape:
        yield []
        return
    for first in range(shape[0]):
        for rest in positions(shape[1:]):
            yield [Index(first), *rest]
