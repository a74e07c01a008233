"""The two exceptions that the command line prints in one line: the input was wrong, or the work failed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

LONGEST = 1_000  # characters of a message, which may quote any input


class InputError(Exception):
    """Bad input from a person: a one-line message saying where, what was found and what was expected.

    The command line prints it without a traceback and exits with code 2. The message is always one line of printable
    characters, at most about 1,000: control characters are escaped, and the middle of a longer message is left out.

    Examples:
        >>> str(InputError("hue.toml: title: found 'a\\nb', expected one line"))
        "hue.toml: title: found 'a\\\\nb', expected one line"
    """

    def __init__(self, message: str):
        message = visible(message)
        if len(message) > LONGEST:
            message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
        super().__init__(message)


class FailedError(Exception):
    """The input was right, but the work failed. The command line exits with code 1."""


def visible(text: str) -> str:
    """Text in one line. Control characters, which a terminal would obey, are escaped as Python does it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def reason(error: Exception) -> str:
    """The first line of another library's error, or the name of its class if it has no message."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


def first_problem(error: ValidationError) -> str:
    """The first of pydantic's errors, in one line: where, what was found and what was expected."""
    details = error.errors()[0]
    where, context = ".".join(map(str, details["loc"])), details.get("ctx", {})
    if details["type"] == "value_error":  # from our own validators: it may name a place inside
        message = str(context["error"])
        separator = ": " if message.startswith("found ") else "."
        return f"{where}{separator}{message}" if where else message
    found = "nothing" if details["type"] == "missing" else repr(details["input"])
    expected = re.sub("^Input should (be )?", "", details["msg"]).replace("a valid tuple", "a list")
    match details["type"]:
        case "missing":
            expected = "a value"
        case "too_short":
            expected = f"at least {context['min_length']}"
    return f"{where}: found {found}, expected {expected}"
