"""Turns stored events into folded outcomes, and outcomes into rows and back.

Knows nothing of where events come from; the rules of folding are in `outcomes`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row as ResultRow
from sqlalchemy import String, bindparam, select, type_coerce, update
from sqlalchemy.orm import Session

from feedback_store.id_lists import among
from feedback_store.models import EventRow, OutcomeRow
from feedback_store.outcomes import FACT_DATA, Fact, Outcome, fold_facts
from feedback_store.schemas import EventKind, OutcomeKind

FACT_COLUMNS = (
    EventRow.kind,
    EventRow.ordinal,
    EventRow.candidate_index,
    EventRow.occurred_at,
    EventRow.source,
    EventRow.data,
)
# The id as the driver gives it, text or UUID: it only serves to tell completions apart.
_FACTS = select(type_coerce(EventRow.completion_id, String), *FACT_COLUMNS).where(
    among(EventRow.completion_id)
)
_KINDS = {kind.value: kind for kind in EventKind}
# Past the ORM: this runs for every batch, and the ORM would take longer than the database.
_OUTCOMES = OutcomeRow.__table__
_UPDATE = (
    update(_OUTCOMES)  # type: ignore[arg-type]
    .where(_OUTCOMES.c.completion_id == bindparam("of_completion"))
    .values({c.name: bindparam(c.name) for c in _OUTCOMES.c if c.name != "completion_id"})
)


def fold_stored(session: Session, completion_ids: Iterable[UUID]) -> list[Outcome]:
    """Return the outcome of each of `completion_ids`, folded from all its stored events."""
    ids = list(completion_ids)
    facts: dict[str, list[Fact]] = defaultdict(list)
    for key, *values in session.connection().execute(_FACTS, {"ids": ids}):
        facts[str(key)].append(fact_of_values(values))
    return [fold_facts(one, facts[str(one)]) for one in ids]


def refold(session: Session, completion_ids: Iterable[UUID]) -> None:
    """Replace the stored outcomes of completions that are stored."""
    replace_outcomes(session, fold_stored(session, completion_ids))


def replace_outcomes(session: Session, outcomes: Sequence[Outcome]) -> None:
    """Replace the stored outcomes of these completions."""
    if outcomes:
        session.connection().execute(_UPDATE, [_update_values(outcome) for outcome in outcomes])


def fact_of_values(values: Sequence[Any]) -> Fact:
    """Return the fact in the values of `FACT_COLUMNS`."""
    kind, ordinal, candidate_index, occurred_at, source, data = values
    said = map(data.get, FACT_DATA)
    return Fact(_KINDS[kind], ordinal, candidate_index, occurred_at, source, *said)


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """Return the column values of `outcome`."""
    return vars(outcome) | {"kind": outcome.kind.value}


def _update_values(outcome: Outcome) -> dict[str, Any]:
    values = outcome_values(outcome)
    values["of_completion"] = values.pop("completion_id")
    return values


def outcome_of(row: ResultRow[Any]) -> Outcome:
    """Return the outcome in a row of all columns of the table."""
    return Outcome(**dict(row._mapping) | {"kind": OutcomeKind(row.kind)})
