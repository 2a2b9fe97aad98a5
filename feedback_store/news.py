"""Turns the registry's history and the outcomes into what an editor shows of its host.

Knows nothing of HTTP, nor of what serves: it is asked about one adapter, and about one user.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Integer, case, func, select

from feedback_store.database import Database
from feedback_store.models import AdapterChangeRow, AdapterRow, CompletionRow, OutcomeRow
from feedback_store.schemas import Acceptance, LiveAdapter, OutcomeKind

LONGEST = timedelta(days=2)  # what a day may be, wherever the editor is; more would be a burden
_TAKEN = (OutcomeKind.ACCEPTED.value, OutcomeKind.PARTIALLY_ACCEPTED.value)
_MADE_LIVE = ("promoted", "rolled back")


def live_adapter(database: Database, sha256: str) -> LiveAdapter | None:
    """Return what is known of an adapter that serves; None when it was never made live.

    Its number counts promotions in the registry's history, which outlives pruned adapters.
    """
    with database.reading() as session:
        changes = session.execute(
            select(AdapterChangeRow.adapter, AdapterChangeRow.action, AdapterChangeRow.changed_at)
            .where(AdapterChangeRow.action.in_(_MADE_LIVE))
            .order_by(AdapterChangeRow.change_id)
        ).all()
        row = session.get(AdapterRow, sha256)
        times = [change.changed_at for change in changes if change.adapter == sha256]
        if row is None or not times:
            return None
        promoted = dict.fromkeys(c.adapter for c in changes if c.action == "promoted" and c.adapter)
        return LiveAdapter(
            sha256=sha256,
            number=[*promoted, sha256].index(sha256) + 1,
            since=times[-1],
            promoted_by=row.promoted_by or "",
            matched_change=_change(row.metrics),
            gain_nats=row.metrics.get("gain_nats"),
            num_positions=row.metrics.get("positions"),
        )


def acceptance(database: Database, user: str, since: datetime) -> Acceptance:
    """Return how often a user was shown and took suggestions since then, two days at most."""
    since = max(since, datetime.now(UTC) - LONGEST)
    with database.reading() as session:
        shown, accepted = session.execute(
            select(
                _count_if(OutcomeRow.kind != OutcomeKind.UNSEEN.value),
                _count_if(OutcomeRow.kind.in_(_TAKEN)),
            )
            .join(CompletionRow, CompletionRow.completion_id == OutcomeRow.completion_id)
            .where(CompletionRow.pseudonym == user, CompletionRow.served_at >= since)
        ).one()
    return Acceptance(num_shown=shown or 0, num_accepted=accepted or 0)


def _change(metrics: dict[str, Any]) -> float | None:
    """Return the relative change of the matched characters, where there was something to match."""
    before, after = metrics.get("matched_live"), metrics.get("matched_candidate")
    return after / before - 1 if before and after is not None else None


def _count_if(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0), type_=Integer)
