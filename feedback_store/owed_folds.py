"""Turns events that were stored in a hurry into outcomes, a little later.

Who has no time to fold writes down, in the transaction that stores the events, which completions
are owed it; a crash forgets none. Under load most completions hear of several events before they
are folded once. Knows nothing of how to fold, nor of when there is time.
"""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.orm import Session

from feedback_store import rollups
from feedback_store.database import Database
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


def owe(session: Session, completion_ids: Iterable[UUID]) -> None:
    """Say inside an `appending` session that these completions, where stored, are to be folded."""
    session.connection().execute(_OWE, {"ids": completion_ids})


def fold_some(database: Database) -> int:
    """Fold some of what is owed, in one transaction; return how many, 0 when nothing is."""
    with database.reading() as session:
        ids = list(session.scalars(_SOME))
    if ids:
        with database.appending() as session:
            lock_completions(session, ids)
            refold(session, ids)
            rollups.mark(session, ids)
            session.connection().execute(_PAID, {"ids": ids})
    return len(ids)


def fold_all(database: Database) -> int:
    """Fold everything that is owed now; return how many completions that were."""
    num_folded = 0
    while num := fold_some(database):
        num_folded += num
    return num_folded
