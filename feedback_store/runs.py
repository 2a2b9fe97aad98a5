"""Turns the course of a night into a training run that can be read later, with its pairs.

Knows nothing of how a night trains or decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, insert, or_, select, update
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.errors import EventError
from feedback_store.interest import Signals, interest_of
from feedback_store.known import known_ids
from feedback_store.models import CandidateRow, OutcomeRow, PairRow, ReviewRow, TrainingRunRow
from feedback_store.reviews import counts
from feedback_store.schemas import OutcomeKind

RUNNING = "running"
ABANDONED = "abandoned"
_PAIRS_PER_QUERY = 500  # databases limit the parameters of one statement
_PAIR_FIELDS = ("completion_id", "rule", "weight", "chosen", "rejected", "held_out", "split")


@dataclass(frozen=True)
class TrainingRun:
    """One night. `decision` is the gate's, with its reasons; empty when it never got there."""

    run_id: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    exit_code: int | None
    settings: dict[str, Any]
    metrics: dict[str, Any]
    decision: dict[str, Any]
    adapter: str | None
    log_path: str


@dataclass(frozen=True)
class RuleCount:
    """How many pairs of a night came from one rule, in one split."""

    rule: str
    split: str
    num_pairs: int
    mean_weight: float


def start(
    database: Database, run_id: str, settings: Mapping[str, Any], log_path: Path | str
) -> None:
    """Write down that a night begins."""
    with database.session() as session:
        session.add(
            TrainingRunRow(
                run_id=run_id,
                status=RUNNING,
                started_at=datetime.now(UTC),
                settings=dict(settings),
                metrics={},
                decision={},
                log_path=str(log_path),
            )
        )


def finish(  # noqa: PLR0913 - what a night ends with, each named at its one call
    database: Database,
    run_id: str,
    *,
    status: str,
    exit_code: int,
    metrics: Mapping[str, Any],
    decision: Mapping[str, Any] | None,
    adapter: str | None,
) -> None:
    """Write down how a night ended. EventError when it was never started."""
    with database.session() as session:
        run = session.get(TrainingRunRow, run_id)
        if run is None:
            raise EventError(f"training run {run_id} was never started: call start first")
        run.status = status
        run.finished_at = datetime.now(UTC)
        run.exit_code = exit_code
        run.metrics = dict(metrics)
        run.decision = dict(decision or {})
        run.adapter = adapter


def mark_abandoned(database: Database, except_run_id: str | None = None) -> int:
    """Mark nights that still say running, but were killed; return how many.

    Call it while holding the training lock, with the id of the night that holds it.
    """
    with database.session() as session:
        left = session.scalars(
            select(TrainingRunRow.run_id).where(
                TrainingRunRow.status == RUNNING, TrainingRunRow.run_id != (except_run_id or "")
            )
        ).all()
        if left:
            session.execute(
                update(TrainingRunRow)
                .where(TrainingRunRow.run_id.in_(left))
                .values(status=ABANDONED, finished_at=datetime.now(UTC))
            )
    return len(left)


def list_runs(
    database: Database, limit: int = 20, *, before: str | None = None
) -> list[TrainingRun]:
    """Return the newest `limit` nights, newest first; `before` names one to go on after."""
    started_at, run_id = TrainingRunRow.started_at, TrainingRunRow.run_id
    wanted = select(*TrainingRunRow.__table__.columns)
    if before is not None:
        then = select(started_at).where(run_id == before).scalar_subquery()
        wanted = wanted.where(or_(started_at < then, and_(started_at == then, run_id < before)))
    with database.reading() as session:
        rows = session.execute(wanted.order_by(started_at.desc(), run_id.desc()).limit(limit))
        return [TrainingRun(**dict(row._mapping)) for row in rows]


def find_run(database: Database, run_id: str) -> TrainingRun | None:
    """Return one night, None when there is no such."""
    wanted = select(*TrainingRunRow.__table__.columns).where(TrainingRunRow.run_id == run_id)
    with database.reading() as session:
        row = session.execute(wanted).first()
        return TrainingRun(**dict(row._mapping)) if row else None


def pairs_by_rule(database: Database, run_id: str) -> list[RuleCount]:
    """Count the pairs of a night that are still kept."""
    with database.reading() as session:
        rows = session.execute(
            select(PairRow.rule, PairRow.split, func.count(), func.avg(PairRow.weight))
            .where(PairRow.run_id == run_id)
            .group_by(PairRow.rule, PairRow.split)
            .order_by(PairRow.rule, PairRow.split)
        )
        return [RuleCount(*row) for row in rows]


def store_pairs(database: Database, run_id: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Keep the pairs a night was built from; return how many.

    Each row has completion_id, rule, weight, chosen, rejected (text or None), held_out and split;
    kept with it is how much a review of it would teach, and why.
    Pairs of completions that were erased meanwhile are left out.
    """
    values = [_pair_values(run_id, row) for row in rows]
    with database.session() as session:
        known = known_ids(session, {value["completion_id"] for value in values})
        values = [value for value in values if value["completion_id"] in known]
        for start in range(0, len(values), _PAIRS_PER_QUERY):
            some = values[start : start + _PAIRS_PER_QUERY]
            _add_interest(session, some)
            session.execute(insert(PairRow), some)
    return len(values)


def _add_interest(session: Session, pairs: Sequence[dict[str, Any]]) -> None:
    """Add to each pair how much a review of it would teach, and why."""
    ids = [pair["completion_id"] for pair in pairs]
    offered = (CandidateRow.completion_id == OutcomeRow.completion_id) & (
        CandidateRow.candidate_index == OutcomeRow.candidate_index
    )
    found = session.execute(
        select(*OutcomeRow.__table__.columns, CandidateRow.log_probs)
        .outerjoin(CandidateRow, offered)
        .where(OutcomeRow.completion_id.in_(ids))
    )
    facts = {row.completion_id: row for row in found}
    judged = set(
        session.scalars(
            select(ReviewRow.completion_id).where(ReviewRow.completion_id.in_(ids), counts())
        )
    )
    for pair in pairs:
        pair["interest"], pair["why"] = 0.0, ""
        if pair["completion_id"] in judged:  # It stays in the queue, for second opinions.
            pair["interest"], pair["why"] = pair["weight"] / 2, "somebody judged it"
        elif row := facts.get(pair["completion_id"]):
            pair["interest"], pair["why"] = interest_of(_signals(pair, row))


def _signals(pair: Mapping[str, Any], row: Any) -> Signals:
    return Signals(
        weight=pair["weight"],
        chosen=pair["chosen"],
        rejected=pair["rejected"],
        kind=OutcomeKind(row.kind),
        visible_ms=row.visible_ms,
        kept=row.kept,
        gone=row.deleted or row.undone,
        rating=row.rating,
        log_probs=row.log_probs or (),
    )


def _pair_values(run_id: str, row: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in _PAIR_FIELDS if name not in row]
    if missing:
        raise EventError(f"a preference pair needs {', '.join(missing)}")
    values = {name: row[name] for name in _PAIR_FIELDS}
    values["completion_id"] = UUID(str(row["completion_id"]))
    return values | {"run_id": run_id, "rule": str(row["rule"])}
