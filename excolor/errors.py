"""The one exception that means: the input was wrong, and here is where."""


class InputError(Exception):
    """Bad input from a person: a one-line message saying where, what was found and what was expected.

    The command line prints it without a traceback and exits with code 2.
    """
