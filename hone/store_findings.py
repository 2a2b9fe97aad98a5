"""Turns the state of the store into findings: can it be written, and is it looked after?

Looks and yields; writes nothing. It does not know how findings are shown.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text

from feedback_store import backup, barring
from feedback_store.database import Database
from feedback_store.disk import file_bytes
from feedback_store.models import CompletionRow
from hone import preflight
from hone.findings import Finding
from hone.settings import Settings

OLD_BACKUP = timedelta(days=7)
LATE = timedelta(days=2)  # the host looks every hour


def findings(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say about a store that opens."""
    database = preflight.open_database(settings, migrate=False)
    try:
        yield _writable(database)
        oldest = _oldest(database)
        yield _retention(settings, database, oldest)
        yield _backup(database, is_empty=oldest is None)
        yield _scan(database)
    finally:
        database.close()


def _writable(database: Database) -> Finding:
    """Take the lock that a writer takes, and give it back; a failure is raised."""
    with database.session() as session:
        if not database.is_postgresql:
            version = f"SQLite {session.scalar(text('SELECT sqlite_version()'))}"
            is_read_only = False
        else:
            version = f"PostgreSQL {session.scalar(text('SHOW server_version'))}"
            is_read_only = session.scalar(text("SHOW transaction_read_only")) == "on"
        session.rollback()
    if is_read_only:
        return Finding("store", "fail", f"{version} is read-only", "name the primary server")
    return Finding("store", "ok", f"{version}, can be written")


def _oldest(database: Database) -> datetime | None:
    with database.reading() as session:
        return session.scalar(select(func.min(CompletionRow.served_at)))


def _retention(settings: Settings, database: Database, oldest: datetime | None) -> Finding:
    limits = settings.retention
    size_mb = file_bytes(database) / (1 << 20)
    told = f"{size_mb:,.0f} of {limits.max_database_mb:,} MB"
    if oldest is None:
        return Finding("retention", "ok", told)
    age = datetime.now(UTC) - oldest
    told += f", the oldest is {age.days} of {limits.max_age_days} days old"
    if age > timedelta(days=limits.max_age_days) + LATE:
        return Finding("retention", "warn", told, "start the host: it removes what is too old")
    return Finding("retention", "ok", told)


def _backup(database: Database, *, is_empty: bool) -> Finding:
    made_at = backup.last_made_at(database)
    advice = "hone store backup FILE"
    if made_at is None:
        if is_empty:
            return Finding("backup", "ok", "none yet, and nothing to lose")
        return Finding("backup", "warn", "none was ever made", advice)
    age = datetime.now(UTC) - made_at
    told = f"the last one was made on {made_at:%Y-%m-%d %H:%M} UTC"
    if age > OLD_BACKUP:
        return Finding("backup", "warn", f"{told}, {age.days} days ago", advice)
    return Finding("backup", "ok", told)


def _scan(database: Database) -> Finding:
    hits = barring.hit_counts(database)
    found = ", ".join(f"{count} {kind}" for kind, count in hits.items()) or "nothing"
    if waiting := barring.backlog(database):
        told = f"{waiting} completions came before the present rules; found so far: {found}"
        return Finding("scan", "warn", told, "hone store scan")
    return Finding("scan", "ok", f"all looked through for secrets, found: {found}")
