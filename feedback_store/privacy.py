"""Turns limits of age and size, and wishes to be forgotten, into rows that are gone.

The oldest completions go first, each with all that hangs on it. Erasing also bars every adapter
that was trained on what is erased. Knows nothing of schedules, or of who may ask.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, insert, select
from sqlalchemy.orm import Session

from feedback_store import audit, rollups, search, show_filters
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.disk import file_bytes, shrink, used_bytes
from feedback_store.errors import EventError
from feedback_store.known import chunks, known_ids
from feedback_store.models import (
    CompletionRow,
    ErasedRow,
    EventRow,
    PairRow,
    TrainingRunRow,
)
from feedback_store.privacy_models import ConsentRow
from feedback_store.registry import Registry

ORPHAN_DAYS = 7  # how long an event waits for its completion
_COMPLETIONS_PER_BATCH = 200
_ROOM = 0.9  # shrink a little further than asked, or every night would begin by shrinking
_MEGABYTE = 1 << 20
_WISH = Signed("erasure", "a wish to be forgotten")


@dataclass(frozen=True)
class Retention:
    """How much is kept. Adapters are pruned by `Registry.prune`."""

    max_age_days: int = 365
    max_database_mb: int = 2048
    max_adapters: int = 20


@dataclass(frozen=True)
class Removed:
    """What `enforce` removed. Bytes are those of the database file with its log."""

    completions: int
    orphaned_events: int
    preference_pairs: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class Erased:
    """What `erase` removed, and the adapters that must never serve again."""

    completions: int
    events: int
    adapters: tuple[str, ...]


def enforce(database: Database, retention: Retention, now: datetime) -> Removed:
    """Remove what is too old or too much, in short transactions, and shrink the file."""
    before = file_bytes(database)
    too_old = CompletionRow.served_at < now - timedelta(days=retention.max_age_days)
    completions = 0
    while removed := _remove_oldest(database, too_old):
        completions += removed
    orphans = _remove_orphans(database, now - timedelta(days=ORPHAN_DAYS))
    pairs = 0
    limit = retention.max_database_mb * _MEGABYTE
    if used_bytes(database) > limit:
        # Pairs of earlier nights can be built again from the facts, so they go before facts do.
        pairs = _remove_earlier_pairs(database)
        while too_many := _num_too_many(database, limit * _ROOM):
            for start in range(0, too_many, _COMPLETIONS_PER_BATCH):
                batch = min(_COMPLETIONS_PER_BATCH, too_many - start)
                completions += _remove_oldest(database, limit=batch)
    if completions:
        rollups.refresh(database)
        search.forget(database)
    if completions or orphans or pairs:
        shrink(database)
    return Removed(completions, orphans, pairs, before, file_bytes(database))


def erase(
    database: Database,
    *,
    registry: Registry,
    user: str | None = None,
    repository: str | None = None,
    before: datetime | None = None,
    signed: Signed = _WISH,
) -> Erased:
    """Erase what matches every condition given, for good; at least one must be given.

    In the same transaction every adapter trained on it is barred, and a live one gives way to the
    newest clean one before it, or to the base; the audit log says who asked and why. Events that
    arrive later are refused.
    """
    conditions = _conditions(user, repository, before)
    with database.session() as session:
        ids = session.scalars(select(CompletionRow.completion_id).where(*conditions)).all()
        erased = _erase(session, registry, ids)
        if user is not None and repository is None and before is None:
            given = (ConsentRow.pseudonym == user, ConsentRow.withdrawn_at.is_(None))
            session.execute(delete(ConsentRow).where(*given))
        audit.append(session, signed, "erased", _described(len(ids), user, repository, before))
    _forget(database, erased)
    return erased


def num_to_erase(
    database: Database,
    *,
    user: str | None = None,
    repository: str | None = None,
    before: datetime | None = None,
) -> int:
    """Return how many completions `erase` would take with the same conditions."""
    wanted = select(func.count()).select_from(CompletionRow)
    with database.reading() as session:
        return session.scalar(wanted.where(*_conditions(user, repository, before))) or 0


def erased_ids(database: Database) -> list[UUID]:
    """Return every completion that was ever erased."""
    with database.reading() as session:
        return list(session.scalars(select(ErasedRow.completion_id)))


def erase_again(database: Database, registry: Registry, ids: Collection[UUID]) -> Erased:
    """Erase what had been erased before an older copy brought it back; later events also."""
    with database.session() as session:
        gone = set(session.scalars(select(ErasedRow.completion_id)))
        erased = _erase(session, registry, [one for one in ids if one not in gone])
        what = f"{erased.completions} completions, again"
        audit.append(session, Signed("restore", "they had been erased before"), "erased", what)
    _forget(database, erased)
    return erased


def _erase(session: Session, registry: Registry, ids: Sequence[UUID]) -> Erased:
    """Erase the completions of these ids as far as they are stored; close them all."""
    if not ids:
        return Erased(0, 0, ())
    adapters = registry.bar_trained_on(
        session, ids, by="erasure", reason="trained on erased completions"
    )
    erased_at = datetime.now(UTC)
    session.execute(
        insert(ErasedRow), [{"completion_id": one, "erased_at": erased_at} for one in ids]
    )
    show_filters.retire_all(session)
    stored = known_ids(session, ids)
    return Erased(len(stored), _delete(session, list(ids)), adapters)


def _forget(database: Database, erased: Erased) -> None:
    if erased.completions or erased.events:
        rollups.refresh(database)
        search.forget(database)
        shrink(database)


def _conditions(
    user: str | None, repository: str | None, before: datetime | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if user is not None:
        conditions.append(CompletionRow.pseudonym == user)
    if repository is not None:
        conditions.append(CompletionRow.repository == repository)
    if before is not None:
        conditions.append(CompletionRow.served_at < before)
    if not conditions:
        raise EventError("say what to erase: a user, a repository, or before which time")
    return conditions


def _described(
    num_completions: int, user: str | None, repository: str | None, before: datetime | None
) -> str:
    """Return what an erasure took, for the log: how much, and by which conditions."""
    told = (("user", user), ("repository", repository), ("before", before and before.isoformat()))
    conditions = ", ".join(f"{name} {value}" for name, value in told if value is not None)
    return f"{num_completions} completions of {conditions}"


def _num_too_many(database: Database, limit: float) -> int:
    """Return how many completions to remove before measuring again; 0 when done.

    Judged by their mean size, and halved, since the oldest may be larger. Measuring may cost a look
    at every row.
    """
    used = used_bytes(database)
    with database.reading() as session:
        count = session.scalar(select(func.count()).select_from(CompletionRow)) or 0
    if used <= limit or not count:
        return 0
    too_many = ceil((used - limit) * count / used)
    return max(min(too_many, _COMPLETIONS_PER_BATCH), too_many // 2)


def _remove_oldest(
    database: Database, *conditions: ColumnElement[bool], limit: int = _COMPLETIONS_PER_BATCH
) -> int:
    with database.session() as session:
        ids = session.scalars(
            select(CompletionRow.completion_id)
            .where(*conditions)
            .order_by(CompletionRow.served_at)
            .limit(limit)
        ).all()
        _delete(session, ids)
    return len(ids)


def _delete(session: Session, ids: Sequence[UUID]) -> int:
    """Delete completions with all that hangs on them; return how many events went."""
    rollups.mark_removal(session, ids)
    events = 0
    for chunk in chunks(ids):
        of_chunk = EventRow.completion_id.in_(chunk)
        events += session.scalar(select(func.count()).select_from(EventRow).where(of_chunk)) or 0
        session.execute(delete(EventRow).where(of_chunk))
        session.execute(delete(CompletionRow).where(CompletionRow.completion_id.in_(chunk)))
    return events


def _remove_orphans(database: Database, received_before: datetime) -> int:
    orphaned = (
        EventRow.received_at < received_before,
        ~exists().where(CompletionRow.completion_id == EventRow.completion_id),
    )
    with database.session() as session:
        count = session.scalar(select(func.count()).select_from(EventRow).where(*orphaned)) or 0
        if count:
            session.execute(
                delete(EventRow).where(*orphaned).execution_options(synchronize_session=False)
            )
    return count


def _remove_earlier_pairs(database: Database) -> int:
    with database.session() as session:
        newest = session.scalar(
            select(TrainingRunRow.run_id).order_by(TrainingRunRow.started_at.desc()).limit(1)
        )
        earlier = PairRow.run_id != (newest or "")
        count = session.scalar(select(func.count()).select_from(PairRow).where(earlier)) or 0
        session.execute(delete(PairRow).where(earlier))
    return count
