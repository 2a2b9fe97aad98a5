"""Turns what went wrong at the front door into one line and an exit code.

    HoneError              exit code 1: it was asked for correctly and could not be done
    └── UsageError         exit code 2: a setting, a flag or the installation has to change first

It knows no command. Errors of the other packages are turned into these where they are called.
"""


class HoneError(Exception):
    """Something could not be done; the message says what, with which value, and what to do."""

    exit_code = 1


class UsageError(HoneError):
    """Nothing was started, because a setting or the installation has to change first."""

    exit_code = 2


def one_line(error: BaseException) -> str:
    """Return the message of an error as a single line, whatever it was built from."""
    return " ".join(str(error).split()) or type(error).__name__
