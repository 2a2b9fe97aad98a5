"""Turns stored events into folded outcomes, and outcomes into rows and back.

Knows nothing of where events come from; the rules of folding are in `outcomes`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Row as ResultRow
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from feedback_store.known import chunks
from feedback_store.models import EventRow, OutcomeRow
from feedback_store.outcomes import Outcome, fold
from feedback_store.schemas import Event, EventData, EventKind, OutcomeKind


def fold_stored(session: Session, completion_ids: Iterable[UUID]) -> list[Outcome]:
    """Return the outcome of each of `completion_ids`, folded from all its stored events."""
    ids = list(completion_ids)
    events: dict[UUID, list[Event]] = defaultdict(list)
    for chunk in chunks(ids):
        rows = session.execute(
            select(*EventRow.__table__.columns).where(EventRow.completion_id.in_(chunk))
        )
        for row in rows:
            events[row.completion_id].append(event_of(row))
    return [fold(completion_id, events[completion_id]) for completion_id in ids]


def refold(session: Session, completion_ids: Iterable[UUID]) -> None:
    """Replace the stored outcomes of completions that are stored."""
    outcomes = fold_stored(session, completion_ids)
    if outcomes:
        session.execute(update(OutcomeRow), [outcome_values(outcome) for outcome in outcomes])


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """Return the column values of `outcome`."""
    return asdict(outcome) | {"kind": outcome.kind.value}


def outcome_of(row: ResultRow[Any]) -> Outcome:
    """Return the outcome in a row of all columns of the table."""
    return Outcome(**dict(row._mapping) | {"kind": OutcomeKind(row.kind)})


def event_values(event: Event) -> dict[str, Any]:
    """Return the column values of `event`, all but the time of its arrival."""
    return {
        "event_id": event.event_id,
        "completion_id": event.completion_id,
        "schema_version": event.schema_version,
        "kind": event.kind.value,
        "ordinal": event.ordinal,
        "candidate_index": event.candidate_index,
        "occurred_at": event.occurred_at,
        "source": event.source,
        "data": event.data.model_dump(exclude_none=True),
    }


def event_of(row: ResultRow[Any]) -> Event:
    """Return the event in a row of all columns of the table.

    It was checked when it came in; a later, stricter contract must not make it unreadable.
    """
    return Event.model_construct(
        schema_version=row.schema_version,
        event_id=row.event_id,
        completion_id=row.completion_id,
        kind=EventKind(row.kind),
        ordinal=row.ordinal,
        candidate_index=row.candidate_index,
        occurred_at=row.occurred_at,
        source=row.source,
        data=EventData.model_construct(**row.data),
    )
