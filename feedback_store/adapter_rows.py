"""Turns questions about adapters into queries, and changes into rows with who made them and why.

Works inside the caller's session, but for `forget`. Knows nothing of files, and not which changes
are allowed.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_store import audit
from feedback_store.adapter_files import Manifest
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import RegistryError
from feedback_store.models import AdapterChangeRow, AdapterRow
from feedback_store.schemas import AdapterState

BASE = "base"
PRUNED = "pruned"


def add(
    session: Session, sha256: str, manifest: Manifest, signed: Signed | None = None
) -> AdapterRow:
    """List a sealed adapter as candidate; who does it is the run that sealed it, unless told."""
    row = AdapterRow(
        sha256=sha256,
        state=AdapterState.CANDIDATE,
        base_model=manifest.base_model,
        base_sha256=manifest.base_sha256,
        run_id=manifest.run_id,
        created_at=datetime.fromisoformat(manifest.created_at),
        registered_at=datetime.now(UTC),
        metrics={},
    )
    session.add(row)
    signed = signed or Signed(f"run {manifest.run_id}", "trained and sealed")
    note(session, "registered", sha256, None, signed.by, signed.reason)
    return row


def forget(database: Database, sha256: str, reason: str) -> None:
    """Take an adapter off the list, if it is on it."""
    with database.session() as session:
        row = session.get(AdapterRow, sha256)
        if row is not None:
            session.delete(row)
            note(session, PRUNED, sha256, None, "retention", reason)


def find(session: Session, sha256: str) -> AdapterRow:
    """Return the one adapter whose id begins with `sha256`; RegistryError when none or several."""
    wanted = sha256.strip().lower()
    rows = session.scalars(
        select(AdapterRow).where(AdapterRow.sha256.startswith(wanted, autoescape=True)).limit(3)
    ).all()
    if not wanted or not rows:
        raise RegistryError(f"no adapter {sha256!r} is registered: see `hone adapters list`")
    if len(rows) > 1:
        names = ", ".join(row.sha256[:16] for row in rows)
        raise RegistryError(f"adapter {sha256!r} could be {names}: give more of its id")
    return rows[0]


def find_live(session: Session) -> AdapterRow | None:
    """Return what is live, None for the bare base."""
    return session.scalar(select(AdapterRow).where(AdapterRow.state == AdapterState.LIVE))


def find_canary(session: Session) -> AdapterRow | None:
    """Return what a share of people is answered by, None when there is no canary."""
    return session.scalar(select(AdapterRow).where(AdapterRow.state == AdapterState.CANARY))


def end_canary(session: Session, by: str, reason: str) -> None:
    """Take the canary, if there is one, back to what it was before."""
    row = find_canary(session)
    if row is not None:
        row.state = AdapterState.RETIRED if row.promoted_at else AdapterState.CANDIDATE
        row.canary_share = None
        note(session, "canary ended", row.sha256, None, by, reason)


def earlier(session: Session, live: AdapterRow | None) -> list[AdapterRow]:
    """Return what was live before `live` and may be again, newest promotion first."""
    if live is None or live.promoted_at is None:
        return []
    return list(
        session.scalars(
            select(AdapterRow)
            .where(
                AdapterRow.state == AdapterState.RETIRED,
                AdapterRow.barred_reason.is_(None),
                AdapterRow.promoted_at < live.promoted_at,
            )
            .order_by(AdapterRow.promoted_at.desc())
        )
    )


def retire_live(session: Session) -> str | None:
    """Retire what is live; written at once, since the database allows one live row only."""
    live = find_live(session)
    if live is None:
        return None
    live.state = AdapterState.RETIRED
    session.flush()
    return live.sha256


def note(
    session: Session, action: str, adapter: str | None, replaced: str | None, by: str, reason: str
) -> None:
    """Write down a change, with who made it and why: in the registry, and in the audit log."""
    instead = f" instead of {replaced[:12]}" if replaced else ""
    audit.append(session, Signed(by, reason), f"adapter {action}", (adapter or BASE) + instead)
    session.add(
        AdapterChangeRow(
            changed_at=datetime.now(UTC),
            action=action,
            adapter=adapter,
            replaced=replaced,
            changed_by=by,
            reason=reason,
        )
    )


def after(latest: datetime | None) -> datetime:
    """Return now, but later than `latest`: promotions keep their order on a coarse clock."""
    now = datetime.now(UTC)
    return now if latest is None else max(now, latest + timedelta(microseconds=1))


def bar(session: Session, row: AdapterRow, by: str, reason: str) -> None:
    """Retire an adapter for good: it must never serve again."""
    row.barred_reason = reason
    if row.state != AdapterState.REJECTED:
        row.state = AdapterState.RETIRED
    note(session, "barred", row.sha256, None, by, reason)


def refuse_barred(row: AdapterRow) -> None:
    """Raise RegistryError when this adapter must never serve again."""
    if row.barred_reason is not None:
        raise RegistryError(f"adapter {short(row)} must not serve: {row.barred_reason}")


def short(row: AdapterRow | None) -> str:
    """Return a name short enough for a message."""
    return row.sha256[:12] if row else BASE
