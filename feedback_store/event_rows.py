"""Turns events into rows, past the ORM, which would take longer than the database.

PostgreSQL gets all of them as one JSON text, whose names are those of the columns, and takes it
apart itself; SQLite is quicker with values of its own. Knows nothing of which events may be stored.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from feedback_store.columns import UtcDateTime
from feedback_store.id_lists import among
from feedback_store.models import EventRow
from feedback_store.schemas import Event, EventData

_EVENTS, _DATA = TypeAdapter(list[Event]), TypeAdapter(EventData)
_NAMES = (
    "event_id, completion_id, schema_version, kind, ordinal, candidate_index, occurred_at, source, "
    "data"
)
_POSTGRESQL = (
    text(
        f"INSERT INTO events ({_NAMES}, received_at) SELECT {_NAMES}, :received_at "
        "FROM json_populate_recordset(NULL::events, CAST(:rows AS json)) "
        "ON CONFLICT (event_id) DO NOTHING RETURNING event_id"
    )
    .bindparams(bindparam("received_at", type_=UtcDateTime()))
    .columns(EventRow.event_id)
)
_KNOWN = select(EventRow.event_id).where(among(EventRow.event_id))
_SQLITE = f"INSERT INTO events ({_NAMES}, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def insert_new(session: Session, events: Sequence[Event], received_at: datetime) -> list[Event]:
    """Add a row for each of `events`, whose ids differ; return those that were not stored yet.

    Their times are in UTC; `received_at` has a zone.
    """
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        rows = _EVENTS.dump_json(list(events), exclude_none=True).decode()
        told = {"rows": rows, "received_at": received_at}
        added = set(connection.scalars(_POSTGRESQL, told))
        return [event for event in events if event.event_id in added]
    # SQLite learned to return what it added in 3.35, which is newer than some that are in use.
    ids = [event.event_id for event in events]
    known = set(connection.scalars(_KNOWN, {"ids": ids}))
    new = [event for event in events if event.event_id not in known]
    if new:
        moment = _time(received_at.astimezone(UTC))
        connection.exec_driver_sql(_SQLITE, [_values(event, moment) for event in new])
    return new


def _values(event: Event, received_at: str) -> tuple[Any, ...]:
    return (
        str(event.event_id),
        str(event.completion_id),
        event.schema_version,
        event.kind.value,
        event.ordinal,
        event.candidate_index,
        _time(event.occurred_at),
        event.source,
        _DATA.dump_json(event.data, exclude_none=True).decode(),
        received_at,
    )


def _time(moment: datetime) -> str:
    """Return a moment of UTC as SQLAlchemy writes it on SQLite: microseconds, no zone."""
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")
