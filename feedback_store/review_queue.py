"""Turns the pairs of the newest night into a queue: which one to judge next, and how far we are.

Most interesting first; what somebody judged is done, what the reviewer skipped comes last. Pairs of
held-out work are never asked about: nobody learns from them. Knows nothing of what a pair looks
like, or of pages.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, case, func, select
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.models import CompletionRow, PairRow, ReviewRow, TrainingRunRow
from feedback_store.reviews import Seen, counts
from feedback_store.verdicts import Verdict

MAX_CHOICES = 50
MAX_BULK = 5000


@dataclass(frozen=True)
class Filters:
    """Which pairs; "" means all."""

    rule: str = ""
    language: str = ""
    user: str = ""

    def described(self) -> str:
        """Return the conditions in words."""
        told = (("rule", self.rule), ("language", self.language), ("user", self.user))
        return ", ".join(f"{name} {value}" for name, value in told if value) or "all pairs"


@dataclass(frozen=True)
class Night:
    """The night whose pairs are judged."""

    run_id: str
    started_at: datetime


@dataclass(frozen=True)
class Progress:
    """How far a queue is. `skipped` are the reviewer's own, not yet judged by anybody."""

    total: int = 0
    judged: int = 0
    judged_by_me: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Agreement:
    """How often people agreed with the order of the sides, and how often when they judged blind."""

    agreed: int = 0
    judged: int = 0
    agreed_blind: int = 0
    judged_blind: int = 0

    @property
    def rate(self) -> float | None:
        """Agreed over judged, in [0, 1]."""
        return self.agreed / self.judged if self.judged else None

    @property
    def blind_rate(self) -> float | None:
        """The same, of those judged blind."""
        return self.agreed_blind / self.judged_blind if self.judged_blind else None


@dataclass(frozen=True)
class Choices:
    """What can be filtered by: values with the number of pairs, most first."""

    rules: tuple[tuple[str, int], ...]
    languages: tuple[tuple[str, int], ...]
    users: tuple[tuple[str, int], ...]


def newest_night(database: Database) -> Night | None:
    """Return the newest night that stored pairs."""
    with database.reading() as session:
        return _newest_night(session)


def has_completions(database: Database) -> bool:
    """Tell whether there is anything yet that a night could make pairs of."""
    with database.reading() as session:
        return session.scalar(select(CompletionRow.completion_id).limit(1)) is not None


def next_completion(
    database: Database, reviewer: str, filters: Filters, *, second: bool = False
) -> UUID | None:
    """Return the completion whose pair to judge next, None at the end of the queue.

    `second`: one that others have judged and this reviewer has not.
    """
    with database.reading() as session:
        night = _newest_night(session)
        if night is None:
            return None
        wanted = _reviewable(night, filters)
        touched = _reviewed(ReviewRow.reviewer == reviewer, ReviewRow.undone_at.is_(None))
        fresh = [_reviewed(counts()) if second else ~_reviewed(counts()), ~touched]
        by_interest = (PairRow.interest.desc(), PairRow.pair_id)
        found = session.scalar(
            select(PairRow.completion_id).where(*wanted, *fresh).order_by(*by_interest).limit(1)
        )
        return found or (None if second else _skipped(session, wanted, reviewer))


def progress(database: Database, reviewer: str, filters: Filters) -> Progress:
    """Return how far the queue is."""
    with database.reading() as session:
        night = _newest_night(session)
        if night is None:
            return Progress()
        judged, mine = _reviewed(counts()), ReviewRow.reviewer == reviewer
        skipped = _reviewed(
            mine, ReviewRow.undone_at.is_(None), ReviewRow.verdict == Verdict.SKIP.value
        )
        row = session.execute(
            select(
                func.count(),
                _count_if(judged),
                _count_if(_reviewed(counts(), mine)),
                _count_if(skipped & ~judged),
            )
            .select_from(PairRow)
            .where(*_reviewable(night, filters))
        ).one()
        return Progress(*(int(number or 0) for number in row))


def agreement(database: Database) -> Agreement:
    """Return how often people agreed with the rules, over all judgements of pairs that stand."""
    agreed = ReviewRow.verdict == Verdict.AGREE.value
    with database.reading() as session:
        row = session.execute(
            select(
                _count_if(agreed),
                func.count(),
                _count_if(agreed & ReviewRow.blind),
                _count_if(ReviewRow.blind.is_(True)),
            ).where(counts(), ReviewRow.rule.is_not(None))
        ).one()
        return Agreement(*(int(number or 0) for number in row))


def choices(database: Database) -> Choices:
    """Return what the queue can be filtered by."""
    with database.reading() as session:
        night = _newest_night(session)
        if night is None:
            return Choices((), (), ())
        columns = (PairRow.rule, CompletionRow.language, CompletionRow.pseudonym)
        found = session.execute(
            select(*columns, func.count())
            .select_from(PairRow)
            .join(CompletionRow, CompletionRow.completion_id == PairRow.completion_id)
            .where(*_reviewable(night, Filters()))
            .group_by(*columns)
        ).all()
        return Choices(
            rules=_counted((rule, number) for rule, _, _, number in found),
            languages=_counted((language, number) for _, language, _, number in found),
            users=_counted((user, number) for _, _, user, number in found),
        )


def unjudged(database: Database, filters: Filters) -> list[tuple[UUID, Seen]]:
    """Return the pairs of the queue that nobody has judged, at most `MAX_BULK`."""
    with database.reading() as session:
        night = _newest_night(session)
        if night is None:
            return []
        rows = session.execute(
            select(PairRow.completion_id, PairRow.rule, PairRow.chosen, PairRow.rejected)
            .where(*_reviewable(night, filters), ~_reviewed(counts()))
            .order_by(PairRow.interest.desc(), PairRow.pair_id)
            .limit(MAX_BULK)
        )
        return [(row.completion_id, Seen(row.rule, row.chosen, row.rejected)) for row in rows]


def _newest_night(session: Session) -> Night | None:
    has_pairs = select(PairRow.pair_id).where(PairRow.run_id == TrainingRunRow.run_id).exists()
    row = session.execute(
        select(TrainingRunRow.run_id, TrainingRunRow.started_at)
        .where(has_pairs)
        .order_by(TrainingRunRow.started_at.desc())
        .limit(1)
    ).first()
    return Night(row.run_id, row.started_at) if row else None


def _reviewable(night: Night, filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        PairRow.run_id == night.run_id,
        PairRow.interest > 0,
        PairRow.held_out.is_(False),
    ]
    if filters.rule:
        conditions.append(PairRow.rule == filters.rule)
    of_completion = [CompletionRow.completion_id == PairRow.completion_id]
    if filters.language:
        of_completion.append(CompletionRow.language == filters.language)
    if filters.user:
        of_completion.append(CompletionRow.pseudonym == filters.user)
    if len(of_completion) > 1:
        found = select(CompletionRow.completion_id).where(*of_completion)
        conditions.append(found.correlate(PairRow).exists())
    return conditions


def _reviewed(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition on pairs that there is such a review of their completion."""
    of_pair = ReviewRow.completion_id == PairRow.completion_id
    return select(ReviewRow.review_id).where(of_pair, *conditions).correlate(PairRow).exists()


def _skipped(session: Session, wanted: Sequence[ColumnElement[bool]], reviewer: str) -> UUID | None:
    """Return the pair that the reviewer skipped longest ago and nobody has judged."""
    return session.scalar(
        select(PairRow.completion_id)
        .join(ReviewRow, ReviewRow.completion_id == PairRow.completion_id)
        .where(
            *wanted,
            ~_reviewed(counts()),
            ReviewRow.reviewer == reviewer,
            ReviewRow.undone_at.is_(None),
        )
        .group_by(PairRow.completion_id)
        .order_by(func.max(ReviewRow.review_id))
        .limit(1)
    )


def _counted(numbers: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Add the numbers of each value up, most first."""
    sums = Counter[str]()
    for value, number in numbers:
        sums[value] += number
    return tuple(sorted(sums.items(), key=lambda one: (-one[1], one[0]))[:MAX_CHOICES])


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0), type_=Integer)
