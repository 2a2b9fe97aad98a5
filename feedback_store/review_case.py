"""Turns a completion into the case that a reviewer looks at: both sides, what happened, who said
what. Knows nothing of queues or pages.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.models import CompletionRow, EventRow, OutcomeRow, PairRow, ReviewRow
from feedback_store.reviews import Seen, counts
from feedback_store.schemas import Rule
from feedback_store.verdicts import Verdict

MAX_EVENTS = 40


@dataclass(frozen=True)
class Happening:
    """One event, `after_s` seconds after the suggestion was shown (served, where it never was)."""

    after_s: float
    kind: str
    source: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Review:
    """One judgement, as it stands in the list of them."""

    completion_id: UUID
    reviewer: str
    verdict: Verdict
    text: str | None
    judged_at: datetime
    rule: str | None
    blind: bool
    batch: str | None
    undone_at: datetime | None
    path: str


@dataclass(frozen=True)
class Case:
    """One pair, with all that helps to judge it."""

    completion_id: UUID
    seen: Seen
    why: str
    held_out: bool
    language: str
    path: str
    user: str
    adapter: str | None
    served_at: datetime
    line: int  # zero-based, of the cursor
    prefix: str
    suffix: str
    outcome: str
    comment: str
    events: tuple[Happening, ...]
    reviews: tuple[Review, ...]  # oldest first, undone ones included


def case_of(database: Database, completion_id: UUID) -> Case | None:
    """Return the case of a completion, None when no night made a pair of it, or it is gone."""
    with database.reading() as session:
        pair = session.execute(
            select(*PairRow.__table__.columns)
            .where(PairRow.completion_id == completion_id)
            .order_by(PairRow.pair_id.desc())
            .limit(1)
        ).first()
        served = session.execute(
            select(*CompletionRow.__table__.columns, OutcomeRow.kind)
            .join(OutcomeRow, OutcomeRow.completion_id == CompletionRow.completion_id)
            .where(CompletionRow.completion_id == completion_id)
        ).first()
        if pair is None or served is None:
            return None
        events = _events(session, completion_id, served.served_at)
        return Case(
            completion_id=completion_id,
            seen=_seen(session, pair),
            why=pair.why,
            held_out=pair.held_out,
            language=served.language,
            path=served.path,
            user=served.pseudonym,
            adapter=served.adapter,
            served_at=served.served_at,
            line=served.line,
            prefix=served.prefix,
            suffix=served.suffix,
            outcome=served.kind,
            comment=next((c for e in events if (c := str(e.data.get("comment") or ""))), ""),
            events=events,
            reviews=_reviews(session, ReviewRow.completion_id == completion_id)[::-1],
        )


def latest_reviews(database: Database, limit: int) -> tuple[Review, ...]:
    """Return the newest judgements, newest first, undone ones included."""
    with database.reading() as session:
        return _reviews(session, limit=limit)


def disagreements(database: Database, limit: int) -> tuple[tuple[Review, ...], ...]:
    """Return, by completion, what its reviewers say now, where they do not say the same.

    The last of each is the one that counts. Newest first.
    """
    with database.reading() as session:
        disputed = session.scalars(
            select(ReviewRow.completion_id)
            .where(counts(), ReviewRow.rule.is_not(None))
            .group_by(ReviewRow.completion_id)
            .having(func.count(func.distinct(ReviewRow.reviewer)) > 1)
            .order_by(func.max(ReviewRow.review_id).desc())
            .limit(10 * limit)
        ).all()
        found = []
        for key in disputed:
            said = {
                review.reviewer: review
                for review in _reviews(session, ReviewRow.completion_id == key, counts())[::-1]
            }
            if len({(review.verdict, review.text) for review in said.values()}) > 1:
                found.append(tuple(sorted(said.values(), key=lambda review: review.judged_at)))
        return tuple(found[:limit])


def _seen(session: Session, pair: Any) -> Seen:
    """Return the pair as it was before anybody judged it: a night writes down what was said."""
    if pair.rule == Rule.HUMAN.value:
        first = session.execute(
            select(ReviewRow.rule, ReviewRow.chosen, ReviewRow.rejected)
            .where(ReviewRow.completion_id == pair.completion_id, ReviewRow.rule.is_not(None))
            .order_by(ReviewRow.review_id)
            .limit(1)
        ).first()
        if first is not None:
            return Seen(first.rule, first.chosen, first.rejected)
    return Seen(pair.rule, pair.chosen, pair.rejected)


def _events(session: Session, completion_id: UUID, served_at: datetime) -> tuple[Happening, ...]:
    rows = session.execute(
        select(EventRow.kind, EventRow.source, EventRow.occurred_at, EventRow.data)
        .where(EventRow.completion_id == completion_id)
        .order_by(EventRow.occurred_at, EventRow.sequence)
        .limit(MAX_EVENTS)
    ).all()
    start = next((row.occurred_at for row in rows if row.kind == "shown"), served_at)
    return tuple(
        Happening((row.occurred_at - start).total_seconds(), row.kind, row.source, row.data)
        for row in rows
    )


def _reviews(session: Session, *conditions: Any, limit: int = 100) -> tuple[Review, ...]:
    """Return reviews, newest first."""
    rows = session.execute(
        select(
            ReviewRow.completion_id,
            ReviewRow.reviewer,
            ReviewRow.verdict,
            ReviewRow.text,
            ReviewRow.judged_at,
            ReviewRow.rule,
            ReviewRow.blind,
            ReviewRow.batch,
            ReviewRow.undone_at,
            CompletionRow.path,
        )
        .join(CompletionRow, CompletionRow.completion_id == ReviewRow.completion_id)
        .where(*conditions)
        .order_by(ReviewRow.review_id.desc())
        .limit(limit)
    )
    return tuple(Review(**{**dict(row._mapping), "verdict": Verdict(row.verdict)}) for row in rows)
