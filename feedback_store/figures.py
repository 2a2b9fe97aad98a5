"""Turns the store into the few figures that somebody who watches a host wants to see.

Cheap on a large store: everything here has an index, or is kept by the database itself.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text

from feedback_store import backup, barring
from feedback_store.database import Database
from feedback_store.disk import file_bytes
from feedback_store.models import TrainingRunRow


@dataclass(frozen=True)
class LastNight:
    """How the newest night began and ended; `exit_code` is None while it runs."""

    began_at: datetime
    status: str
    exit_code: int | None


@dataclass(frozen=True)
class StoreFigures:
    """What is stored."""

    num_bytes: int
    hits: dict[str, int]  # kind of secret -> completions
    last_backup_at: datetime | None
    last_night: LastNight | None


def store_figures(database: Database) -> StoreFigures:
    """Look everything up; DatabaseError when the database cannot be read."""
    newest = (
        select(TrainingRunRow.started_at, TrainingRunRow.status, TrainingRunRow.exit_code)
        .order_by(TrainingRunRow.started_at.desc())
        .limit(1)
    )
    with database.reading() as session:
        night = session.execute(newest).first()
    return StoreFigures(
        num_bytes=_num_bytes(database),
        hits=barring.hit_counts(database),
        last_backup_at=backup.last_made_at(database),
        last_night=LastNight(*night) if night else None,
    )


def _num_bytes(database: Database) -> int:
    if database.path is not None:
        return file_bytes(database)
    with database.reading() as session:
        return session.scalar(text("SELECT pg_database_size(current_database())")) or 0
