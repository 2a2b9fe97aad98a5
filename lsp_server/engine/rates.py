"""Turns requests of many callers into "go on", or "wait so long": one token bucket for each.

Pure: time comes in as an argument, in seconds of any clock that only goes forward. Knows nothing
of HTTP, or of who the callers are.
"""

MAX_CALLERS = 4096


class Rates:
    """Counts what each caller takes; `per_minute` at most, all of them at once if they like."""

    def __init__(self, per_minute: int) -> None:
        self._burst = float(per_minute)
        self._per_second = per_minute / 60
        self._buckets: dict[str, tuple[float, float]] = {}  # caller -> (left, seen at)

    def wait_s(self, caller: str, now_s: float) -> float:
        """Take one for `caller` and return 0; or take none and return the seconds to wait."""
        left = self._left(caller, now_s)
        if left < 1:
            self._buckets[caller] = (left, now_s)
            return (1 - left) / self._per_second
        if caller not in self._buckets and len(self._buckets) >= MAX_CALLERS:
            self._forget(now_s)
        self._buckets[caller] = (left - 1, now_s)
        return 0.0

    def _left(self, caller: str, now_s: float) -> float:
        left, seen_at = self._buckets.get(caller, (self._burst, now_s))
        return min(self._burst, left + max(0.0, now_s - seen_at) * self._per_second)

    def _forget(self, now_s: float) -> None:
        """Forget whose bucket is full again; when all are busy, those seen longest ago."""
        busy = {
            caller: bucket
            for caller, bucket in self._buckets.items()
            if self._left(caller, now_s) < self._burst
        }
        kept = sorted(busy, key=lambda caller: busy[caller][1])[-MAX_CALLERS // 2 :]
        self._buckets = {caller: busy[caller] for caller in kept}
