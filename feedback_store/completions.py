"""Turns served completions into rows, each with the outcome that its events amount to.

Knows nothing of HTTP or engines; how rows come back is in `visits`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from feedback_store import barring, consents, rollups, scanning
from feedback_store.database import Database
from feedback_store.errors import EventError
from feedback_store.known import closed_ids, known_ids, lock_completions
from feedback_store.models import CandidateRow, CompletionRow, ErasedRow, EventRow, OutcomeRow
from feedback_store.outcome_rows import fold_stored, outcome_values
from feedback_store.schemas import CompletionRequest, Timings

CONTENT_OFF = "content is off"  # stored without code: neither barred nor anything to train on
# Fields of a request that are columns of the same name; the others are converted by hand.
SAME = (
    "completion_id",
    "schema_version",
    "requested_at",
    "document_id",
    "language",
    "path",
    "repository",
    "client",
    "client_version",
    "prefix",
    "suffix",
    "line",
    "trigger",
    "num_candidates",
    "max_new_tokens",
    "temperature",
)
_TEXTS = tuple(name for name, field in CompletionRequest.model_fields.items()
               if field.annotation is str)  # fmt: skip


@dataclass(frozen=True)
class ServedCandidate:
    """One generation: `token_ids` start at the healed piece, `text` continues the prefix."""

    index: int
    text: str
    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]  # nats, one per token
    finish_reason: str


@dataclass(frozen=True)
class ServedCompletion:
    """One request and the whole of its answer. `prompt_ids` end before the healed piece."""

    request: CompletionRequest
    served_at: datetime
    model: str
    model_sha256: str
    adapter: str | None
    arm: str
    prompt_ids: tuple[int, ...]
    healed: str
    num_cached_tokens: int
    candidates: tuple[ServedCandidate, ...]
    show: bool
    propensity: float
    timings: Timings


def record_completions(
    database: Database, completions: Sequence[ServedCompletion], *, content: bool = True
) -> int:
    """Store completions with the outcome of events that came before them; return how many are new.

    One transaction; one that is stored already, or was erased meanwhile, is left as it is. One with
    a secret in it is stored blank; nothing is stored of whom has withdrawn consent. Without
    `content` no text and no token is stored, and nothing is ever trained on. EventError when a
    request did not allow recording, a time has no zone, or a text holds a NUL.
    """
    unique = {served.request.completion_id: served for served in completions}
    for served in unique.values():
        _check(served)
    found = _found(unique.values())
    with database.appending() as session:
        lock_completions(session, unique)
        known = known_ids(session, unique) | set(closed_ids(session, unique))
        new = [served for key, served in unique.items() if key not in known]
        new = _with_consent(session, new)
        if not new:
            return 0
        new, barred = _without_secrets(session, new, found)
        if not content:
            new = [_without_content(served) for served in new]
        session.execute(
            insert(CompletionRow),
            [
                _completion_values(
                    served, barred.get(served.request.completion_id), content=content
                )
                for served in new
            ],
        )
        candidates = [row for served in new for row in _candidate_values(served)]
        if candidates:
            session.execute(insert(CandidateRow), candidates)
        outcomes = fold_stored(session, [served.request.completion_id for served in new])
        session.execute(insert(OutcomeRow), [outcome_values(outcome) for outcome in outcomes])
        rollups.mark(session, [served.request.completion_id for served in new])
    return len(new)


def num_without_content(database: Database, *, since: datetime) -> int:
    """Return how many completions were stored since then without any code."""
    wanted = (CompletionRow.served_at >= since, CompletionRow.barred_reason == CONTENT_OFF)
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(CompletionRow).where(*wanted)) or 0


def _check(served: ServedCompletion) -> None:
    name = f"completion {served.request.completion_id}"
    if not served.request.record:
        raise EventError(f"{name} came with record=false: it must not be written anywhere")
    if served.served_at.tzinfo is None:
        raise EventError(f"{name} has a served_at without time zone: give it in UTC")
    request = served.request
    texts = [getattr(request, field) for field in _TEXTS]
    if any("\0" in text for text in (*texts, *(one.text for one in served.candidates))):
        raise EventError(f"{name} holds a NUL character: PostgreSQL keeps none, so nobody does")


def _found(completions: Iterable[ServedCompletion]) -> dict[UUID, frozenset[str]]:
    """Return what should never have come here, by completion."""
    found: dict[UUID, frozenset[str]] = {}
    for served in completions:
        request = served.request
        kinds = scanning.kinds_in(
            (request.prefix, request.suffix, *(candidate.text for candidate in served.candidates))
        )
        if scanning.is_excluded_path(request.path):
            kinds |= {scanning.EXCLUDED_PATH}
        if kinds:
            found[request.completion_id] = kinds
    return found


def _with_consent(session: Session, new: list[ServedCompletion]) -> list[ServedCompletion]:
    """Leave out what users took back their consent for, and close it for its events."""
    now = datetime.now(UTC)
    requests = [served.request for served in new]
    said = {(one.user, one.repository): one.client for one in requests}
    withdrawn = consents.note(session, said, now)
    refused = {one.completion_id for one in requests if (one.user, one.repository) in withdrawn}
    if refused:
        rows = [{"completion_id": one, "erased_at": now} for one in refused]
        session.execute(insert(ErasedRow), rows)
        session.execute(delete(EventRow).where(EventRow.completion_id.in_(refused)))
    return [served for served in new if served.request.completion_id not in refused]


def _without_secrets(
    session: Session, new: list[ServedCompletion], found: dict[UUID, frozenset[str]]
) -> tuple[list[ServedCompletion], dict[UUID, str]]:
    """Blank those in which something was found; return also why each of them is barred."""
    ids = {served.request.completion_id for served in new}
    here = {key: kinds for key, kinds in found.items() if key in ids}
    reasons = barring.bar_found(session, here, "completion")
    return [
        _blank(served) if served.request.completion_id in reasons else served for served in new
    ], reasons


def _blank(served: ServedCompletion) -> ServedCompletion:
    return replace(_without_content(served), candidates=())


def _without_content(served: ServedCompletion) -> ServedCompletion:
    """Keep what is measured: times, counts, how sure the model was."""
    request = served.request.model_copy(update={"prefix": "", "suffix": ""})
    candidates = tuple(replace(one, text="", token_ids=()) for one in served.candidates)
    return replace(served, request=request, prompt_ids=(), healed="", candidates=candidates)


def _completion_values(
    served: ServedCompletion, barred_reason: str | None, *, content: bool
) -> dict[str, Any]:
    request = served.request
    return {
        **{name: getattr(request, name) for name in SAME},
        **served.timings.model_dump(),
        "pseudonym": request.user,
        "mode": request.mode.value,
        "served_at": served.served_at,
        "model": served.model,
        "model_sha256": served.model_sha256,
        "adapter": served.adapter,
        "arm": served.arm,
        "prompt_ids": list(served.prompt_ids),
        "healed": served.healed,
        "num_cached_tokens": served.num_cached_tokens,
        "show": served.show,
        "propensity": served.propensity,
        "barred": barred_reason is not None,
        "barred_reason": barred_reason or (None if content else CONTENT_OFF),
    }


def _candidate_values(served: ServedCompletion) -> list[dict[str, Any]]:
    rows = []
    for candidate in served.candidates:
        values = asdict(candidate)
        values["candidate_index"] = values.pop("index")
        values["completion_id"] = served.request.completion_id
        rows.append(values)
    return rows
