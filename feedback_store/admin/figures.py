"""Turns stored outcomes into the few figures of the admin page.

The headline is retained characters; acceptance rate and shown rate stand beside it. Knows nothing
of HTML.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, case, func, select
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.models import CompletionRow, EventRow, OutcomeRow
from feedback_store.schemas import OutcomeKind

_TAKEN = (OutcomeKind.ACCEPTED.value, OutcomeKind.PARTIALLY_ACCEPTED.value)


@dataclass(frozen=True)
class Funnel:
    """How far completions got. Rates are None where there is nothing to divide by."""

    served: int
    shown: int
    accepted: int
    kept: int
    retained_characters: int

    @property
    def shown_rate(self) -> float | None:
        """Shown over served, in [0, 1]."""
        return self.shown / self.served if self.served else None

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted over shown, in [0, 1]."""
        return self.accepted / self.shown if self.shown else None

    @property
    def kept_rate(self) -> float | None:
        """Kept over shown, in [0, 1]."""
        return self.kept / self.shown if self.shown else None


@dataclass(frozen=True)
class Recent:
    """One line of the list of completions. Latency in milliseconds."""

    completion_id: UUID
    served_at: datetime
    language: str
    path: str
    adapter: str | None
    engine_ms: float
    kind: str
    suggestion: str | None
    settled_text: str | None
    kept: bool


@dataclass(frozen=True)
class Figures:
    """Everything the page counts."""

    total: Funnel
    by_adapter: tuple[tuple[str | None, Funnel], ...]  # None: the bare base
    by_kind: tuple[tuple[str, int], ...]
    num_events: int
    num_waiting_events: int  # their completion has not come yet
    recent: tuple[Recent, ...]


def read_figures(database: Database, *, num_recent: int = 50) -> Figures:
    """Return the figures of everything stored, from one snapshot."""
    with database.reading() as session:
        by_adapter = _funnels(session)
        kinds = session.execute(
            select(OutcomeRow.kind, func.count())
            .group_by(OutcomeRow.kind)
            .order_by(func.count().desc())
        )
        return Figures(
            total=_sum([funnel for _, funnel in by_adapter]),
            by_adapter=by_adapter,
            by_kind=tuple((kind, count) for kind, count in kinds),
            num_events=session.scalar(select(func.count()).select_from(EventRow)) or 0,
            num_waiting_events=_num_waiting(session),
            recent=_recent(session, num_recent),
        )


def _funnels(session: Session) -> tuple[tuple[str | None, Funnel], ...]:
    rows = session.execute(
        select(
            CompletionRow.adapter,
            func.count(),
            _count_if(OutcomeRow.kind != OutcomeKind.UNSEEN.value),
            _count_if(OutcomeRow.kind.in_(_TAKEN)),
            _count_if(OutcomeRow.kept),
            func.coalesce(func.sum(OutcomeRow.retained_characters), 0),
        )
        .join(OutcomeRow, OutcomeRow.completion_id == CompletionRow.completion_id)
        .group_by(CompletionRow.adapter)
        .order_by(func.max(CompletionRow.served_at).desc())
    )
    return tuple((row[0], Funnel(*(int(number) for number in row[1:]))) for row in rows)


def _count_if(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0), type_=Integer)


def _sum(funnels: list[Funnel]) -> Funnel:
    return Funnel(
        served=sum(funnel.served for funnel in funnels),
        shown=sum(funnel.shown for funnel in funnels),
        accepted=sum(funnel.accepted for funnel in funnels),
        kept=sum(funnel.kept for funnel in funnels),
        retained_characters=sum(funnel.retained_characters for funnel in funnels),
    )


def _num_waiting(session: Session) -> int:
    known = select(CompletionRow.completion_id).where(
        CompletionRow.completion_id == EventRow.completion_id
    )
    waiting = select(func.count()).select_from(EventRow).where(~known.exists())
    return session.scalar(waiting) or 0


def _recent(session: Session, limit: int) -> tuple[Recent, ...]:
    rows = session.execute(
        select(
            CompletionRow.completion_id,
            CompletionRow.served_at,
            CompletionRow.language,
            CompletionRow.path,
            CompletionRow.adapter,
            CompletionRow.engine_ms,
            OutcomeRow.kind,
            OutcomeRow.suggestion,
            OutcomeRow.settled_text,
            OutcomeRow.kept,
        )
        .join(OutcomeRow, OutcomeRow.completion_id == CompletionRow.completion_id)
        .order_by(CompletionRow.served_at.desc(), CompletionRow.completion_id)
        .limit(limit)
    )
    return tuple(Recent(**dict(row._mapping)) for row in rows)
