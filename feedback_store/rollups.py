"""Turns completions and their outcomes into daily figures, and keeps these true.

Whoever changes a completion or its outcome leaves a mark in the same transaction; `refresh` makes
the figures of marked days anew and removes the marks that it saw. A change that comes meanwhile
has a mark of its own, so it is counted the next time. Knows nothing of pages.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from feedback_store import latency, search
from feedback_store.database import Database
from feedback_store.id_lists import among
from feedback_store.models import CompletionRow, DailyRow, OutcomeRow, SearchRow, StaleRow
from feedback_store.schemas import OutcomeKind

TAKEN = (OutcomeKind.ACCEPTED.value, OutcomeKind.PARTIALLY_ACCEPTED.value)
_MARKS_AT_ONCE = 50  # or those who write would wait too long for it
_ROWS_AT_ONCE = 250
_STORED = select(CompletionRow.completion_id).where(among(CompletionRow.completion_id))
_SERVED = select(CompletionRow.served_at).where(among(CompletionRow.completion_id))
_MARK = insert(StaleRow).from_select(["completion_id"], _STORED)
_STAGES = tuple(getattr(CompletionRow, stage) for stage in latency.STAGES)

ALL = "all"  # the dimension that has one row a day
Key = tuple[str, str]  # dimension, name
Rest = Callable[[], None]


def _go_on() -> None:
    """Take no rest."""


def mark(session: Session, completion_ids: Iterable[UUID]) -> None:
    """Say inside `session` that these completions are new, or that their outcomes changed."""
    session.connection().execute(_MARK, {"ids": completion_ids})


def mark_removal(session: Session, completion_ids: Iterable[UUID]) -> None:
    """Say inside `session`, before it is done, that these completions go."""
    _mark_days(session, sorted(_days_of(session, completion_ids)))


def refresh(database: Database, rest: Rest = _go_on) -> int:
    """Make the figures of marked days, and the words of marked completions, anew.

    Returns how many days were made. Two hosts may do it at once: the slower one's work is dropped.
    `rest` is called between pieces of work: who answers others from the same process lets them
    have the interpreter.
    """
    num_days = 0
    while work := _read(database, rest):
        if _write(database, work):
            num_days += len(work.figures)
        rest()
    return num_days


def rebuild(database: Database) -> int:
    """Make everything anew from completions and outcomes; return the number of days."""
    with database.session() as session:
        span = select(func.min(CompletionRow.served_at), func.max(CompletionRow.served_at))
        first, last = session.execute(span).one()
        days = set(session.scalars(select(DailyRow.day).distinct()))
        if first is not None:
            num_days = (last.date() - first.date()).days + 1
            days |= {first.date() + timedelta(days=n) for n in range(num_days)}
        _mark_days(session, sorted(days))
    return refresh(database)


@dataclass
class _Work:
    """What one step found to do, from one snapshot."""

    mark_ids: list[int]
    stale_days: set[date]  # left for a later step, so that a busy day is not made a hundred times
    figures: dict[date, list[dict[str, Any]]]
    words: dict[UUID, str]  # that have changed, by completion


@dataclass
class _Sum:
    kept: int = 0
    retained: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    latency: tuple[Counter[int], ...] = field(
        default_factory=lambda: tuple(Counter() for _ in latency.STAGES)
    )

    def add(self, kind: str, kept: bool, retained: int, buckets: Sequence[int]) -> None:
        self.kinds[kind] += 1
        self.kept += kept
        self.retained += retained
        for histogram, bucket in zip(self.latency, buckets, strict=True):
            histogram[bucket] += 1


def _mark_days(session: Session, days: Sequence[date]) -> None:
    if days:
        session.execute(insert(StaleRow), [{"day": day} for day in days])


def _read(database: Database, rest: Rest = _go_on) -> _Work | None:
    """Return the next step: the completions that are marked, or else one whole day."""
    with database.reading() as session:
        marked = dict(
            session.execute(
                select(StaleRow.mark_id, StaleRow.completion_id)
                .where(StaleRow.completion_id.is_not(None))
                .limit(_MARKS_AT_ONCE)
            ).all()
        )
        if marked:
            ids = [key for key in set(marked.values()) if key is not None]
            words = search.changed_words(session, ids)
            return _Work(list(marked), _days_of(session, ids), {}, words)
        day = session.scalar(select(func.min(StaleRow.day)))
        if day is None:
            return None
        mark_ids = session.scalars(select(StaleRow.mark_id).where(StaleRow.day == day)).all()
        words = search.changed_words(session, _without_words(session, day))
        return _Work(list(mark_ids), set(), {day: _figures(session, day, rest)}, words)


def _write(database: Database, work: _Work) -> bool:
    """Store the figures; False when another host did the same work meanwhile."""
    with database.session() as session:
        marks = session.execute(delete(StaleRow).where(StaleRow.mark_id.in_(work.mark_ids)))
        if marks.rowcount < len(work.mark_ids):  # type: ignore[attr-defined]
            session.rollback()
            return False
        _mark_days(session, sorted(work.stale_days))
        for day, rows in work.figures.items():
            session.execute(delete(DailyRow).where(DailyRow.day == day))
            if rows:
                session.execute(insert(DailyRow), rows)
        search.keep_words(session, work.words)
    return True


def _bounds(day: date) -> tuple[Any, Any]:
    start = datetime.combine(day, time(), UTC)
    return CompletionRow.served_at >= start, CompletionRow.served_at < start + timedelta(days=1)


def _days_of(session: Session, completion_ids: Iterable[UUID]) -> set[date]:
    return {moment.date() for moment in session.scalars(_SERVED, {"ids": completion_ids})}


def _without_words(session: Session, day: date) -> list[UUID]:
    has_words = select(SearchRow.document_id).where(
        SearchRow.completion_id == CompletionRow.completion_id
    )
    wanted = select(CompletionRow.completion_id).where(*_bounds(day), ~has_words.exists())
    return list(session.scalars(wanted.order_by(CompletionRow.served_at)))


def _figures(session: Session, day: date, rest: Rest) -> list[dict[str, Any]]:
    """Return the rows of one day."""
    sums: dict[Key, _Sum] = defaultdict(_Sum)
    rows = session.execute(
        select(
            CompletionRow.language,
            CompletionRow.client,
            CompletionRow.adapter,
            OutcomeRow.kind,
            OutcomeRow.kept,
            OutcomeRow.retained_characters,
            *_STAGES,
        )
        .join(OutcomeRow, OutcomeRow.completion_id == CompletionRow.completion_id)
        .where(*_bounds(day))
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    for some in rows.partitions():
        for language, client, adapter, kind, kept, retained, *durations in some:
            buckets = [latency.bucket_of(duration_ms) for duration_ms in durations]
            slices = (("language", language), ("client", client), ("adapter", adapter or ""))
            for key in ((ALL, ""), *slices):
                sums[key].add(kind, kept, retained or 0, buckets)
        rest()
    return [_values(day, key, one) for key, one in sorted(sums.items())]


def _values(day: date, key: Key, one: _Sum) -> dict[str, Any]:
    dimension, name = key
    histograms = map(latency.histogram_of, one.latency)
    return {
        "dimension": dimension,
        "day": day,
        "name": name,
        "served": one.kinds.total(),
        "shown": one.kinds.total() - one.kinds[OutcomeKind.UNSEEN.value],
        "accepted": sum(one.kinds[kind] for kind in TAKEN),
        "kept": one.kept,
        "retained_characters": one.retained,
        "kinds": dict(one.kinds),
        "latency": dict(zip(latency.STAGES, histograms, strict=True)),
    }
