"""Turns a question into a person's yes, and long work into a bar that they can watch.

It does not know what is asked or done.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from hone.errors import HoneError, UsageError


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person at a terminal; HoneError on anything but yes, UsageError without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody is there to ask: say --yes")
    if input(f"{question} [yes/no] ").strip().lower() not in ("y", "yes"):
        raise HoneError("nothing was changed")


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what shows "so many of so many" on stderr, where a person watches."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
