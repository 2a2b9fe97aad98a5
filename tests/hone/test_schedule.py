"""When the next night is."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hone.schedule import back_off_s, next_night

MOMENTS = st.datetimes(datetime(2020, 1, 2), datetime(2030, 1, 1)).map(lambda t: t.astimezone())


def check(at: str, now: str, expected: str | None) -> None:
    moment = next_night(at, datetime.fromisoformat(now).astimezone())
    assert (moment and moment.replace(tzinfo=None).isoformat(" ", "minutes")) == expected


def test_next_night() -> None:
    check("03:00", "2026-11-20 02:59", "2026-11-20 03:00")
    check("03:00", "2026-11-20 03:00", "2026-11-21 03:00")
    check("03:00", "2026-11-20 23:00", "2026-11-21 03:00")
    check("23:30", "2026-12-31 23:30", "2027-01-01 23:30")
    check("off", "2026-11-20 02:59", None)


@given(MOMENTS, st.times())
def test_there_is_one_night_a_day(now: datetime, clock: object) -> None:
    first = next_night(f"{clock:%H:%M}", now)
    assert first is not None
    assert timedelta() < first - now <= timedelta(hours=25)
    second = next_night(f"{clock:%H:%M}", first)
    assert second is not None
    assert second.date() == first.date() + timedelta(days=1)


@pytest.fixture
def _central_europe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be set here")
@pytest.mark.usefixtures("_central_europe")
@pytest.mark.parametrize(
    ("at", "now", "expected"),
    [
        ("03:00", "2026-03-28T22:00", "2026-03-29T01:00"),  # one hour shorter, still at three
        ("02:30", "2026-03-28T22:00", "2026-03-29T00:30"),  # there is no half past two: at 01:30
        ("02:30", "2026-03-29T00:30", "2026-03-30T00:30"),  # and not once more until it is three
        ("02:30", "2026-03-29T00:59", "2026-03-30T00:30"),
        ("02:30", "2026-10-24T22:00", "2026-10-25T00:30"),  # it comes twice: the first one
        ("02:30", "2026-10-25T00:30", "2026-10-26T01:30"),
        ("02:30", "2026-10-25T01:10", "2026-10-26T01:30"),  # not again in the second hour
        ("03:00", "2026-10-25T01:30", "2026-10-25T02:00"),
    ],
)
def test_nights_when_the_clocks_change(at: str, now: str, expected: str) -> None:
    """Moments are in UTC here."""
    begun = datetime.fromisoformat(now).replace(tzinfo=UTC).astimezone()
    night = next_night(at, begun)
    assert night is not None
    assert night.astimezone(UTC).isoformat()[:16] == expected


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 1), (2, 2), (6, 32), (7, 60)])
def test_pauses_grow_to_a_minute(failures: int, seconds: float) -> None:
    assert back_off_s(failures) == seconds
    assert back_off_s(10**9) == 60
