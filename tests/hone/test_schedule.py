"""When the next night is."""

from datetime import datetime, timedelta

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


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 1), (2, 2), (6, 32), (7, 60)])
def test_pauses_grow_to_a_minute(failures: int, seconds: float) -> None:
    assert back_off_s(failures) == seconds
    assert back_off_s(10**9) == 60
