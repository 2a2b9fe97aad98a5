"""Turns the system's time, or a client's ticks, into epoch milliseconds.

Under a client's clock a simulated day takes minutes. This module knows nothing of who asks.
"""

import time
from typing import Literal


class Clock:
    """Epoch milliseconds: the system's, or what the client ticks."""

    def __init__(self, source: Literal["system", "client"]) -> None:
        """A client's clock stands at the system's time until the first tick."""
        self.is_client = source == "client"
        self._start_ms = _system_ms()
        self._told_ms: int | None = None

    @property
    def is_set(self) -> bool:
        """Whether the time is known; a client's is from its first tick on."""
        return not self.is_client or self._told_ms is not None

    def now_ms(self) -> int:
        """Return the time now."""
        if not self.is_client:
            return _system_ms()
        return self._start_ms if self._told_ms is None else self._told_ms

    def tick(self, now_ms: int) -> None:
        """Set a client's clock, never backwards; the system's clock is not to be set."""
        if self.is_client:
            self._told_ms = now_ms if self._told_ms is None else max(self._told_ms, now_ms)


def _system_ms() -> int:
    return time.time_ns() // 1_000_000
