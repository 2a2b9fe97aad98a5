"""Turns ids into those the store knows, and those it must take nothing more for.

Works inside the caller's session. Knows nothing of what is stored under an id.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from uuid import UUID

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from feedback_store import postgres
from feedback_store.models import CompletionRow, ErasedRow, EventRow
from feedback_store.privacy_models import ConsentRow, HitRow

_IDS_PER_QUERY = 500  # databases limit the parameters of one statement


def chunks(ids: Iterable[UUID]) -> Iterator[tuple[UUID, ...]]:
    """Yield `ids` in pieces that fit one statement."""
    rest = iter(ids)
    while chunk := tuple(islice(rest, _IDS_PER_QUERY)):
        yield chunk


def lock_completions(session: Session, completion_ids: Iterable[UUID]) -> None:
    """In an `appending` session: let nobody else append to these completions until it ends."""
    if session.get_bind().dialect.name == "postgresql":
        postgres.lock_completions(session, completion_ids)


def known_ids(session: Session, completion_ids: Collection[UUID]) -> set[UUID]:
    """Return those of `completion_ids` whose completion is stored."""
    column = CompletionRow.completion_id
    return {
        key
        for chunk in chunks(completion_ids)
        for key in session.connection().scalars(select(column).where(column.in_(chunk)))
    }


def known_event_ids(session: Session, event_ids: Collection[UUID]) -> set[UUID]:
    """Return those of `event_ids` whose event is stored."""
    column = EventRow.event_id
    return {
        key
        for chunk in chunks(event_ids)
        for key in session.connection().scalars(select(column).where(column.in_(chunk)))
    }


def closed_ids(session: Session, completion_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return those of `completion_ids` that take nothing more, with the reason."""
    closed: dict[UUID, str] = {}
    run = session.connection().scalars  # past the ORM, which is slow
    for chunk in chunks(completion_ids):
        erased = select(ErasedRow.completion_id).where(ErasedRow.completion_id.in_(chunk))
        barred = select(CompletionRow.completion_id).where(
            CompletionRow.completion_id.in_(chunk), CompletionRow.barred
        )
        hit = select(HitRow.completion_id).where(HitRow.completion_id.in_(chunk))
        closed |= dict.fromkeys(run(_unwanted(chunk)), "consent was withdrawn")
        closed |= dict.fromkeys(run(erased), "its completion was erased")
        closed |= dict.fromkeys(run(barred.union(hit)), "its completion is barred")
    return closed


def _unwanted(chunk: Collection[UUID]) -> Select[UUID]:
    """Select those of users who took back their consent, here or for every repository."""
    there = or_(ConsentRow.repository == CompletionRow.repository, ConsentRow.repository == "*")
    return (
        select(CompletionRow.completion_id)
        .join(ConsentRow, and_(ConsentRow.pseudonym == CompletionRow.pseudonym, there))
        .where(CompletionRow.completion_id.in_(chunk), ConsentRow.withdrawn_at.is_not(None))
    )
