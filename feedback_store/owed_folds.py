"""Turns events that are stored into outcomes, a little later.

Who stores events now and folds them later writes down, in the same transaction, which completions
are owed it; a crash forgets none. Most completions hear of several events before they are folded
once. Knows nothing of how to fold, nor of when there is time.
"""

import logging
from collections.abc import Callable, Iterable, Sequence, Set
from uuid import UUID

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.orm import Session

from feedback_store import rollups
from feedback_store.database import Database
from feedback_store.errors import DatabaseError
from feedback_store.id_lists import among
from feedback_store.known import lock_completions
from feedback_store.models import CompletionRow, OwedFoldRow
from feedback_store.outcome_rows import refold

MAX_AT_ONCE = 100  # completions: who stores meanwhile waits for them
_IS_OWED = exists().where(OwedFoldRow.completion_id == CompletionRow.completion_id)
_OWE = insert(OwedFoldRow).from_select(
    ["completion_id"],
    select(CompletionRow.completion_id).where(among(CompletionRow.completion_id), ~_IS_OWED),
)
_OWED = select(OwedFoldRow.completion_id)
_PAID = delete(OwedFoldRow).where(among(OwedFoldRow.completion_id))

_log = logging.getLogger(__name__)


def owe(session: Session, completion_ids: Iterable[UUID]) -> None:
    """Say inside an `appending` session that these completions, where stored, are to be folded."""
    session.connection().execute(_OWE, {"ids": completion_ids})


def fold_some(database: Database, limit: int) -> bool:
    """Fold `limit` of what is owed, or all of it; return whether there was more.

    One that cannot be folded is logged and left as it is: the others must not wait for it.
    """
    with database.reading() as session:
        ids = session.scalars(_OWED.limit(limit + 1)).all()
    _fold_each(database, ids[:limit])
    return len(ids) > limit


def fold_all(database: Database) -> int:
    """Fold every completion that is owed it now; return how many those are."""
    ids = _owed_ids(database)
    _fold_in_pieces(database, list(ids))
    return len(ids)


def fold_left_over(
    database: Database, before: Set[UUID] | None, rest: Callable[[], None]
) -> Set[UUID]:
    """Fold what is owed and was in `before` already; return what is owed, for the next call.

    Who stores events folds them soon afterwards: what is still owed at the next look was left by a
    crash, here or elsewhere, or by a host that gets more than it can fold. None before: all of it
    was left. `rest` is called between pieces of work.
    """
    ids = _owed_ids(database)
    _fold_in_pieces(database, list(ids if before is None else ids & before), rest)
    return ids


def _owed_ids(database: Database) -> Set[UUID]:
    with database.reading() as session:
        return set(session.scalars(_OWED))


def _fold_in_pieces(
    database: Database, ids: Sequence[UUID], rest: Callable[[], None] = lambda: None
) -> None:
    for start in range(0, len(ids), MAX_AT_ONCE):
        _fold_each(database, ids[start : start + MAX_AT_ONCE])
        rest()


def _fold_each(database: Database, ids: Sequence[UUID]) -> None:
    try:
        _fold(database, ids)
    except DatabaseError:
        raise
    except Exception:
        for one in ids:
            _fold_alone(database, one)


def _fold(database: Database, ids: Sequence[UUID]) -> None:
    if not ids:
        return
    with database.appending() as session:
        lock_completions(session, ids)
        refold(session, ids)
        rollups.mark(session, ids)
        session.connection().execute(_PAID, {"ids": ids})


def _fold_alone(database: Database, completion_id: UUID) -> None:
    try:
        _fold(database, [completion_id])
    except DatabaseError:
        raise
    except Exception:
        _log.exception("completion %s cannot be folded: its outcome stays", completion_id)
        with database.appending() as session:
            session.connection().execute(_PAID, {"ids": [completion_id]})
