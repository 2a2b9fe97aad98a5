"""Turns raw event objects into stored facts, each exactly once, and refolds what they touch.

Delivery is at least once: the same event may come again, late, in another order, or before its
completion. Knows nothing of HTTP.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from pydantic import ValidationError

from feedback_store import barring, owed_folds, rollups
from feedback_store.database import Database
from feedback_store.errors import EventError
from feedback_store.event_rows import insert_new
from feedback_store.known import closed_ids, lock_completions
from feedback_store.outcome_rows import refold
from feedback_store.schemas import Event, IngestReport, ItemReport
from feedback_store.stand_ins import StandIns

_MAX_INTEGER = 2**31 - 1

CheckedBatch = Sequence[tuple[object, Event | str]]  # what was sent, and what it is or lacks


def append(
    database: Database, items: Sequence[object], *, received_at: datetime | None = None
) -> IngestReport:
    """Store the events of `items` in one transaction; report on each, in the order given.

    stored: durable from now on. duplicate: an event of this id is stored already, whatever this
    one says. refused: `reason` says what is wrong with it, and sending it again will not help.
    `received_at` is now unless told. DatabaseError: nothing of the batch was stored; send it again.
    """
    (report,) = store_batches(database, [check(items)], received_at or datetime.now(UTC))
    return report


def check(items: Sequence[object], stand_ins: StandIns | None = None) -> CheckedBatch:
    """Return each item with the event that it is, or with what is wrong with it.

    With `stand_ins` the events have no text in them any more.
    """
    checked = [_checked(item) for item in items]
    if stand_ins is not None:
        events = iter(stand_ins.without_code([one for one in checked if isinstance(one, Event)]))
        checked = [next(events) if isinstance(one, Event) else one for one in checked]
    return list(zip(items, checked, strict=True))


def store_batches(
    database: Database,
    batches: Sequence[CheckedBatch],
    received_at: datetime,
    *,
    in_hurry: bool = False,
) -> list[IngestReport]:
    """Store several batches as one, and report on each; the first to tell a fact stored it.

    `in_hurry`, outcomes stay as they are until `owed_folds` is told to fold.
    """
    events: dict[UUID, Event] = {}
    for batch in batches:
        for _, one in batch:
            if isinstance(one, Event):
                events.setdefault(one.event_id, one)
    stored, refused = set[UUID](), dict[UUID, str]()
    if events:
        stored, refused = _store_what_fits(database, events, received_at, in_hurry)
    return [
        IngestReport(items=tuple(_report(item, one, stored, refused) for item, one in batch))
        for batch in batches
    ]


def _store_what_fits(
    database: Database, events: dict[UUID, Event], received_at: datetime, in_hurry: bool
) -> tuple[set[UUID], dict[UUID, str]]:
    """Return the event ids that are new, and those that are refused, with why.

    An event that a database cannot hold must not keep the others out: halves of halves find it.
    """
    try:
        stored, closed = _store(database, events, received_at, in_hurry)
    except EventError as error:
        if len(events) == 1:
            return set(), dict.fromkeys(events, str(error))
        each, middle = list(events.items()), len(events) // 2
        first = _store_what_fits(database, dict(each[:middle]), received_at, in_hurry)
        second = _store_what_fits(database, dict(each[middle:]), received_at, in_hurry)
        return first[0] | second[0], first[1] | second[1]
    refused = {
        key: closed[event.completion_id]
        for key, event in events.items()
        if event.completion_id in closed
    }
    return stored, refused


def _store(
    database: Database, events: dict[UUID, Event], received_at: datetime, in_hurry: bool
) -> tuple[set[UUID], dict[UUID, str]]:
    """Return the event ids that are new, and the completions that take no more, with why."""
    touched = {event.completion_id for event in events.values()}
    found = barring.found_in_events(events.values())
    with database.appending() as session:
        lock_completions(session, touched)
        closed = closed_ids(session, touched)
        found = {one: kinds for one, kinds in found.items() if one not in closed}
        closed |= barring.bar_found(session, found, "event")
        wanted = [event for event in events.values() if event.completion_id not in closed]
        new = insert_new(session, wanted, received_at)
        if new:
            changed = {event.completion_id for event in new}
            if in_hurry:
                owed_folds.owe(session, changed)
            else:
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
        said = first["msg"].removeprefix("Value error, ")
        return f"{place}: {said}" if place else said
    except (EventError, RecursionError) as error:
        return str(error)
    return event


def _check_bounds(event: Event) -> None:
    """Refuse what is valid on the wire but fits no column."""
    given = [(name, getattr(event.data, name)) for name in event.data.model_fields_set]
    numbers = [("ordinal", event.ordinal), ("candidate_index", event.candidate_index)]
    for name, value in numbers + given:
        if isinstance(value, int) and value > _MAX_INTEGER:
            raise EventError(f"{name}: {value} is larger than {_MAX_INTEGER}")
        if isinstance(value, str) and "\0" in value:
            raise EventError(f"data.{name}: holds a NUL character")


def _report(
    item: object, checked: Event | str, stored: set[UUID], refused: dict[UUID, str]
) -> ItemReport:
    if isinstance(checked, str):
        told = item.get("event_id") if isinstance(item, dict) else None
        return ItemReport(
            event_id=told if isinstance(told, str) else None, status="refused", reason=checked
        )
    key = checked.event_id
    if key in refused:
        return ItemReport(event_id=str(key), status="refused", reason=refused[key])
    if key in stored:
        stored.discard(key)  # a second one is a duplicate
        return ItemReport(event_id=str(key), status="stored")
    return ItemReport(event_id=str(key), status="duplicate")
