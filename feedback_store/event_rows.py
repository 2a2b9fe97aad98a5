"""Turns events into rows, past the ORM, which would take longer than the database.

PostgreSQL gets all of them as one JSON text, whose names are those of the columns, and takes it
apart itself; SQLite is quicker with values of its own. Knows nothing of which events may be stored.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from feedback_store.columns import UtcDateTime
from feedback_store.schemas import Event, EventData

_EVENTS, _DATA = TypeAdapter(list[Event]), TypeAdapter(EventData)
_NAMES = (
    "event_id, completion_id, schema_version, kind, ordinal, candidate_index, occurred_at, source, "
    "data"
)
_POSTGRESQL = text(
    f"INSERT INTO events ({_NAMES}, received_at) SELECT {_NAMES}, :received_at "
    "FROM json_populate_recordset(NULL::events, CAST(:rows AS json))"
).bindparams(bindparam("received_at", type_=UtcDateTime()))
_SQLITE = f"INSERT INTO events ({_NAMES}, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def insert_events(session: Session, events: Sequence[Event], received_at: datetime) -> None:
    """Add a row for each of `events`, none of which is stored yet."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        rows = _EVENTS.dump_json(list(events), exclude_none=True).decode()
        connection.execute(_POSTGRESQL, {"rows": rows, "received_at": received_at})
    elif events:
        moment = _time(received_at)
        connection.exec_driver_sql(_SQLITE, [_values(event, moment) for event in events])


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
