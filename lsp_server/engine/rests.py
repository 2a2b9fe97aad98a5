"""Turns long work into short pieces with rests between, so that it never hurries who waits.

A rest is as long as the work before it makes it: on a slow or busy machine the share that the work
takes stays the same. Knows nothing of the work.
"""

from collections.abc import Callable
from time import monotonic

SHARE = 0.1  # of the time, at most, that is worked
MAX_REST_SECONDS = 1.0


class Rests:
    """One worker's rests; call it after every piece of work."""

    def __init__(
        self, wait: Callable[[float], object], *, clock: Callable[[], float] = monotonic
    ) -> None:
        """Begin to work. `wait` is told for how many seconds to rest; `clock` is in seconds."""
        self._wait, self._clock = wait, clock
        self._resumed = clock()

    def __call__(self) -> None:
        """Rest, by what was worked since the last time."""
        worked_s = self._clock() - self._resumed
        self._wait(min(worked_s * (1 / SHARE - 1), MAX_REST_SECONDS))
        self._resumed = self._clock()
