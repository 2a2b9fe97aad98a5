"""Turns raw event objects into stored facts, each exactly once, and refolds what they touch.

Delivery is at least once: the same event may come again, late, in another order, or before its
completion. Knows nothing of HTTP.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import insert

from feedback_store import rollups
from feedback_store.database import Database
from feedback_store.errors import EventError
from feedback_store.known import closed_ids, known_event_ids, known_ids, lock_completions
from feedback_store.models import EventRow
from feedback_store.outcome_rows import event_values, refold
from feedback_store.schemas import Event, IngestReport, ItemReport

_MAX_INTEGER = 2**31 - 1


def append(
    database: Database, items: Sequence[dict[str, Any]], *, received_at: datetime | None = None
) -> IngestReport:
    """Store the events of `items` in one transaction; report on each, in the order given.

    stored: durable from now on. duplicate: an event of this id is stored already, whatever this
    one says. refused: `reason` says what is wrong with it, and sending it again will not help.
    `received_at` is now unless told. DatabaseError: nothing of the batch was stored; send it again.
    """
    checked = [_checked(item) for item in items]
    events: dict[UUID, Event] = {}
    for event in checked:
        if isinstance(event, Event):
            events.setdefault(event.event_id, event)
    stored: set[UUID] = set()
    closed: dict[UUID, str] = {}
    if events:
        stored, closed = _store(database, events, received_at or datetime.now(UTC))
    checked = [
        closed.get(one.completion_id, one) if isinstance(one, Event) else one for one in checked
    ]
    return IngestReport(
        items=tuple(_report(item, one, stored) for item, one in zip(items, checked, strict=True))
    )


def _store(
    database: Database, events: dict[UUID, Event], received_at: datetime
) -> tuple[set[UUID], dict[UUID, str]]:
    """Return the event ids that are new, and the completions that take no more, with why."""
    touched = {event.completion_id for event in events.values()}
    with database.appending() as session:
        lock_completions(session, touched)
        closed = closed_ids(session, touched)
        known = known_event_ids(session, events)
        new = [
            event
            for event in events.values()
            if event.event_id not in known and event.completion_id not in closed
        ]
        if new:
            rows = [event_values(event) | {"received_at": received_at} for event in new]
            session.execute(insert(EventRow), rows)
            changed = known_ids(session, {event.completion_id for event in new})
            refold(session, changed)
            rollups.mark(session, changed)
    return {event.event_id for event in new}, closed


def _checked(item: object) -> Event | str:
    """Return the event in `item`, or why there is none."""
    if not isinstance(item, dict):
        return f"an event is an object, not {type(item).__name__}"
    try:
        event = Event.model_validate(item)
        _check_bounds(event)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"].removeprefix("Value error, ")
    except (EventError, RecursionError) as error:
        return str(error)
    return event


def _check_bounds(event: Event) -> None:
    """Refuse what is valid on the wire but fits no column."""
    numbers = {"ordinal": event.ordinal, "candidate_index": event.candidate_index}
    for name, value in (numbers | event.data.model_dump(exclude_none=True)).items():
        if isinstance(value, int) and value > _MAX_INTEGER:
            raise EventError(f"{name}: {value} is larger than {_MAX_INTEGER}")
        if isinstance(value, str) and "\0" in value:
            raise EventError(f"data.{name}: holds a NUL character")
    try:
        event.occurred_at.astimezone(UTC)
    except OverflowError as error:
        raise EventError(f"occurred_at: {event.occurred_at} is no time in UTC") from error


def _report(item: object, checked: Event | str, stored: set[UUID]) -> ItemReport:
    if isinstance(checked, str):
        told = item.get("event_id") if isinstance(item, dict) else None
        return ItemReport(
            event_id=told if isinstance(told, str) else None, status="refused", reason=checked
        )
    if checked.event_id in stored:
        stored.discard(checked.event_id)  # a second one in the same batch is a duplicate
        return ItemReport(event_id=str(checked.event_id), status="stored")
    return ItemReport(event_id=str(checked.event_id), status="duplicate")
