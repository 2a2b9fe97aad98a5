"""Turns ids into those the store knows, and those it must take nothing more for.

Works inside the caller's session. Knows nothing of what is stored under an id.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Select, literal_column, or_, select, union_all
from sqlalchemy.orm import Session

from feedback_store import postgres
from feedback_store.id_lists import Ids, among
from feedback_store.models import CompletionRow, ErasedRow
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


def known_ids(session: Session, completion_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of `completion_ids` whose completion is stored."""
    return set(session.connection().scalars(_KNOWN, {"ids": completion_ids}))


def closed_ids(session: Session, completion_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return those of `completion_ids` that take nothing more, with the reason."""
    found = session.connection().execute(_CLOSED, {"ids": Ids(completion_ids)}).all()
    return {key: _REASONS[number] for key, number in sorted(found, key=itemgetter(1))}


_REASONS = ("consent was withdrawn", "its completion was erased", "its completion is barred")


def _because(number: int, of: Any, *conditions: Any) -> Select[UUID, int]:
    """Select the ids among those asked for of a table, and the number of a reason."""
    reason = literal_column(str(number), Integer)
    return select(of.completion_id, reason).where(among(of.completion_id), *conditions)


# Made once, and run past the ORM: several of these run for every batch.
_KNOWN = select(CompletionRow.completion_id).where(among(CompletionRow.completion_id))
_CLOSED = union_all(
    _because(
        0,
        CompletionRow,
        ConsentRow.pseudonym == CompletionRow.pseudonym,
        # Of users who took back their consent, here or for every repository.
        or_(ConsentRow.repository == CompletionRow.repository, ConsentRow.repository == "*"),
        ConsentRow.withdrawn_at.is_not(None),
    ),
    _because(1, ErasedRow),
    _because(2, CompletionRow, CompletionRow.barred),
    _because(2, HitRow),
)
