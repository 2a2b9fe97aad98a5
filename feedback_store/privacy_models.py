"""Turns what privacy has to remember into tables, beside those of `models`.

None holds a text that came out of an editor.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feedback_store.models import Row, RowId


class ConsentRow(Row):
    """Whether what one user does in one repository may be stored; "*" means all repositories."""

    __tablename__ = "consents"
    __table_args__ = (UniqueConstraint("pseudonym", "repository"),)

    consent_id: Mapped[int] = mapped_column(RowId, primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(64))
    repository: Mapped[str] = mapped_column(String(64))
    client: Mapped[str] = mapped_column(String(128))
    given_at: Mapped[datetime | None]  # None: withdrawn before it was ever given
    withdrawn_at: Mapped[datetime | None]


class HitRow(Row):
    """A kind of secret that was found. No foreign key: it outlives the row, and may come first."""

    __tablename__ = "scan_hits"

    completion_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    found_at: Mapped[datetime] = mapped_column(index=True)
    found_in: Mapped[str] = mapped_column(String(16))


class RulesRow(Row):
    """Since when what comes in is looked through by these rules, and when older rows were."""

    __tablename__ = "scan_rules"

    rules: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    since: Mapped[datetime]
    rescanned_at: Mapped[datetime | None]


class EndedSessionRow(Row):
    """A log-in cookie, by its hash, that somebody ended before its time."""

    __tablename__ = "ended_sessions"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    until: Mapped[datetime]
