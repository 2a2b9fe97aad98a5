"""Times keep their zone, ids their dashes."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from feedback_store.columns import UtcDateTime, UuidText

SQLITE, POSTGRES = sqlite.dialect(), postgresql.dialect()


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)))
def test_a_time_comes_back_as_the_same_moment_in_utc(naive: datetime) -> None:
    column = UtcDateTime()
    moment = naive.replace(tzinfo=timezone(timedelta(hours=5, minutes=30)))
    stored = column.process_bind_param(moment, SQLITE)
    assert stored is not None
    back = column.process_result_value(stored.replace(tzinfo=None), SQLITE)
    assert back == moment
    assert back is not None
    assert back.tzinfo is UTC
    assert column.process_result_value(moment, POSTGRES) == moment


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="naive datetime 2026-11-03T00:00:00: give it a time zone"):
        UtcDateTime().process_bind_param(datetime(2026, 11, 3), SQLITE)


@given(st.uuids())
def test_an_id_is_stored_as_it_is_written_on_the_wire(value: UUID) -> None:
    column = UuidText()
    assert column.process_bind_param(value, SQLITE) == str(value)
    assert column.process_bind_param(value, POSTGRES) is value
    assert column.process_result_value(str(value), SQLITE) == value
    assert column.process_result_value(value, POSTGRES) is value


def test_nothing_stays_nothing() -> None:
    for column in (UtcDateTime(), UuidText()):
        assert column.process_bind_param(None, SQLITE) is None
        assert column.process_result_value(None, SQLITE) is None
