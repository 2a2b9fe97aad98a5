"""Turns "03:00" and the time now into the next moment to train.

Pure: it reads no clock. Times are aware; the wall clock of `now`'s own zone decides, so a night
stays at three o'clock when the clocks change.
"""

from datetime import datetime, time, timedelta

OFF = "off"


def next_night(at: str, now: datetime) -> datetime | None:
    """Return the first moment after `now` at which the local clock shows `at`; None when off."""
    if at == OFF:
        return None
    clock = time.fromisoformat(at)
    # Read as a naive local time: the zone's rules of *that* day apply, not today's offset. In an
    # hour that comes twice only the first one counts.
    today = datetime.combine(now.date(), clock).astimezone()
    if today > now:
        return today
    return datetime.combine(now.date() + timedelta(days=1), clock).astimezone()


def back_off_s(num_failures: int) -> float:
    """Return how long to wait before start number `num_failures` + 1: 1, 2, 4 ... 60 seconds."""
    return float(min(60, 2 ** min(max(0, num_failures - 1), 10)))
