"""Turns stored events into folded outcomes, and outcomes into rows and back.

Knows nothing of where events come from; the rules of folding are in `outcomes`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session

from feedback_store.id_lists import IDS
from feedback_store.models import OutcomeRow
from feedback_store.outcomes import FACT_DATA, Fact, Outcome, fold_facts
from feedback_store.schemas import EventKind, OutcomeKind

# All facts as one JSON text: a row at a time they would take longer to read than to fold.
_FACTS = {
    "sqlite": text(
        "SELECT json_group_array(json_array(completion_id, kind, ordinal, candidate_index,"
        " occurred_at || '+00:00', source, json(data)))"
        " FROM events WHERE completion_id IN (SELECT value FROM json_each(:ids))"
    ).bindparams(IDS),
    "postgresql": text(
        "SELECT CAST(json_agg(json_build_array(completion_id, kind, ordinal, candidate_index,"
        " occurred_at, source, data)) AS text)"
        " FROM events WHERE completion_id = ANY (CAST(:ids AS uuid[]))"
    ).bindparams(IDS),
}
_KINDS = {kind.value: kind for kind in EventKind}
# Past the ORM: this runs all the time, and the ORM would take longer than the database.
_OUTCOMES = OutcomeRow.__table__
_COLUMNS = tuple(_OUTCOMES.c.keys())
_NAMES = [name for name in _COLUMNS if name != "completion_id"]
_UPDATE_SQLITE = (
    f"UPDATE outcomes SET {', '.join(f'{name} = ?' for name in _NAMES)} WHERE completion_id = ?"
)
# All at once; not on SQLite, which reads some numbers of JSON one bit off.
_UPDATE_POSTGRESQL = text(
    f"UPDATE outcomes SET {', '.join(f'{name} = folded.{name}' for name in _NAMES)} "
    "FROM json_populate_recordset(NULL::outcomes, CAST(:rows AS json)) AS folded "
    "WHERE outcomes.completion_id = folded.completion_id"
)


def stored_facts(session: Session, completion_ids: Iterable[UUID]) -> Mapping[str, Sequence[Fact]]:
    """Return what the stored events of these completions say, by completion."""
    facts: dict[str, list[Fact]] = defaultdict(list)
    connection = session.connection()
    told = connection.scalar(_FACTS[connection.dialect.name], {"ids": completion_ids})
    for key, kind, ordinal, candidate_index, occurred_at, source, data in from_json(told or "[]"):
        moment, said = datetime.fromisoformat(occurred_at), map(data.get, FACT_DATA)
        facts[key].append(Fact(_KINDS[kind], ordinal, candidate_index, moment, source, *said))
    return facts


def fold_stored(session: Session, completion_ids: Iterable[UUID]) -> list[Outcome]:
    """Return the outcome of each of `completion_ids`, folded from all its stored events."""
    ids = list(completion_ids)
    facts = stored_facts(session, ids)
    return [fold_facts(one, facts.get(str(one), ())) for one in ids]


def refold(session: Session, completion_ids: Iterable[UUID]) -> None:
    """Replace the stored outcomes of completions that are stored."""
    replace_outcomes(session, fold_stored(session, completion_ids))


def replace_outcomes(session: Session, outcomes: Sequence[Outcome]) -> None:
    """Replace the stored outcomes of these completions."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(_UPDATE_POSTGRESQL, {"rows": to_json(outcomes).decode()})
    elif outcomes:
        rows = [_row(outcome, connection.dialect) for outcome in outcomes]
        connection.exec_driver_sql(_UPDATE_SQLITE, rows)


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """Return the column values of `outcome`."""
    return vars(outcome) | {"kind": outcome.kind.value}


def _row(outcome: Outcome, dialect: Dialect) -> tuple[Any, ...]:
    """Return the values of `_UPDATE_SQLITE` as the driver takes them."""
    values = outcome_values(outcome)
    return tuple(
        values[name] if bind is None else bind(values[name]) for name, bind in _binders(dialect)
    )


@lru_cache(4)
def _binders(dialect: Dialect) -> Sequence[tuple[str, Callable[[Any], Any] | None]]:
    """Return every column, the key last, with what turns its values into those of the driver."""
    names = (*_NAMES, "completion_id")
    return [
        (name, _OUTCOMES.c[name].type.dialect_impl(dialect).bind_processor(dialect))
        for name in names
    ]


def outcome_of(values: Sequence[Any]) -> Outcome:
    """Return the outcome of a row: one value per column of the table, in its order."""
    told = dict(zip(_COLUMNS, values, strict=True))
    return Outcome(**told | {"kind": OutcomeKind(told["kind"])})
