"""Writes a program as C++. Each statement becomes nested loops, with vectors along the innermost one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from anchoring.native.expressions import LANES, Buffer, Expr, Index
from anchoring.native.products import inlined, simplified
from anchoring.native.statements import Fold, Map, Product, Scatter, Sizes, Statement, Store, load_of

TYPES = {"float": "float", "int": "int64_t", "bool": "int"}
INFIX = {
    **{"add": "+", "sub": "-", "mul": "*", "div": "/"},
    **{"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="},
}


def declare(buffers: Iterable[Buffer]) -> tuple[str, str]:
    """Declarations of the constants, and of the other buffers as members of a struct.

    Each has room after it, so that the last vector may be read past its end.
    """
    constants, members = [], []
    for b in buffers:
        if b.given:
            members.append(f"  const {TYPES[b.kind]}* {b.name};\n")
        elif b.values is None:
            members.append(f"  alignas(64) {TYPES[b.kind]} {b.name}[{-(-b.size // LANES) * LANES + LANES}];\n")
        else:
            values = ", ".join(
                _number(value, b.kind == "float") if b.kind != "bool" else str(-int(value)) for value in b.values
            )
            constants.append(f"static const {TYPES[b.kind]} {b.name}[{b.size + LANES}] = {{{values}}};\n")
    return "".join(constants), "".join(members)


def emit(statements: Sequence[Statement]) -> str:
    """The statements as C++. A buffer is an array of the same name."""
    return "".join(_statement(statement) for statement in statements)


def _statement(statement: Statement) -> str:
    if isinstance(statement, Product):
        arguments = [_pointer(*statement.out)]
        arguments += [_pointer(e.buffer, e.index) for e in statement.operands if e.buffer]
        if not statement.template.startswith("dots"):
            bias = statement.bias
            arguments.append(_pointer(bias.buffer, bias.index) if bias and bias.buffer else "nullptr")
        return nest(statement.loops, f"{statement.template}({', '.join(arguments)});\n")
    scalar = isinstance(statement, Scatter) or any(s.expr.kind == "int" for s in statement.stores)
    if isinstance(statement, Fold):
        return _fold(statement, scalar)
    if scalar or not statement.sizes:
        return nest(statement.sizes, "".join(_store_scalar(s, statement) for s in statement.stores))
    vector, size = statement.sizes[-1]
    body = Body(vector, size)
    for store in _shortened(statement, vector):
        body.store(store, size)
    return nest(statement.sizes, body.text, vector)


def _shortened(statement: Map, vector: str) -> list[Store]:
    """The stores that are read elsewhere, with shorter products. Local ones become parts of the expressions."""
    known, found = dict[Expr, Expr](), dict[Expr, Expr]()
    kept = []
    for store in statement.stores:
        expr = inlined(store.expr, known, found)
        known[load_of(store)] = expr
        if not store.local:
            kept.append((store, expr))
    short = simplified((expr for _, expr in kept), vector)
    return [replace(store, expr=expr) for (store, _), expr in zip(kept, short, strict=True)]


def _store_scalar(store: Store, statement: Map) -> str:
    target = f"{store.buffer.name}[{position(store.index)}]"
    value = scalar(store.expr)
    if store.expr.kind == "bool":
        value = f"-(int)({value})"
    return f"{target} {'+=' if isinstance(statement, Scatter) and statement.add else '='} {value};\n"


def _fold(fold: Fold, scalar_only: bool) -> str:
    (store,) = fold.stores
    target = f"{store.buffer.name}[{position(store.index)}]"
    if scalar_only:
        kind = "Sum" if fold.op == "Sum" else fold.op
        start = "0" if fold.op == "Sum" else f"INT64_{'MIN' if fold.op == 'Largest' else 'MAX'}"
        inner = nest(fold.folded, f"sum = {kind}::of(sum, (int64_t)({scalar(store.expr)}));\n")
        return nest(fold.sizes, f"{{ int64_t sum = {start};\n{inner}{target} = sum; }}\n")
    vector, size = (fold.folded if fold.across else fold.sizes)[-1]
    body = Body(vector, size)
    value = body.vector(store.expr)
    start = f"splat({fold.op}::start)"
    if fold.across and size % LANES:
        value = f"({vector} + W > {size} ? where(first_lanes({size} - {vector}), {value}, {start}) : {value})"
    inner = nest(fold.folded, f"{body.text}sum = {fold.op}::of(sum, {value});\n", vector)
    if fold.across and fold.op == "Sum" and fold.sizes:
        return _row_sums(fold, target, inner)
    total = f"{target} = across<{fold.op}>(sum);\n"
    end = total if fold.across else _store_vector(store, "sum", vector, size)
    return nest(fold.sizes, f"{{ V sum = {start};\n{inner}{end}}}\n", vector)


def _row_sums(fold: Fold, target: str, inner: str) -> str:
    """Sums of several rows. Vectors of partial sums are added up for W rows at a time."""
    *outer, (row, rows) = fold.sizes
    body = (
        f"for (int first = 0; first < {rows}; first += W) {{\nV sums[W] = {{}};\n"
        f"UNROLL for (int l = 0; l < W; l++)\nif (int {row} = first + l; {row} < {rows}) {{\n"
        f"V sum = splat(Sum::start);\n{inner}sums[l] = sum;\n}}\nV totals = sums_across(sums);\n"
        f"for (int l = 0; l < W && first + l < {rows}; l++) {{ int {row} = first + l; {target} = totals[l]; }}\n}}\n"
    )
    return nest(tuple(outer), body)


def nest(sizes: Sizes, body: str, vector: str | None = None) -> str:
    for name, size in reversed(sizes):
        step = f"{name} += W" if name == vector else f"{name}++"
        body = f"for (int {name} = 0; {name} < {size}; {step}) {{\n{body}}}\n"
    return body


def _store_vector(store: Store, value: str, vector: str, size: int) -> str:
    buffer, factor = store.buffer, store.index.factor(vector)
    if factor == 1:
        whole = size % LANES == 0 or buffer.padded == size
        return f"store({_pointer(buffer, store.index)}, {value}{'' if whole else f', {size} - {vector}'});\n"
    at = position(store.index, vector)
    return f"for (int l = 0; l < W && {vector} + l < {size}; l++) {buffer.name}[{at}] = {value}[l];\n"


class Body:
    """The body of a loop of `size` along vectors, with a line for each operation. Equal expressions share a line."""

    def __init__(self, vector: str, size: int):
        self._vector = vector
        self._size = size
        self._names: dict[Expr, str] = {}
        self.text = ""

    def store(self, store: Store, size: int) -> None:
        value = self.vector(store.expr)
        if not store.local:
            self.text += _store_vector(store, value, self._vector, size)
        self._names.setdefault(load_of(store), value)

    def vector(self, expr: Expr) -> str:
        """The name of the vector that holds an expression's values."""
        if expr not in self._names:
            text = self._text(expr)
            name = f"v{len(self._names)}"
            self.text += f"{'M' if expr.kind == 'bool' else 'V'} {name} = {text};\n"
            self._names[expr] = name
        return self._names[expr]

    def _text(self, expr: Expr) -> str:
        if expr.op == "load" and expr.buffer:
            if not expr.index.uses(self._vector):
                element = f"{expr.buffer.name}[{position(expr.index)}]"
                return f"splat({element})"
            if expr.index.factor(self._vector) == 1 and not any(
                self._vector in e.variables for e, _ in expr.index.looked_up
            ):
                return f"load({_pointer(expr.buffer, expr.index)})"
            return self._by_lanes(expr)
        if expr.op == "constant":
            return f"splat({scalar(expr)})"
        if any(arg.kind == "int" for arg in expr.args) and expr.op != "power":
            return self._by_lanes(expr)
        return _operation(expr, [self.vector(arg) if arg.kind != "int" else scalar(arg) for arg in expr.args])

    def _by_lanes(self, expr: Expr) -> str:
        """Each lane by itself. Lanes beyond the loop's end repeat the last one, and so read no buffer past its end."""
        make = "mask_lanes" if expr.kind == "bool" else "lanes"
        lane = "int l" if self._size % LANES == 0 else "int k"
        last = "" if self._size % LANES == 0 else f"int l = std::min(k, {self._size} - 1 - {self._vector}); "
        return f"{make}([&]({lane}) {{ {last}return {scalar(expr, self._vector)}; }})"


def scalar(expr: Expr, vector: str | None = None) -> str:
    """An expression for one element. If vectors go along a variable, it is the element in lane `l`."""
    if expr.op == "load" and expr.buffer:
        element = f"{expr.buffer.name}[{position(expr.index, vector)}]"
        return f"({element} != 0)" if expr.kind == "bool" else element
    if expr.op == "position":
        return f"(int64_t)({position(expr.index, vector)})"
    if expr.op == "constant":
        if expr.kind == "bool":
            return "true" if expr.value else "false"
        return _number(expr.value or 0, expr.kind == "float")
    return _operation(expr, [scalar(arg, vector) for arg in expr.args])


def _operation(expr: Expr, args: Sequence[str]) -> str:  # noqa: PLR0911
    match expr.op:
        case op if op in INFIX:
            return f"({args[0]} {INFIX[op]} {args[1]})"
        case "max" | "min" if (
            expr.args[1].op == "constant" and expr.kind == "float" and expr.args[1].value == expr.args[1].value
        ):
            return f"{'at_least' if expr.op == 'max' else 'at_most'}({', '.join(args)})"
        case "neg":
            return f"(-{args[0]})"
        case "power":
            return f"power<{expr.args[1].value}>({args[0]})"
        case "to_int":
            return f"(int64_t)({args[0]})"
        case "to_bool":
            return f"({args[0]} != 0)"
        case "where" | "to_float":
            return f"{expr.op}({', '.join(args)})"
        case "within":
            return f"within({', '.join(args)})"
        case op:
            return f"{op}_({', '.join(args)})"


def _pointer(buffer: Buffer, index: Index) -> str:
    return f"{buffer.name} + {position(index)}"


def position(index: Index, vector: str | None = None) -> str:
    """An index as C++. If vectors go along a variable, it is the index of lane `l`."""
    parts = [f"{f'({name} + l)' if name == vector else name} * {factor}" for name, factor in index.terms]
    parts += [f"{scalar(e, vector)} * {factor}" for e, factor in index.looked_up]
    return " + ".join([*(part.removesuffix(" * 1") for part in parts), str(index.constant)])


def _number(value: float, is_float: bool) -> str:
    if not is_float:
        return f"int64_t({int(value)})"
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{float(value)!r}f"
