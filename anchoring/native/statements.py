"""The statements of a program: loops that fill buffers, and products of matrices."""

from __future__ import annotations

from dataclasses import dataclass

from anchoring.native.expressions import Buffer, Expr, Index, load

Sizes = tuple[tuple[str, int], ...]
"""Loops, outermost first: each variable and its size. Vectors go along the last one."""


@dataclass(frozen=True)
class Store:
    buffer: Buffer
    index: Index
    expr: Expr
    local: bool = False  # only later stores in the same loops read it


def load_of(store: Store) -> Expr:
    """The expression that reads a stored element."""
    return load(store.buffer, store.index)


@dataclass(frozen=True)
class Map:
    """For all values of the loops' variables, evaluates expressions and stores their values."""

    sizes: Sizes
    stores: tuple[Store, ...]

    @property
    def loads(self) -> frozenset[Expr]:
        return frozenset().union(*(s.expr.loads | _index_loads(s.index) for s in self.stores))

    @property
    def written(self) -> frozenset[Buffer]:
        return frozenset(s.buffer for s in self.stores)


@dataclass(frozen=True)
class Scatter(Map):
    """A Map that runs in order, with indices that may be looked up. If `add`, it adds to the buffer's elements."""

    add: bool = False


@dataclass(frozen=True)
class Fold(Map):
    """A Map with a single store, whose expression is reduced over the `folded` loops."""

    folded: Sizes = ()
    op: str = "Sum"
    across: bool = False  # whether vectors go along the last of the folded loops


@dataclass(frozen=True)
class Product:
    """`c[m, n] = bias[n] + sum over k of a[m, k] b[k, n]`, by a `template` of vectors.h.

    Batched products have `loops` around it.
    """

    loops: Sizes
    template: str
    out: tuple[Buffer, Index]
    operands: tuple[Expr, ...]
    bias: Expr | None

    @property
    def loads(self) -> frozenset[Expr]:
        return frozenset((*self.operands, *([self.bias] if self.bias else [])))

    @property
    def written(self) -> frozenset[Buffer]:
        return frozenset({self.out[0]})


Statement = Map | Product


def _index_loads(index: Index) -> frozenset[Expr]:
    return frozenset().union(*(e.loads for e, _ in index.looked_up))
