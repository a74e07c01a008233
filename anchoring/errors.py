"""The two exceptions that the command line prints in one line: the input was wrong, or the work failed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

LONGEST = 1_000  # characters of a message: what was found may be anything


class InputError(Exception):
    """Bad input from a person: a one-line message saying where, what was found and what was expected.

    The command line prints it without a traceback and exits with code 2. Whatever was found, the message is one line of
    printable characters, its middle left out if it is very long.
    """

    def __init__(self, message: str):
        message = visible(message)
        if len(message) > LONGEST:
            message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
        super().__init__(message)


class FailedError(Exception):
    """The input was right, but the work failed. The command line exits with code 1."""


def visible(text: str) -> str:
    """Text in one line, its control characters, which a terminal would obey, written as Python writes them."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def reason(error: Exception) -> str:
    """What an error of someone else's says, in its first line; its name, if it says nothing."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


def first_problem(error: ValidationError) -> str:
    """The first complaint of pydantic's, in one line: where, what was found and what was expected."""
    details = error.errors()[0]
    where, context = ".".join(map(str, details["loc"])), details.get("ctx", {})
    if details["type"] == "value_error":  # a validator of ours says the rest, perhaps where in the value
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
