"""Products of many factors in fewer multiplications: constants are multiplied beforehand, equal factors are raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

from anchoring.native.expressions import Expr, apply, constant


@dataclass
class Factors:
    """A product: a number, and expressions with their exponents."""

    number: float = 1.0
    powers: Counter[Expr] = field(default_factory=Counter)
    multiplications: int = 0  # that the expression as it stood takes


def simplified(exprs: Iterable[Expr], vector: str) -> list[Expr]:
    """Expressions with the same values, up to rounding, whose products take no more multiplications than before.

    Args:
        exprs: what is computed in one loop.
        vector: the loop's variable. What does not depend on it is computed before the loop, which is free.
    """
    exprs = list(exprs)
    inside = _only_in_products(exprs)
    new: dict[Expr, Expr] = {}

    def of(expr: Expr) -> Expr:
        if expr not in new:
            args = tuple(of(arg) for arg in expr.args)
            changed = any(now is not before for now, before in zip(args, expr.args, strict=True))
            same = replace(expr, args=args) if changed else expr
            new[expr] = (_shorter(expr, vector, inside, new) or same) if _is_product(expr) else same
        return new[expr]

    return [of(expr) for expr in exprs]


def inlined(expr: Expr, known: Mapping[Expr, Expr], found: dict[Expr, Expr]) -> Expr:
    """An expression in which loads are replaced by the `known` expressions that were stored there.

    `found` keeps what was found before, so that equal expressions stay one object.
    """
    if expr not in found:
        args = tuple(inlined(arg, known, found) for arg in expr.args)
        changed = any(new is not old for new, old in zip(args, expr.args, strict=True))
        found[expr] = known.get(expr) or (replace(expr, args=args) if changed else expr)
    return found[expr]


def _is_product(expr: Expr) -> bool:
    return expr.kind == "float" and (expr.op in ("mul", "power") or _is_halved(expr))


def _is_halved(expr: Expr) -> bool:
    """Whether it is divided by a constant whose reciprocal is exact."""
    return expr.op == "div" and expr.args[1].op == "constant" and _is_power_of_two(expr.args[1].value or 0)


def _is_power_of_two(number: float) -> bool:
    return number > 0 and float(number).hex().partition("p")[0] == "0x1.0000000000000" and 1e-6 < number < 1e6


def _only_in_products(exprs: Iterable[Expr]) -> set[Expr]:
    """The products that nothing but other products uses."""
    used_elsewhere, seen, waiting = set(exprs), set[Expr](), list(exprs)
    while waiting:
        expr = waiting.pop()
        if expr in seen:
            continue
        seen.add(expr)
        waiting += expr.args
        if not _is_product(expr):
            used_elsewhere.update(expr.args)
    return {expr for expr in seen if _is_product(expr) and expr not in used_elsewhere}


def _shorter(expr: Expr, vector: str, inside: set[Expr], new: Mapping[Expr, Expr]) -> Expr | None:
    """The product in its shorter form, or None if that is no shorter."""
    if expr in inside:  # a part of another product
        return None
    found = Factors()
    _gather(expr, 1, found, vector, inside, set())
    varying = {base: n for base, n in found.powers.items() if vector in base.variables}
    free = [_raised(new.get(base, base), n) for base, n in found.powers.items() if base not in varying]
    if found.number != 1:
        free.insert(0, constant(found.number, "float"))
    cost = sum(n.bit_length() + n.bit_count() - 2 for n in varying.values()) + len(varying) - 1 + bool(free)
    if not varying or cost > found.multiplications:
        return None
    factors = [*([_product(free)] if free else []), *(_raised(new.get(base, base), n) for base, n in varying.items())]
    return _product(factors)


def _gather(expr: Expr, n: int, found: Factors, vector: str, inside: set[Expr], counted: set[Expr]) -> None:
    """Add an expression to the n-th power to the factors."""
    if expr.op == "constant" and n == 1:
        found.number *= float(expr.value or 0)
        return
    whole = n == 1 and (expr in inside or not counted)  # else its value is needed elsewhere, too, or in a power
    if expr.op == "power" and (expr in inside or not counted):
        times = int(expr.args[1].value or 0)
        _count(expr, times.bit_length() + times.bit_count() - 2, found, vector, counted)
        _gather(expr.args[0], n * times, found, vector, inside, counted)
    elif whole and expr.op == "mul":
        _count(expr, 1, found, vector, counted)
        for arg in expr.args:
            _gather(arg, 1, found, vector, inside, counted)
    elif whole and _is_halved(expr) and _is_product(expr.args[0]):
        _count(expr, 1, found, vector, counted)
        found.number /= float(expr.args[1].value or 1)
        _gather(expr.args[0], 1, found, vector, inside, counted)
    else:
        found.powers[expr] += n


def _count(expr: Expr, multiplications: int, found: Factors, vector: str, counted: set[Expr]) -> None:
    if expr not in counted and vector in expr.variables:
        found.multiplications += multiplications
    counted.add(expr)


def _raised(base: Expr, n: int) -> Expr:
    return base if n == 1 else apply("power", "float", base, constant(n, "int"))


def _product(factors: list[Expr]) -> Expr:
    return reduce(lambda a, b: apply("mul", "float", a, b), factors)
