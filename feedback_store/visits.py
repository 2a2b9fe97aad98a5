"""Turns stored completions, with what became of them, back into visits.

Knows nothing of how they were written, or how pairs are made.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy import Row as ResultRow
from sqlalchemy.orm import Session

from feedback_store import consents, owed_folds
from feedback_store.collector import no_collection
from feedback_store.completions import SAME, ServedCandidate, ServedCompletion
from feedback_store.database import Database
from feedback_store.id_lists import among
from feedback_store.models import CandidateRow, CompletionRow, OutcomeRow
from feedback_store.outcome_rows import outcome_of
from feedback_store.outcomes import Outcome
from feedback_store.reviews import Standing, standings
from feedback_store.schemas import CompletionRequest, Mode, Timings
from feedback_store.verdicts import Judgement, Verdict

_PER_STEP = 1_000
_TIMINGS = tuple(Timings.model_fields)
_OPEN = and_(
    CompletionRow.barred_reason.is_(None),
    consents.is_given(CompletionRow.pseudonym, CompletionRow.repository),
)
_COLUMNS = tuple(CompletionRow.__table__.columns.keys())


@dataclass(frozen=True)
class Visit:
    """One completion and what became of it."""

    completion: ServedCompletion
    outcome: Outcome
    barred: bool  # a secret was found in it: never train on it
    judgement: Judgement | None = None  # of its pair, by a person: overrides the outcome
    reviewed_at: datetime | None = None  # when somebody last judged it, or took that back


@no_collection()
def load_window(database: Database, *, since: datetime) -> list[Visit]:
    """Return what was served at or after `since`, oldest first, without blank rows.

    Nor what consent was withdrawn for, until it is given again. A review overrides what the events
    say. Four queries, however many completions there are; what is still owed a fold is folded
    before.
    """
    owed_folds.fold_all(database)
    wanted = (CompletionRow.served_at >= since, _OPEN)
    with database.reading() as session:
        return _load(session, wanted, standings(session, since))


def stream_older(
    database: Database, *, since: datetime, before: datetime, is_wanted: Callable[[str, str], bool]
) -> Iterator[Visit]:
    """Yield what was served from `since` on, and before `before`, in files that are wanted.

    As `load_window` does, but with few of them in memory at a time. `is_wanted` is told a file's
    repository and path, or its document where it has no path.
    """
    owed_folds.fold_all(database)
    is_wanted = cache(is_wanted)
    wanted = (CompletionRow.served_at >= since, CompletionRow.served_at < before)
    columns = (CompletionRow.repository, CompletionRow.path, CompletionRow.document_id)
    with database.reading() as session:
        found = session.connection().execute(
            select(CompletionRow.completion_id, *columns)
            .where(*wanted, _OPEN)
            .order_by(CompletionRow.served_at, CompletionRow.completion_id)
            .execution_options(yield_per=_PER_STEP)
        )
        ids = [key for key, repository, path, name in found if is_wanted(repository, path or name)]
        reviewed = standings(session, since)
    for first in range(0, len(ids), _PER_STEP):
        step = ids[first : first + _PER_STEP]
        with database.reading() as session:
            visits = _load(session, (among(CompletionRow.completion_id), _OPEN), reviewed, step)
        yield from visits


def _load(
    session: Session,
    wanted: Sequence[ColumnElement[bool]],
    reviewed: dict[UUID, Standing],
    ids: Sequence[UUID] = (),
) -> list[Visit]:
    """Return what is wanted, oldest first. `ids` are those that `among` asks for."""
    told = {"ids": ids} if ids else {}
    candidates: dict[UUID, list[ServedCandidate]] = defaultdict(list)
    # In no order: asked for one, SQLite reads every candidate it has.
    for row in session.execute(
        select(*CandidateRow.__table__.columns)
        .join(CompletionRow, CompletionRow.completion_id == CandidateRow.completion_id)
        .where(*wanted),
        told,
    ):
        candidates[row.completion_id].append(_candidate_of(row))
    # With their outcomes: as two queries they take longer to read.
    rows = session.execute(
        select(*CompletionRow.__table__.columns, *OutcomeRow.__table__.columns)
        .join(OutcomeRow, OutcomeRow.completion_id == CompletionRow.completion_id)
        .where(*wanted)
        .order_by(CompletionRow.served_at, CompletionRow.completion_id),
        told,
    )
    visits = []
    for row in rows:
        values = dict(zip(_COLUMNS, row[: len(_COLUMNS)], strict=True))
        key = values["completion_id"]
        completion = _completion_of(values, candidates[key])
        visits.append(_visit(completion, outcome_of(row[len(_COLUMNS) :]), reviewed.get(key)))
    return visits


def _completion_of(
    values: Mapping[str, Any], candidates: Sequence[ServedCandidate]
) -> ServedCompletion:
    request = CompletionRequest(
        record=True,
        user=values["pseudonym"],
        mode=Mode(values["mode"]),
        **{name: values[name] for name in SAME},
    )
    return ServedCompletion(
        request=request,
        served_at=values["served_at"],
        model=values["model"],
        model_sha256=values["model_sha256"],
        adapter=values["adapter"],
        arm=values["arm"],
        prompt_ids=tuple(values["prompt_ids"]),
        healed=values["healed"],
        num_cached_tokens=values["num_cached_tokens"],
        candidates=tuple(sorted(candidates, key=attrgetter("index"))),
        show=values["show"],
        propensity=values["propensity"],
        timings=Timings(**{name: values[name] for name in _TIMINGS}),
    )


def _candidate_of(row: ResultRow[Any]) -> ServedCandidate:
    return ServedCandidate(
        index=row.candidate_index,
        text=row.text,
        token_ids=tuple(row.token_ids),
        log_probs=tuple(row.log_probs),
        finish_reason=row.finish_reason,
    )


def _visit(completion: ServedCompletion, outcome: Outcome, said: Standing | None) -> Visit:
    """Return a visit; up and down of old are a rating, everything else judges its pair."""
    if said is None:
        return Visit(completion, outcome, barred=False)
    judgement = said.judgement
    if judgement is not None and judgement.verdict in (Verdict.UP, Verdict.DOWN):
        text = judgement.text or outcome.correction
        outcome = replace(outcome, rating=judgement.verdict.value, correction=text)
        judgement = None
    return Visit(completion, outcome, False, judgement, said.changed_at)
