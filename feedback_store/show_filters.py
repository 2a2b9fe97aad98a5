"""Turns the filter of a night into what hosts of that model serve with, and keeps the earlier ones.

A filter is text here: what it means is the engine's matter. The newest filter of a model that
passed is live; one that did not pass leaves what is live as it is. Erasing what a filter may have
learned from retires all of them: the next night fits anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.models import ShowFilterRow

LIVE, RETIRED, REJECTED = "live", "retired", "rejected"


@dataclass(frozen=True)
class StoredFilter:
    """One fitted filter; `verdict` is what its night measured."""

    filter_id: int
    run_id: str
    fitted_at: datetime
    state: str
    content: str
    verdict: dict[str, Any]


def keep(
    database: Database,
    *,
    model_sha256: str,
    run_id: str,
    content: str,
    verdict: Mapping[str, Any],
    passed: bool,
) -> int:
    """Store a filter and return its id; one that passed takes the place of the live one."""
    with database.session() as session:
        if passed:
            _retire(session, ShowFilterRow.model_sha256 == model_sha256)
        row = ShowFilterRow(
            run_id=run_id,
            model_sha256=model_sha256,
            fitted_at=datetime.now(UTC),
            state=LIVE if passed else REJECTED,
            content=content,
            verdict=dict(verdict),
        )
        session.add(row)
        session.flush()
        return row.filter_id


def live(database: Database, model_sha256: str) -> StoredFilter | None:
    """Return the filter that hosts of a model serve with, None where there is none."""
    newest = (
        select(ShowFilterRow)
        .where(ShowFilterRow.model_sha256 == model_sha256, ShowFilterRow.state == LIVE)
        .order_by(ShowFilterRow.filter_id.desc())
        .limit(1)
    )
    with database.reading() as session:
        row = session.scalars(newest).first()
        if row is None:
            return None
        return StoredFilter(
            row.filter_id, row.run_id, row.fitted_at, row.state, row.content, row.verdict
        )


def retire_all(session: Session) -> None:
    """Let no filter serve any longer, within the caller's transaction."""
    _retire(session)


def _retire(session: Session, *conditions: Any) -> None:
    session.execute(
        update(ShowFilterRow)
        .where(ShowFilterRow.state == LIVE, *conditions)
        .values(state=RETIRED)
        .execution_options(synchronize_session=False)
    )
