"""Turns filters into a page of completions, newest first, however many are stored.

A page goes on where the one before ended (keyset paging). What is filtered by lies in one index
that is walked backwards, for at most so many entries a page: a rare combination may need several
pages, each of them quick. Knows nothing of HTML.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedback_store import search
from feedback_store.database import Database
from feedback_store.errors import EventError
from feedback_store.models import CandidateRow, CompletionRow, OutcomeRow, SearchRow

PAGE = 50
_STEPS = (500, 4_000, 20_000)  # entries walked, until a page is full
_WORD_STEPS = (200, 2_000)
_MAX_REPOSITORIES = 200
BASE = "base"


@dataclass(frozen=True)
class Filters:
    """What is asked for; "" means everything. Days are whole days in UTC, both included."""

    language: str = ""
    client: str = ""
    adapter: str = ""  # "base": the bare base
    repository: str = ""
    outcome: str = ""
    user: str = ""  # a pseudonym
    text: str = ""
    since: date | None = None
    until: date | None = None

    @property
    def by_index(self) -> dict[str, str]:
        """Return the filters on columns of the index that is walked."""
        names = ("language", "client", "adapter", "repository")
        return {name: value for name in names if (value := getattr(self, name))}


@dataclass(frozen=True)
class Listed:
    """One line of the list. Latency in milliseconds."""

    completion_id: UUID
    served_at: datetime
    language: str
    path: str
    client: str
    adapter: str | None
    engine_ms: float
    barred: bool
    kind: str
    suggestion: str | None  # as it was shown; None: it was not
    settled_text: str | None
    kept: bool
    generated: str | None  # the first candidate


@dataclass(frozen=True)
class Page:
    """Some completions. `older` is where to go on, "" at the end; `walked` when none was found."""

    items: tuple[Listed, ...]
    older: str
    is_cut: bool = False  # stopped before the page was full: the rest is further back


def read_page(database: Database, filters: Filters, after: str = "") -> Page:
    """Return a page; `after` is the `older` of the page before. EventError when it is not."""
    with database.reading() as session:
        if search.words_of(filters.text):
            keys, older, is_cut = _by_words(session, filters, after)
        else:
            keys, older, is_cut = _by_time(session, filters, after)
        return Page(_listed(session, keys), older, is_cut)


def repositories(database: Database) -> list[str]:
    """Return the repositories there are, by jumps through their index."""
    name = CompletionRow.repository
    found = select(func.min(name).label("name")).cte("found", recursive=True)
    following = select(func.min(name)).where(name > found.c.name).scalar_subquery()
    found = found.union_all(select(following).where(found.c.name.is_not(None)))
    with database.reading() as session:
        names = session.scalars(
            select(found.c.name).where(found.c.name.is_not(None)).limit(_MAX_REPOSITORIES)
        )
        return list(names)


def _by_time(session: Session, filters: Filters, after: str) -> tuple[list[UUID], str, bool]:
    """Walk backwards in time; return keys, where to go on, and whether the walk was cut."""
    keys: list[UUID] = []
    place = _place_of(after) if after else None
    simple = not filters.by_index and not filters.outcome and not filters.user
    for step in (PAGE + 1,) if simple else _STEPS:
        walked = _walk(filters, place, step)
        room = PAGE + 1 - len(keys)
        found = session.execute(_filtered(walked, filters, room)).all()
        keys += [row.completion_id for row in found]
        if len(keys) > PAGE:
            last = found[-2] if len(found) > 1 else None
            return keys[:PAGE], _place(last) if last else _place_by_key(session, keys[-2]), False
        end = session.execute(walked.offset(step - 1).limit(1)).first()
        if end is None:
            return keys, "", False
        place = (end.served_at, end.completion_id)
    return keys, _place(end), True


def _walk(filters: Filters, place: tuple[datetime, UUID] | None, step: int) -> Any:
    """Return the next entries of the index, newest first."""
    moment, key = CompletionRow.served_at, CompletionRow.completion_id
    walked = select(
        moment,
        key,
        CompletionRow.language,
        CompletionRow.client,
        CompletionRow.adapter,
        CompletionRow.repository,
    ).where(*_span(filters))
    if place is not None:
        # The first condition is implied, but it alone lets SQLite begin in the right place.
        later = (moment < place[0]) | ((moment == place[0]) & (key < place[1]))
        walked = walked.where(moment <= place[0], later)
    return walked.order_by(moment.desc(), key.desc()).limit(step)


def _filtered(walked: Any, filters: Filters, limit: int) -> Any:
    entry = walked.subquery()
    wanted = select(entry.c.served_at, entry.c.completion_id)
    if filters.outcome:
        wanted = wanted.where(_ended_as(filters.outcome, entry.c.completion_id))
    if filters.user:
        wanted = wanted.join(CompletionRow, CompletionRow.completion_id == entry.c.completion_id)
        wanted = wanted.where(CompletionRow.pseudonym == filters.user)
    for name, value in filters.by_index.items():
        wanted = wanted.where(_is(entry.c[name], name, value))
    return wanted.order_by(entry.c.served_at.desc(), entry.c.completion_id.desc()).limit(limit)


def _by_words(session: Session, filters: Filters, after: str) -> tuple[list[UUID], str, bool]:
    """Walk backwards through what holds all words; the index of words is in order of arrival."""
    found: list[tuple[int, UUID]] = []
    before = _number_of(after) if after else None
    simple = filters == Filters(text=filters.text)
    looked_for = search.Search(session, filters.text)
    for step in _WORD_STEPS:
        matching = looked_for.read(before, PAGE + 1 - len(found) if simple else step)
        rows = session.execute(_among(matching.document_ids, filters, PAGE + 1 - len(found)))
        found += [(row.document_id, row.completion_id) for row in rows]
        if len(found) > PAGE:
            return [key for _, key in found[:PAGE]], str(found[PAGE - 1][0]), False
        if matching.older is None:
            return [key for _, key in found], "", False
        before = matching.older
    return [key for _, key in found], str(before), True


def _among(numbers: Sequence[int], filters: Filters, limit: int) -> Any:
    wanted = (
        select(SearchRow.document_id, SearchRow.completion_id)
        .join(CompletionRow, CompletionRow.completion_id == SearchRow.completion_id)
        .where(SearchRow.document_id.in_(numbers), *_span(filters))
    )
    for name, value in filters.by_index.items():
        wanted = wanted.where(_is(getattr(CompletionRow, name), name, value))
    if filters.user:
        wanted = wanted.where(CompletionRow.pseudonym == filters.user)
    if filters.outcome:
        wanted = wanted.where(_ended_as(filters.outcome, SearchRow.completion_id))
    return wanted.order_by(SearchRow.document_id.desc()).limit(limit)


def _is(column: Any, name: str, value: str) -> Any:
    return column.is_(None) if name == "adapter" and value == BASE else column == value


def _ended_as(outcome: str, completion_id: Any) -> Any:
    # A look-up for each entry that was walked: a join might read the outcomes of all completions.
    kind = select(OutcomeRow.kind).where(OutcomeRow.completion_id == completion_id)
    return kind.scalar_subquery() == outcome


def _span(filters: Filters) -> list[Any]:
    conditions: list[Any] = []
    if filters.since is not None:
        conditions.append(CompletionRow.served_at >= datetime.combine(filters.since, time(), UTC))
    if filters.until is not None:
        end = datetime.combine(filters.until, time(), UTC) + timedelta(days=1)
        conditions.append(CompletionRow.served_at < end)
    return conditions


def _listed(session: Session, keys: Sequence[UUID]) -> tuple[Listed, ...]:
    rows = session.execute(
        select(
            CompletionRow.completion_id,
            CompletionRow.served_at,
            CompletionRow.language,
            CompletionRow.path,
            CompletionRow.client,
            CompletionRow.adapter,
            CompletionRow.engine_ms,
            CompletionRow.barred,
            OutcomeRow.kind,
            OutcomeRow.suggestion,
            OutcomeRow.settled_text,
            OutcomeRow.kept,
            CandidateRow.text.label("generated"),
        )
        .join(OutcomeRow, OutcomeRow.completion_id == CompletionRow.completion_id)
        .outerjoin(
            CandidateRow,
            (CandidateRow.completion_id == CompletionRow.completion_id)
            & (CandidateRow.candidate_index == 0),
        )
        .where(CompletionRow.completion_id.in_(keys))
    )
    by_key = {row.completion_id: Listed(**dict(row._mapping)) for row in rows}
    return tuple(by_key[key] for key in keys if key in by_key)


def _place(row: Any) -> str:
    return f"{row.served_at.isoformat()}_{row.completion_id}"


def _place_by_key(session: Session, key: UUID) -> str:
    wanted = select(CompletionRow.served_at, CompletionRow.completion_id)
    return _place(session.execute(wanted.where(CompletionRow.completion_id == key)).one())


def _place_of(text: str) -> tuple[datetime, UUID]:
    moment, _, key = text.partition("_")
    try:
        place = datetime.fromisoformat(moment), UUID(key)
    except ValueError as error:
        raise EventError(f"{text[:80]!r} is no place in the list: start at its top") from error
    return place if place[0].tzinfo else (place[0].replace(tzinfo=UTC), place[1])


def _number_of(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise EventError(f"{text[:80]!r} is no place in the list: start at its top")
    return int(text)
