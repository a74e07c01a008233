"""What a program does, in order: loops that fill buffers, and products of matrices."""

from __future__ import annotations

from dataclasses import dataclass

from anchoring.native.expressions import Buffer, Expr, Index, load

Sizes = tuple[tuple[str, int], ...]
"""Loops, outermost first: variables and how far each runs. The last is the one that vectors go along."""


@dataclass(frozen=True)
class Store:
    buffer: Buffer
    index: Index
    expr: Expr
    local: bool = False  # only what follows in the same loops reads it


def load_of(store: Store) -> Expr:
    """What reads back what is stored."""
    return load(store.buffer, store.index)


@dataclass(frozen=True)
class Map:
    """For all values of the loops' variables, evaluate and store."""

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
    """As Map, in order and with indices that may be looked up; `add` to what is there instead of replacing it."""

    add: bool = False


@dataclass(frozen=True)
class Fold(Map):
    """As Map with a single store, of the reduction over the `folded` loops of what is stored."""

    folded: Sizes = ()
    op: str = "Sum"
    across: bool = False  # whether vectors go along the last of the folded loops


@dataclass(frozen=True)
class Product:
    """`c[m, n] = bias[n] + sum over k of a[m, k] b[k, n]`: `template`, of the header, with these pointers.

    `loops` are of batched products.
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
