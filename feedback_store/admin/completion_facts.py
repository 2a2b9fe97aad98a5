"""Turns one stored completion into everything that its page tells of it.

Knows nothing of HTML.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.models import (
    CandidateRow,
    CompletionRow,
    EventRow,
    OutcomeRow,
    PairRow,
    ReviewRow,
    TrainingRunRow,
)

MAX_EVENTS = 200


@dataclass(frozen=True)
class Token:
    """One generated token: its id, log-probability in nats, and probability."""

    number: int
    token_id: int
    log_prob: float

    @property
    def share(self) -> float:
        """The probability that the model gave it, in [0, 1]."""
        return exp(min(0.0, self.log_prob))


@dataclass(frozen=True)
class Candidate:
    """One generation with its tokens."""

    index: int
    text: str
    tokens: tuple[Token, ...]
    finish_reason: str

    @property
    def mean_log_prob(self) -> float | None:
        """Mean nats per token."""
        return sum(t.log_prob for t in self.tokens) / len(self.tokens) if self.tokens else None


@dataclass(frozen=True)
class Happened:
    """One event; `after_s` counts from the moment of serving."""

    kind: str
    occurred_at: datetime
    after_s: float
    source: str
    candidate_index: int
    data: dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """One training row that a night made of it, and the adapter that came out of that night."""

    run_id: str
    started_at: datetime
    rule: str
    weight: float
    chosen: str | None
    rejected: str | None
    split: str
    adapter: str | None


@dataclass(frozen=True)
class Whole:
    """A completion with all that hangs on it. `row` and `outcome` have the columns as names."""

    row: Any
    outcome: Any
    candidates: tuple[Candidate, ...]
    events: tuple[Happened, ...]
    reviews: tuple[Any, ...]
    pairs: tuple[Pair, ...]


def read_whole(database: Database, completion_id: UUID) -> Whole | None:
    """Return a completion, None when it is not stored."""
    with database.reading() as session:
        row = _one(session, CompletionRow, completion_id)
        if row is None:
            return None
        return Whole(
            row=row,
            outcome=_one(session, OutcomeRow, completion_id),
            candidates=_candidates(session, completion_id),
            events=_events(session, row),
            reviews=tuple(_all(session, ReviewRow, completion_id, ReviewRow.review_id)),
            pairs=_pairs(session, completion_id),
        )


def _all(session: Session, table: Any, completion_id: UUID, order: Any) -> Sequence[Any]:
    columns = select(*table.__table__.columns).where(table.completion_id == completion_id)
    return session.execute(columns.order_by(order).limit(MAX_EVENTS)).all()


def _one(session: Session, table: Any, completion_id: UUID) -> Any:
    return next(iter(_all(session, table, completion_id, table.completion_id)), None)


def _candidates(session: Session, completion_id: UUID) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            row.candidate_index,
            row.text,
            tuple(
                Token(number, token_id, log_prob or 0.0)
                for number, (token_id, log_prob) in enumerate(
                    zip(row.token_ids, row.log_probs, strict=False)
                )
            ),
            row.finish_reason,
        )
        for row in _all(session, CandidateRow, completion_id, CandidateRow.candidate_index)
    )


def _events(session: Session, completion: Any) -> tuple[Happened, ...]:
    rows = _all(session, EventRow, completion.completion_id, EventRow.occurred_at)
    return tuple(
        Happened(
            row.kind,
            row.occurred_at,
            (row.occurred_at - completion.served_at).total_seconds(),
            row.source,
            row.candidate_index,
            row.data,
        )
        for row in rows
    )


def _pairs(session: Session, completion_id: UUID) -> tuple[Pair, ...]:
    rows = session.execute(
        select(
            PairRow.run_id,
            TrainingRunRow.started_at,
            PairRow.rule,
            PairRow.weight,
            PairRow.chosen,
            PairRow.rejected,
            PairRow.split,
            TrainingRunRow.adapter,
        )
        .join(TrainingRunRow, TrainingRunRow.run_id == PairRow.run_id)
        .where(PairRow.completion_id == completion_id)
        .order_by(TrainingRunRow.started_at.desc())
        .limit(MAX_EVENTS)
    )
    return tuple(Pair(**dict(row._mapping)) for row in rows)
