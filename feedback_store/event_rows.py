"""Turns events into rows: all of them by one statement, whose one parameter is their JSON.

What goes over the wire has the names of the columns, so the database takes it apart itself, which
is far quicker than a row at a time. Knows nothing of which events may be stored.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.orm import Session

from feedback_store.columns import UtcDateTime
from feedback_store.models import EventRow
from feedback_store.schemas import Event

_EVENTS = TypeAdapter(list[Event])
_TOLD = [column for column in EventRow.__table__.c if column.name in Event.model_fields]
_NAMES = ", ".join(column.name for column in _TOLD)


def insert_events(session: Session, events: Sequence[Event], received_at: datetime) -> None:
    """Add a row for each of `events`, none of which is stored yet."""
    rows = _EVENTS.dump_json(list(events), exclude_none=True).decode()
    connection = session.connection()
    statement = _INSERTS[connection.dialect.name]
    connection.execute(statement, {"rows": rows, "received_at": received_at})


def _insert(values: str, rows: str) -> TextClause:
    statement = f"INSERT INTO events ({_NAMES}, received_at) SELECT {values}, :received_at FROM "
    return text(statement + rows).bindparams(bindparam("received_at", type_=UtcDateTime()))


def _from_json(column: Any) -> str:
    """Return what SQLite finds of a column in the JSON of one event."""
    value = f"json_extract(value, '$.{column.name}')"
    if isinstance(column.type, UtcDateTime):  # as SQLAlchemy writes it: no T, no Z, microseconds
        return f"substr(replace(rtrim({value}, 'Z'), 'T', ' ') || '.000000', 1, 26)"
    return value


_INSERTS = {
    "sqlite": _insert(", ".join(map(_from_json, _TOLD)), "json_each(:rows)"),
    "postgresql": _insert(_NAMES, "json_populate_recordset(NULL::events, CAST(:rows AS json))"),
}
