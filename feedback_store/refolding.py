"""Turns every stored event into outcomes anew, beside a host that goes on ingesting.

For when the rules of folding change, or outcomes are in doubt. Reading and folding lock nothing;
only outcomes that differ are written, in short transactions, and only where no event came in
between: that one is folded by the same rules. So it may be interrupted, and run
again, at any time. Goes from the oldest to the newest, as they lie on disk: in the order of their
random keys every page of the events would be read many times. Knows nothing of the rules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from feedback_store import owed_folds, rollups
from feedback_store.database import Database
from feedback_store.id_lists import among
from feedback_store.known import lock_completions
from feedback_store.models import CompletionRow, EventRow, OutcomeRow
from feedback_store.outcome_rows import replace_outcomes, stored_facts
from feedback_store.outcomes import Outcome, fold_facts

_PER_STEP = 1_000
_NAMES = tuple(c.name for c in OutcomeRow.__table__.columns if c.name != "completion_id")
_values_of = attrgetter(*_NAMES)
_PLACE = (CompletionRow.served_at, CompletionRow.completion_id)
_STORED = (
    select(*_PLACE, *(getattr(OutcomeRow, name) for name in _NAMES))
    .join(OutcomeRow, OutcomeRow.completion_id == CompletionRow.completion_id)
    .order_by(*_PLACE)
)
_NUM_EVENTS = (
    select(EventRow.completion_id, func.count())
    .where(among(EventRow.completion_id))
    .group_by(EventRow.completion_id)
)


@dataclass(frozen=True)
class Refolded:
    """What refolding came to."""

    completions: int
    changed: int


def refold_all(
    database: Database, progress: Callable[[int, int], None] = lambda done, total: None
) -> Refolded:
    """Fold every completion anew. `progress` hears how many are done, of how many.

    What is still owed a fold is folded before: it is not wrong, only late.
    """
    owed_folds.fold_all(database)
    with database.reading() as session:
        total = session.scalar(select(func.count()).select_from(OutcomeRow)) or 0
    num_done = num_changed = 0
    last: _Place | None = None
    while True:
        with database.reading() as session:
            step = _read(session, last)
        if step is None:
            return Refolded(num_done, num_changed)
        num_changed += _write(database, step.changed) if step.changed else 0
        last, num_done = step.last, num_done + step.num_completions
        progress(num_done, max(total, num_done))


_Place = tuple[datetime, UUID]


@dataclass(frozen=True)
class _Step:
    """Some completions in order: where they end, and of which the stored outcome is not right."""

    last: _Place
    num_completions: int
    changed: dict[UUID, tuple[Outcome, int]]  # with how many events it was folded from


def _read(session: Session, last: _Place | None) -> _Step | None:
    wanted = _STORED.limit(_PER_STEP)
    if last is not None:
        wanted = wanted.where(tuple_(*_PLACE) > last)
    stored = session.connection().execute(wanted).all()
    if not stored:
        return None
    facts = stored_facts(session, [key for _, key, *_ in stored])
    changed: dict[UUID, tuple[Outcome, int]] = {}
    for _, key, *values in stored:
        of_one = facts.get(str(key), ())
        outcome = fold_facts(key, of_one)
        if _values_of(outcome) != tuple(values):
            changed[key] = (outcome, len(of_one))
    served_at, last_key, *_ = stored[-1]
    return _Step((served_at, last_key), len(stored), changed)


def _write(database: Database, changed: dict[UUID, tuple[Outcome, int]]) -> int:
    with database.appending() as session:
        lock_completions(session, changed)
        counted = session.connection().execute(_NUM_EVENTS, {"ids": changed})
        now = {key: number for key, number in counted}
        outcomes = [outcome for one, (outcome, num) in changed.items() if now.get(one, 0) == num]
        replace_outcomes(session, outcomes)
        rollups.mark(session, [outcome.completion_id for outcome in outcomes])
    return len(outcomes)
