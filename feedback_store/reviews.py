"""Turns a human's judgement of a completion into a review, which overrides its outcome.

`completions.load_window` applies the newest review. Knows nothing of queues or pages.
"""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from feedback_store import audit
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import EventError
from feedback_store.known import known_ids
from feedback_store.models import ReviewRow

VERDICTS = ("up", "down")


def judge(
    database: Database,
    completion_id: UUID,
    reviewer: str,
    verdict: Literal["up", "down"],
    text: str | None = None,
) -> None:
    """Store a verdict, and as `text` what should have been suggested, if the reviewer says so.

    EventError when the completion is not stored, the verdict unknown, or nobody is named.
    """
    if verdict not in VERDICTS:
        raise EventError(f"verdict {verdict!r} is unknown: say one of {', '.join(VERDICTS)}")
    if not reviewer.strip():
        raise EventError("a review needs the name of its reviewer")
    with database.session() as session:
        if not known_ids(session, [completion_id]):
            raise EventError(f"completion {completion_id} is not stored: nothing to review")
        session.add(
            ReviewRow(
                completion_id=completion_id,
                reviewer=reviewer,
                verdict=verdict,
                text=text,
                judged_at=datetime.now(UTC),
            )
        )
        audit.append(session, Signed(reviewer, verdict), "judged", str(completion_id))
