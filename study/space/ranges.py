"""The language of ranges: `uniform(a, b)`, `log(a, b)`, `int(a, b)`, `choice(x, y, ...)`, with or without a name before
it, as in `peak = log(0.1, 1)`, and products with a named range, as in `2.5 * peak`. Parsing evaluates no code."""

from __future__ import annotations

import math
import re

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from anchoring.errors import InputError

Value = float | int | bool | str

LARGEST = 10**15

_RANGE = re.compile(r"(?:(?P<name>[^=()]*)=\s*)?(?P<kind>\w+)\s*\((?P<arguments>.*)\)")
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_WORD = re.compile(r"[A-Za-z_][\w .-]*")
_KINDS = "uniform(a, b), log(a, b), int(a, b) or choice(x, y, ...)"


def parse(text: str, where: str) -> tuple[str | None, BaseDistribution] | None:
    """The name, if any, and the distribution of a range. None if the text does not look like a range.

    Raises InputError, starting with `where`, if it looks like a range and is not a valid one.
    """
    match = _RANGE.fullmatch(text.strip())
    if not match:
        return None
    name, kind, arguments = match["name"], match["kind"], [a.strip() for a in match["arguments"].split(",")]
    found = f"{where}: found {text!r}, expected "
    if name is not None and not _NAME.fullmatch(name := name.rstrip()):
        raise InputError(f"{found}a name before '=' that has only letters, digits, '.', '_' and '-'")
    if kind == "choice":
        return name, CategoricalDistribution(_options(arguments, found))
    if kind not in ("uniform", "log", "int"):
        raise InputError(f"{found}{_KINDS}")
    bounds = [b for b in map(number, arguments) if b is not None]
    if len(bounds) != 2 or len(arguments) != 2:
        raise InputError(f"{found}two numbers, {kind}(low, high)")
    low, high = bounds
    if low >= high:
        raise InputError(f"{found}low < high")
    if not math.isfinite(high - low):
        raise InputError(f"{found}a range whose width is a finite number")
    if kind == "int":
        if not (isinstance(low, int) and isinstance(high, int)):
            raise InputError(f"{found}whole numbers, int(low, high)")
        return name, IntDistribution(low, high)
    if kind == "log" and low <= 0:
        raise InputError(f"{found}low > 0, since logarithms are taken")
    if kind == "log" and not math.isfinite(high / low):
        raise InputError(f"{found}a range whose ends have a finite ratio")
    return name, FloatDistribution(float(low), float(high), log=kind == "log")


def product(text: str) -> tuple[str, str] | None:
    """The two factors of a text such as `2.5 * peak` or `uniform(0.1, 1) * peak`: the second is a name.

    Examples:
        >>> product("ratio = log(0.1, 1) * peak"), product("peak")
        (('ratio = log(0.1, 1)', 'peak'), None)
    """
    first, star, second = (part.strip() for part in text.rpartition("*"))
    return (first, second) if star and first and _NAME.fullmatch(second) else None


def within(value: object, distribution: BaseDistribution) -> bool:
    """Whether a value lies in a range, with the type that the range's values have."""
    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    kind = (int, float) if isinstance(distribution, FloatDistribution) else int
    return isinstance(value, kind) and distribution.low <= value <= distribution.high


def described(distribution: BaseDistribution) -> str:
    """A range in words.

    Examples:
        >>> described(FloatDistribution(0.003, 1, log=True)), described(CategoricalDistribution([10, 30]))
        ('a number from 0.003 to 1', 'one of 10, 30')
    """
    if isinstance(distribution, CategoricalDistribution):
        return f"one of {', '.join(str(choice) for choice in distribution.choices)}"
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    kind = "a number" if isinstance(distribution, FloatDistribution) else "an integer"
    return f"{kind} from {distribution.low:g} to {distribution.high:g}"


def _options(arguments: list[str], found: str) -> list[Value]:
    options: list[Value] = []
    for argument in arguments:
        quoted = re.fullmatch(r"(['\"])([^'\"]*)\1", argument)
        figure = number(argument)
        if quoted and argument.isprintable():
            options.append(quoted[2])
        elif argument in ("true", "false"):
            options.append(argument == "true")
        elif figure is not None:
            options.append(figure)
        elif _WORD.fullmatch(argument):
            options.append(argument)
        else:
            raise InputError(f"{found}choices that are numbers, words, true or false (quote other text)")
    if all(type(option) in (int, float) for option in options) and not all(type(o) is int for o in options):
        options = [float(option) for option in options]
    if len({type(option) for option in options}) > 1:
        raise InputError(f"{found}choices of one kind: only numbers, only words, or only true and false")
    if len(options) < 2 or len(set(options)) < len(options):
        raise InputError(f"{found}at least two choices, all distinct")
    return options


def number(text: str) -> int | float | None:
    """A finite number, or None. An integer may have at most 15 digits, so that floats and Optuna hold it exactly."""
    for kind in (int, float):
        try:
            found = kind(text)
        except ValueError:
            continue
        return found if abs(found) < (LARGEST if kind is int else math.inf) else None
    return None
