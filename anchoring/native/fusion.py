"""Saves passes over memory: merges loops of the same size, and drops computations and stores that nobody reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from anchoring.native.expressions import Buffer
from anchoring.native.statements import Map, Scatter, Statement, load_of


def fuse(statements: Sequence[Statement], results: Collection[Buffer]) -> list[Statement]:
    """Statements with the same results and fewer loops."""
    merged: list[Statement] = []
    for statement in _needed(statements, results):
        loops = _loops_for(merged, statement)
        if loops is None:
            merged.insert(_earliest(merged, statement), statement)
        else:
            found = merged[loops]
            assert isinstance(found, Map)
            assert isinstance(statement, Map)
            merged[loops] = replace(found, stores=(*found.stores, *statement.stores))
    return _kept_local(merged, results)


def _needed(statements: Sequence[Statement], results: Collection[Buffer]) -> list[Statement]:
    """The statements, except those whose results nothing reads."""
    wanted = set(results)
    kept: list[Statement] = []
    for statement in reversed(statements):
        if statement.written & wanted:
            kept.append(statement)
            wanted |= {e.buffer for e in statement.loads if e.buffer}
    return kept[::-1]


def _loops_for(earlier: Sequence[Statement], statement: Statement) -> int | None:
    """The loops that a statement could be merged into: the last ones after everything that it reads."""
    if type(statement) is not Map:
        return None
    for at in reversed(range(len(earlier))):
        other = earlier[at]
        reads = {e for e in statement.loads if e.buffer in other.written}
        if type(other) is Map and other.sizes == statement.sizes and reads <= {load_of(s) for s in other.stores}:
            return at
        if reads:
            return None
    return None


def _earliest(earlier: Sequence[Statement], statement: Statement) -> int:
    """The first place for a statement: after all that write what it reads, or write into the same buffer."""
    needs = {e.buffer for e in statement.loads} | statement.written
    return next((at + 1 for at in reversed(range(len(earlier))) if earlier[at].written & needs), 0)


def _kept_local(statements: Sequence[Statement], results: Collection[Buffer]) -> list[Statement]:
    """Mark the stores that only their own loops read, since those can stay in registers.

    Integers cannot: they are not kept in vectors, so expressions that depend on them read memory, lane by lane.
    """
    read = set(results)
    marked: list[Statement] = []
    for statement in reversed(statements):
        if type(statement) is Map:
            read |= {e.buffer for s in statement.stores if s.expr.counts for e in s.expr.loads if e.buffer}
            stores = tuple(replace(s, local=s.buffer not in read) for s in statement.stores)
            marked.append(replace(statement, stores=stores))
        else:
            marked.append(statement)
        read |= {e.buffer for e in statement.loads if e.buffer}
        if isinstance(statement, Scatter):
            read |= statement.written
    return marked[::-1]
