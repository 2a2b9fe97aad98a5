"""Turns "who did what to which thing, and why" into a line of a log that only grows.

Works inside the caller's session: the line is stored if and only if the deed is. Knows nothing of
what the deeds mean.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.models import AuditRow

MAX_WHO = 128
MAX_SUBJECT = 256


@dataclass(frozen=True)
class Signed:
    """Who asks for a deed, and why."""

    by: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """One line of the log."""

    entry_id: int
    happened_at: datetime
    who: str
    action: str
    subject: str
    reason: str


def append(session: Session, signed: Signed, action: str, subject: str) -> None:
    """Write a line down inside `session`; a name or subject that is too long is cut."""
    session.add(
        AuditRow(
            happened_at=datetime.now(UTC),
            who=signed.by[:MAX_WHO],
            action=action,
            subject=subject[:MAX_SUBJECT],
            reason=signed.reason,
        )
    )


def entries(database: Database, limit: int, *, before: int | None = None) -> tuple[Entry, ...]:
    """Return `limit` lines, newest first; `before` is the last `entry_id` of the page above."""
    wanted = select(AuditRow).order_by(AuditRow.entry_id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(AuditRow.entry_id < before)
    with database.reading() as session:
        return tuple(
            Entry(
                entry_id=row.entry_id,
                happened_at=row.happened_at,
                who=row.who,
                action=row.action,
                subject=row.subject,
                reason=row.reason,
            )
            for row in session.scalars(wanted)
        )
