"""Turns people's judgements of pairs into reviews, and reviews into what a night has to obey.

Of one completion the newest review counts that was not undone and is no skip. Nothing is ever
deleted here: an undone review stays, with who undid it and when, and the audit log has both.
Knows nothing of queues or pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, insert, select, update
from sqlalchemy.orm import Session

from feedback_store import audit
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import EventError
from feedback_store.known import known_ids
from feedback_store.models import CompletionRow, ReviewRow
from feedback_store.schemas import MAX_EVENT_TEXT_CHARACTERS
from feedback_store.verdicts import Judgement, Verdict


@dataclass(frozen=True)
class Seen:
    """The pair as the reviewer saw it. `blind`: sides shuffled, rule hidden."""

    rule: str
    chosen: str | None
    rejected: str | None
    blind: bool = False


@dataclass(frozen=True)
class Standing:
    """What people have said of a completion: what counts, and when it last changed."""

    judgement: Judgement | None
    changed_at: datetime


@dataclass(frozen=True)
class Undone:
    """What an undo took back: one completion, or all those of a bulk judgement."""

    completion_id: UUID
    verdict: Verdict
    count: int


def counts() -> ColumnElement[bool]:
    """Return the condition on reviews that say something and were not undone."""
    return and_(ReviewRow.undone_at.is_(None), ReviewRow.verdict != Verdict.SKIP.value)


def judge(
    database: Database,
    completion_id: UUID,
    reviewer: str,
    verdict: Verdict | str,
    text: str | None = None,
    *,
    seen: Seen | None = None,
) -> bool:
    """Store a verdict; `text` is what should have been suggested. Return whether it is news.

    What the reviewer said already, and nobody has spoken since, is not stored again. EventError
    when the completion is not stored, nobody is named, or the verdict does not fit the pair.
    """
    values = _checked(reviewer, verdict, text, seen)
    with database.session() as session:
        if not known_ids(session, [completion_id]):
            raise EventError(f"completion {completion_id} is not stored: nothing to review")
        last = session.execute(
            select(ReviewRow.reviewer, ReviewRow.verdict, ReviewRow.text)
            .where(ReviewRow.completion_id == completion_id, ReviewRow.undone_at.is_(None))
            .order_by(ReviewRow.review_id.desc())
            .limit(1)
        ).first()
        if last is not None and tuple(last) == (reviewer, values["verdict"], text):
            return False
        session.add(ReviewRow(completion_id=completion_id, **values))
        audit.append(session, Signed(reviewer, str(verdict)), "judged", str(completion_id))
    return True


def judge_many(
    database: Database,
    pairs: Sequence[tuple[UUID, Seen]],
    reviewer: str,
    verdict: Verdict,
    about: str,
) -> str:
    """Give one verdict on many pairs, all or none; return the name of the batch, to undo it by.

    `about` says in the log which pairs these were. EventError when there is no pair.
    """
    if not pairs:
        raise EventError("no pair fits: nothing to judge")
    batch = str(uuid4())
    with database.session() as session:
        known = known_ids(session, [completion_id for completion_id, _ in pairs])
        rows = [
            {**_checked(reviewer, verdict, None, seen), "completion_id": key, "batch": batch}
            for key, seen in pairs
            if key in known
        ]
        session.execute(insert(ReviewRow), rows)
        each = Signed(reviewer, f"{verdict}: in batch {batch}")
        for row in rows:
            audit.append(session, each, "judged", str(row["completion_id"]))
        why = f"{verdict}: {about}"
        subject = f"{len(rows)} pairs, batch {batch}"
        audit.append(session, Signed(reviewer, why), "judged in bulk", subject)
    return batch


def undo_last(database: Database, reviewer: str) -> Undone | None:
    """Take back the reviewer's newest review, with its whole batch; None when there is none."""
    with database.session() as session:
        last = session.execute(
            select(ReviewRow.review_id, ReviewRow.completion_id, ReviewRow.verdict, ReviewRow.batch)
            .where(ReviewRow.reviewer == reviewer, ReviewRow.undone_at.is_(None))
            .order_by(ReviewRow.review_id.desc())
            .limit(1)
        ).first()
        if last is None:
            return None
        these = ReviewRow.review_id == last.review_id
        if last.batch is not None:
            these = ReviewRow.batch == last.batch
        count = _undo(session, these, reviewer)
        subject = f"batch {last.batch}" if last.batch else str(last.completion_id)
        audit.append(session, Signed(reviewer, last.verdict), "judgement undone", subject)
        return Undone(last.completion_id, Verdict(last.verdict), count)


def undo_batch(database: Database, batch: str, reviewer: str) -> int:
    """Take a bulk judgement back; return how many reviews that were. EventError when none."""
    with database.session() as session:
        count = _undo(session, ReviewRow.batch == batch, reviewer)
        if not count:
            raise EventError(f"bulk judgement {batch[:36]!r} is unknown, or was undone before")
        audit.append(session, Signed(reviewer, f"{count} pairs"), "judgement undone", batch)
    return count


def standings(session: Session, since: datetime) -> dict[UUID, Standing]:
    """Return what people have said of the completions served at or after `since`."""
    rows = session.execute(
        select(
            ReviewRow.completion_id,
            ReviewRow.verdict,
            ReviewRow.text,
            ReviewRow.chosen,
            ReviewRow.rejected,
            ReviewRow.judged_at,
            ReviewRow.undone_at,
        )
        .join(CompletionRow, CompletionRow.completion_id == ReviewRow.completion_id)
        .where(CompletionRow.served_at >= since, ReviewRow.verdict != Verdict.SKIP.value)
        .order_by(ReviewRow.review_id)
    )
    found: dict[UUID, Standing] = {}
    for row in rows:
        before = found.get(row.completion_id)
        counting = before.judgement if before else None
        if row.undone_at is None:
            counting = Judgement(Verdict(row.verdict), row.text, row.chosen, row.rejected)
        changed = max(filter(None, (row.judged_at, row.undone_at, before and before.changed_at)))
        found[row.completion_id] = Standing(counting, changed)
    return found


def _undo(session: Session, these: ColumnElement[bool], by: str) -> int:
    undone = session.execute(
        update(ReviewRow)
        .where(these, ReviewRow.undone_at.is_(None))
        .values(undone_at=datetime.now(UTC), undone_by=by)
        .returning(ReviewRow.review_id)
    )
    return len(undone.all())


def _checked(
    reviewer: str, verdict: Verdict | str, text: str | None, seen: Seen | None
) -> dict[str, object]:
    """Return the column values of a review, all but the completion's id."""
    try:
        verdict = Verdict(verdict)
    except ValueError:
        raise EventError(
            f"verdict {verdict!r} is unknown: say one of {', '.join(Verdict)}"
        ) from None
    if not reviewer.strip():
        raise EventError("a review needs the name of its reviewer")
    if seen is None and verdict not in (Verdict.UP, Verdict.DOWN):
        raise EventError(f"verdict {verdict} judges a pair: say which one was seen")
    _check_text(verdict, text)
    pair = seen or Seen("", None, None)
    return {
        "reviewer": reviewer[:128],
        "verdict": verdict.value,
        "text": text,
        "judged_at": datetime.now(UTC),
        "rule": pair.rule or None,
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "blind": pair.blind,
    }


def _check_text(verdict: Verdict, text: str | None) -> None:
    if verdict is Verdict.EDIT and not (text and text.strip()):
        raise EventError("an empty text cannot be learned: judge the pair as both bad instead")
    if text is None:
        return
    if "\0" in text:
        raise EventError("the text holds a NUL character: take it out")
    if len(text) > MAX_EVENT_TEXT_CHARACTERS:
        raise EventError(f"the text is longer than {MAX_EVENT_TEXT_CHARACTERS} characters")
