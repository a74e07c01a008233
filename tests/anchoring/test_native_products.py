"""Products in fewer multiplications have the same values."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchoring.native.expressions import Buffer, Expr, apply, constant, load, variable
from anchoring.native.products import simplified

X, Y, U = (Buffer(name, "float", 16) for name in "xyu")
x, y, u = load(X, variable("i")), load(Y, variable("i")), load(U, variable("outer"))


def raised(base: Expr, n: int) -> Expr:
    return apply("power", "float", base, constant(n, "int"))


def times(*factors: Any) -> Expr:
    first, *rest = [f if isinstance(f, Expr) else constant(f, "float") for f in factors]
    return apply("mul", "float", first, times(*rest)) if rest else first


def value(expr: Expr, at: dict[Buffer, float]) -> float:
    if expr.op == "load":
        assert expr.buffer
        return at[expr.buffer]
    if expr.op == "constant":
        return float(expr.value or 0)
    a, *rest = (value(arg, at) for arg in expr.args)
    match expr.op:
        case "mul":
            return a * rest[0]
        case "add":
            return a + rest[0]
        case "div":
            return a / rest[0]
    return a ** int(rest[0])


def multiplications(expr: Expr, seen: set[Expr] | None = None) -> int:
    """In the loop over i. What two products share is computed once."""
    seen = set() if seen is None else seen
    if expr in seen or "i" not in expr.variables:
        return 0
    seen.add(expr)
    n = int(expr.args[1].value or 0) if expr.op == "power" else 0
    own = n.bit_length() + n.bit_count() - 2 if n else int(expr.op in ("mul", "div"))
    return own + sum(multiplications(arg, seen) for arg in expr.args)


factors = st.recursive(
    st.sampled_from([x, y, u, constant(2.0, "float"), constant(0.3, "float"), apply("add", "float", x, u)]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: times(*pair)),
        st.tuples(inner, inner).map(lambda pair: apply("add", "float", *pair)),
        st.tuples(inner, st.integers(2, 5)).map(lambda pair: raised(*pair)),
        inner.map(lambda part: apply("div", "float", part, constant(4.0, "float"))),
    ),
    max_leaves=12,
)


@given(st.lists(factors, min_size=1, max_size=3))
def test_values_stay_and_there_are_no_more_multiplications(exprs: list[Expr]) -> None:
    at = {X: 0.7, Y: 1.1, U: 0.9}
    short = simplified(exprs, "i")
    for before, after in zip(exprs, short, strict=True):
        assert math.isclose(value(before, at), value(after, at), rel_tol=1e-9)
    assert len(exprs) > 1 or multiplications(short[0]) <= multiplications(exprs[0])


@pytest.mark.parametrize(
    ("long", "most"),
    [
        (times(2.0, times(u, times(x, 3.0))), 1),
        (times(raised(raised(x, 4), 24), times(raised(x, 2), times(x, u))), 9 + 1),  # x^99 takes 9
        (apply("div", "float", times(x, y), constant(2.0, "float")), 2),
    ],
)
def test_gradients_of_powers_get_short(long: Expr, most: int) -> None:
    assert multiplications(simplified([long], "i")[0]) <= most


def test_what_others_need_is_computed_once() -> None:
    square = raised(x, 2)
    first, second = simplified([apply("add", "float", square, y), times(square, u)], "i")
    assert multiplications(first) + multiplications(second, {square}) <= 2
