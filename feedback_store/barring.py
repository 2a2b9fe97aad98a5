"""Turns what the second scan finds into blank rows that nothing is ever trained on.

What comes in is scanned before it is stored; `scan` looks again through everything, after the
rules got better. A hit costs the whole completion: its texts, its events, its pairs. Its row stays,
and so does the kind of what was found; the secret itself is nowhere. Knows nothing of the rules.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from feedback_store import audit, rollups, scanning, search
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.disk import shrink
from feedback_store.errors import EventError
from feedback_store.known import chunks, known_ids
from feedback_store.models import (
    CandidateRow,
    CompletionRow,
    EventRow,
    OutcomeRow,
    PairRow,
    ReviewRow,
    SearchRow,
)
from feedback_store.outcome_rows import outcome_values
from feedback_store.outcomes import fold
from feedback_store.privacy_models import HitRow, RulesRow
from feedback_store.registry import Registry
from feedback_store.schemas import Event

Kinds = Mapping[UUID, frozenset[str]]  # completion -> what was found in it
_COMPLETIONS_PER_STEP = 200
_BLANK = {"prefix": "", "suffix": "", "prompt_ids": [], "healed": "", "barred": True}
_TEXTS = ("text", "comment", "correction", "reason")


@dataclass(frozen=True)
class Scanned:
    """What a scan of the whole store came to."""

    completions: int
    barred: int
    hits: dict[str, int]  # kind -> completions
    adapters: tuple[str, ...]  # trained on what was barred: they must never serve again


def bar(database: Database, completion_id: UUID, reason: str) -> None:
    """Blank a completion and keep it out of training for good; EventError when it is unknown."""
    with database.session() as session:
        if not known_ids(session, [completion_id]):
            raise EventError(f"completion {completion_id} is not stored: nothing to bar")
        _blank(session, {completion_id: reason})


def found_in_events(events: Iterable[Event]) -> dict[UUID, frozenset[str]]:
    """Return what the texts of events hold; empty, mostly."""
    found: dict[UUID, frozenset[str]] = {}
    for event in events:
        texts = (getattr(event.data, name) for name in _TEXTS)
        if kinds := scanning.kinds_in(text for text in texts if text):
            found[event.completion_id] = found.get(event.completion_id, frozenset()) | kinds
    return found


def bar_found(session: Session, found: Kinds, place: str) -> dict[UUID, str]:
    """Inside `session`, blank what is stored of these completions, and whatever comes of them.

    Returns the reason of each, which names what was found and nothing more.
    """
    if not found:
        return {}
    note_hits(session, found, place)
    reasons = {completion_id: told(kinds) for completion_id, kinds in found.items()}
    for chunk in chunks(found):  # also of those whose completion has not come yet
        session.execute(delete(EventRow).where(EventRow.completion_id.in_(chunk)))
    _blank(session, {one: reasons[one] for one in known_ids(session, list(found))})
    return reasons


def note_hits(session: Session, found: Kinds, place: str) -> None:
    """Write down what was found, once for each completion and kind."""
    now = datetime.now(UTC)
    known = hits_of(session, list(found))
    for completion_id, kinds in found.items():
        for kind in sorted(kinds - known.get(completion_id, frozenset())):
            session.add(
                HitRow(completion_id=completion_id, kind=kind, found_at=now, found_in=place)
            )
    session.flush()


def hits_of(session: Session, completion_ids: Sequence[UUID]) -> dict[UUID, frozenset[str]]:
    """Return what was found before, of those of `completion_ids` in which anything was."""
    found: dict[UUID, frozenset[str]] = {}
    for chunk in chunks(completion_ids):
        for row in session.scalars(select(HitRow).where(HitRow.completion_id.in_(chunk))):
            found[row.completion_id] = found.get(row.completion_id, frozenset()) | {row.kind}
    return found


def told(kinds: Iterable[str]) -> str:
    """Return the reason that stands in a barred row."""
    return f"found in it: {', '.join(sorted(kinds))}"[:200]


def hit_counts(database: Database) -> dict[str, int]:
    """Return how many completions each kind was found in, since ever; commonest first."""
    number = func.count()
    wanted = select(HitRow.kind, number).group_by(HitRow.kind).order_by(number.desc(), HitRow.kind)
    with database.reading() as session:
        return {kind: count for kind, count in session.execute(wanted)}


def note_rules(database: Database, now: datetime) -> None:
    """Write down that from now on what comes in is scanned by the rules of this Hone."""
    with database.session() as session:
        if session.get(RulesRow, scanning.RULES) is None:
            session.add(RulesRow(rules=scanning.RULES, since=now))


def backlog(database: Database) -> int:
    """Return how many completions have not been looked through by the rules of this Hone."""
    with database.reading() as session:
        row = session.get(RulesRow, scanning.RULES)
        if row is not None and row.rescanned_at is not None:
            return 0
        wanted = (
            select(func.count()).select_from(CompletionRow).where(CompletionRow.barred.is_(False))
        )
        if row is not None:
            wanted = wanted.where(CompletionRow.served_at < row.since)
        return session.scalar(wanted) or 0


def scan(
    database: Database,
    registry: Registry,
    signed: Signed,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scanned:
    """Look through everything stored, in short steps; bar what has a hit, and who learned it.

    `progress` is told how many completions are done, of how many. What comes in meanwhile is
    scanned as it comes. May be interrupted; it then begins anew.
    """
    started = datetime.now(UTC)
    with database.reading() as session:
        total = session.scalar(select(func.count()).select_from(CompletionRow)) or 0
    hits: Counter[str] = Counter()
    num_done, num_barred, adapters, last = 0, 0, list[str](), None
    while ids := _next_ids(database, last):
        if found := _found_in_rows(database, ids):
            adapters += _bar_learned(database, registry, found, signed)
            hits.update(chain.from_iterable(found.values()))
            num_barred += len(found)
        last, num_done = ids[-1], num_done + len(ids)
        progress(num_done, max(total, num_done))
    with database.session() as session:
        row = session.get(RulesRow, scanning.RULES)
        if row is None:
            row = RulesRow(rules=scanning.RULES, since=started)
            session.add(row)
        row.rescanned_at = datetime.now(UTC)
        subject = f"{num_done} completions, {num_barred} barred"
        audit.append(session, signed, "store scanned", subject)
    if num_barred:
        rollups.refresh(database)
        search.forget(database)
        shrink(database)
    return Scanned(num_done, num_barred, dict(hits.most_common()), tuple(adapters))


def _blank(session: Session, reasons: Mapping[UUID, str]) -> None:
    for chunk in chunks(reasons):
        for table in (CandidateRow, EventRow, PairRow, ReviewRow, SearchRow):
            session.execute(delete(table).where(table.completion_id.in_(chunk)))
    if not reasons:
        return
    session.execute(
        update(CompletionRow),
        [
            {"completion_id": one, "barred_reason": reason} | _BLANK
            for one, reason in reasons.items()
        ],
    )
    session.execute(update(OutcomeRow), [outcome_values(fold(one, [])) for one in reasons])
    rollups.mark(session, reasons)


def _next_ids(database: Database, last: UUID | None) -> list[UUID]:
    wanted = select(CompletionRow.completion_id).where(CompletionRow.barred.is_(False))
    if last is not None:
        wanted = wanted.where(CompletionRow.completion_id > last)
    ordered = wanted.order_by(CompletionRow.completion_id).limit(_COMPLETIONS_PER_STEP)
    with database.reading() as session:
        return list(session.scalars(ordered))


def _found_in_rows(database: Database, ids: Sequence[UUID]) -> dict[UUID, frozenset[str]]:
    texts: dict[UUID, list[str]] = {one: [] for one in ids}
    found: dict[UUID, frozenset[str]] = {}
    with database.reading() as session:
        columns = (CompletionRow.path, CompletionRow.prefix, CompletionRow.suffix)
        of_these = CompletionRow.completion_id.in_(ids)
        for key, path, *sides in session.execute(
            select(CompletionRow.completion_id, *columns).where(of_these)
        ):
            texts[key] += sides
            if scanning.is_excluded_path(path):
                found[key] = frozenset({scanning.EXCLUDED_PATH})
        for table, column in ((CandidateRow, CandidateRow.text), (EventRow, EventRow.data)):
            for key, content in session.execute(
                select(table.completion_id, column).where(table.completion_id.in_(ids))
            ):
                values = [content] if isinstance(content, str) else map(content.get, _TEXTS)
                texts[key] += [value for value in values if value]
    for key, of_one in texts.items():
        if kinds := scanning.kinds_in(of_one):
            found[key] = found.get(key, frozenset()) | kinds
    return found


def _bar_learned(
    database: Database, registry: Registry, found: Kinds, signed: Signed
) -> tuple[str, ...]:
    """Blank the rows and bar the adapters that were trained on them, in one transaction."""
    with database.session() as session:
        adapters = registry.bar_trained_on(
            session, list(found), by=signed.by, reason="trained on what was barred later"
        )
        bar_found(session, found, "rescan")
    return adapters
