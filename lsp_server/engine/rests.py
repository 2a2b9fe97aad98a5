"""Turns long work into short pieces with rests between, so that it never hurries who waits.

A rest is as long as the work before it makes it: on a slow or busy machine the share that the work
takes stays the same. Knows nothing of the work.
"""

from collections.abc import Callable
from time import monotonic

SHARE = 0.1  # of the time that is worked, at first
MAX_SHARE = 0.5
PATIENT_SECONDS = 60.0  # after twice as long the share is twice as large, so that work gets done
MAX_REST_SECONDS = 1.0


class Stopped(Exception):
    """There is no time left: leave the work as it is."""


class Rests:
    """One worker's rests in one piece of work; call it wherever the work may be left."""

    def __init__(
        self, wait: Callable[[float], bool], *, clock: Callable[[], float] = monotonic
    ) -> None:
        """Begin to work. `wait` rests for some seconds and says whether to stop."""
        self._wait, self._clock = wait, clock
        self._began = self._resumed = clock()

    def __call__(self) -> None:
        """Rest, by what was worked since the last time; raise Stopped when it is time to stop."""
        now = self._clock()
        lateness = max(1.0, (now - self._began) / PATIENT_SECONDS)
        share = min(SHARE * lateness, MAX_SHARE)
        if self._wait(min((now - self._resumed) * (1 / share - 1), MAX_REST_SECONDS)):
            raise Stopped
        self._resumed = self._clock()
