"""Turns a user into everything that is kept about them, one plain object after the other.

Follows the tables rather than a list of them: what hangs on a completion is found by its column
`completion_id`, so a table that is added later is exported too. Knows nothing of files.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.orm import Session

from feedback_store import owed_folds
from feedback_store.database import Database
from feedback_store.models import (
    AuditRow,
    CompletionRow,
    OwedFoldRow,
    ReviewRow,
    Row,
    SearchRow,
    StaleRow,
    TokenRow,
    UserRow,
)
from feedback_store.privacy_models import ConsentRow

# Made from the rest, and no more.
_DERIVED = {row.__tablename__ for row in (OwedFoldRow, SearchRow, StaleRow)}
_HIDDEN = {"sha256"}  # of tokens: worth nothing to their owner
_COMPLETIONS_PER_STEP = 200

Exported = dict[str, Any]  # "table", and the columns as JSON values


def everything_about(database: Database, user: str) -> Iterator[Exported]:
    """Yield every row about `user`, a pseudonym of an editor or the name of a token's user.

    From one snapshot of the store; times are ISO 8601 in UTC. What is still owed a fold is folded
    before.
    """
    owed_folds.fold_all(database)
    with database.reading() as session:
        users = select(UserRow.user_id).where(UserRow.name == user)
        of_user: tuple[tuple[type[Row], ColumnElement[bool]], ...] = (
            (UserRow, UserRow.name == user),
            (TokenRow, TokenRow.user_id.in_(users)),
            (ConsentRow, ConsentRow.pseudonym == user),
            (ReviewRow, ReviewRow.reviewer == user),
            (AuditRow, AuditRow.who == user),
        )
        for model, condition in of_user:
            yield from _rows(session, _table(model), condition)
        yield from _completions(session, user)


def _completions(session: Session, user: str) -> Iterator[Exported]:
    last: UUID | None = None
    key = CompletionRow.completion_id
    while True:
        wanted = select(key).where(CompletionRow.pseudonym == user)
        if last is not None:
            wanted = wanted.where(key > last)
        ids = session.scalars(wanted.order_by(key).limit(_COMPLETIONS_PER_STEP)).all()
        if not ids:
            return
        for table in _about_completions():
            yield from _rows(session, table, table.c.completion_id.in_(ids))
        last = ids[-1]


def _about_completions() -> Sequence[Table]:
    """Return the tables that have a completion in each row, the completions first."""
    return [
        table
        for table in Row.metadata.sorted_tables
        if "completion_id" in table.c and table.name not in _DERIVED
    ]


def _table(model: type[Row]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


def _rows(session: Session, table: Table, condition: ColumnElement[bool]) -> Iterator[Exported]:
    for row in session.execute(select(table).where(condition).order_by(*table.primary_key)):
        values = {
            name: _plain(value) for name, value in row._mapping.items() if name not in _HIDDEN
        }
        yield {"table": table.name} | values


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
