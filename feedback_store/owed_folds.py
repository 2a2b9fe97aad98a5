"""Turns events that were stored in a hurry into outcomes, a little later.

Who has no time to fold writes down, in the transaction that stores the events, which completions
are owed it; a crash forgets none. Under load most completions hear of several events before they
are folded once. Knows nothing of how to fold, nor of when there is time.
"""

import logging
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import delete, exists, func, insert, select
from sqlalchemy.orm import Session

from feedback_store import rollups
from feedback_store.database import Database
from feedback_store.errors import DatabaseError
from feedback_store.id_lists import among
from feedback_store.known import lock_completions
from feedback_store.models import CompletionRow, OwedFoldRow
from feedback_store.outcome_rows import refold

_MAX_AT_ONCE = 100  # completions: who stores meanwhile waits for them
_IS_OWED = exists().where(OwedFoldRow.completion_id == CompletionRow.completion_id)
_OWE = insert(OwedFoldRow).from_select(
    ["completion_id"],
    select(CompletionRow.completion_id).where(among(CompletionRow.completion_id), ~_IS_OWED),
)
_SOME = select(OwedFoldRow.completion_id).limit(_MAX_AT_ONCE)
_PAID = delete(OwedFoldRow).where(among(OwedFoldRow.completion_id))

_log = logging.getLogger(__name__)


def owe(session: Session, completion_ids: Iterable[UUID]) -> None:
    """Say inside an `appending` session that these completions, where stored, are to be folded."""
    session.connection().execute(_OWE, {"ids": completion_ids})


def fold_some(database: Database) -> int:
    """Fold some of what is owed; return how many completions, 0 when nothing is owed.

    One that cannot be folded is logged and left as it is: the others must not wait for it.
    """
    with database.reading() as session:
        ids = list(session.scalars(_SOME))
    try:
        _fold(database, ids)
    except DatabaseError:
        raise
    except Exception:
        for one in ids:
            _fold_alone(database, one)
    return len(ids)


def fold_all(database: Database) -> int:
    """Fold as many completions as are owed it now; return how many that were."""
    with database.reading() as session:
        num_owed = session.scalar(select(func.count()).select_from(OwedFoldRow)) or 0
    num_folded = 0
    while num_folded < num_owed and (num := fold_some(database)):
        num_folded += num
    return num_folded


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
