"""Turns sealed adapter directories into registered ones, of which at most one is live.

candidate -> canary -> live -> retired, or -> rejected; None stands for the bare base. Every change
is kept with who made it and why. Directories never change once registered, and are checked again
before each promotion. This module knows nothing of serving: hosts watch `live()`.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedback_store import adapter_files, adapter_repair, adapter_rows
from feedback_store.adapter_files import Manifest
from feedback_store.adapter_folder import AdapterFolder
from feedback_store.adapter_rows import BASE
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import AdapterError, RegistryError
from feedback_store.known import closed_ids
from feedback_store.models import AdapterChangeRow, AdapterRow
from feedback_store.schemas import AdapterState

GATE = "gate"  # what `by` says when no person promotes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdapterRecord:
    """One registered adapter. `barred` says why it must never serve again."""

    sha256: str
    state: AdapterState
    path: Path
    base_model: str
    run_id: str
    created_at: datetime
    promoted_at: datetime | None
    promoted_by: str | None
    reason: str | None
    metrics: dict[str, Any]
    base_sha256: str = ""
    barred: str | None = None
    canary_share: float | None = None  # of people that it answers, while it is the canary


@dataclass(frozen=True)
class AdapterChange:
    """One change of what serves or may serve. `adapter` is None for the bare base."""

    changed_at: datetime
    action: str
    adapter: str | None
    replaced: str | None  # what was live until then
    changed_by: str
    reason: str


class Registry:
    """The adapters of one database and one folder. Safe to use from several processes."""

    def __init__(self, database: Database, adapters_dir: Path) -> None:
        """Open the registry, and finish what a killed process left half done."""
        self._database = database
        self._folder = AdapterFolder(adapters_dir)
        adapter_repair.repair(database, self._folder)

    def register(
        self,
        staging: Path,
        *,
        base_sha256: str,
        run_id: str,
        metrics: Mapping[str, Any],
        signed: Signed | None = None,
    ) -> AdapterRecord:
        """Check a sealed directory, move it into the registry's folder, and list it as candidate.

        Doing it twice is doing it once. `signed` says who does it, if not the run itself.
        AdapterError when the directory fails its check; RegistryError when another run sealed it.
        """
        manifest = adapter_files.check(staging, base_sha256=base_sha256)
        if manifest.run_id != run_id:
            raise RegistryError(
                f"{staging} was sealed by run {manifest.run_id}, not by run {run_id}"
            )
        sha256 = adapter_files.adapter_id(staging)
        with self._folder.locked():
            self._folder.take_in(staging, sha256)
            with self._database.session() as session:
                row = session.get(AdapterRow, sha256) or adapter_rows.add(
                    session, sha256, manifest, signed
                )
                row.metrics = dict(metrics) or row.metrics
                return self._record(row)

    def receive(self, staging: Path, sha256: str, base_sha256: str) -> None:
        """Check the files of an adapter that is listed, and move them into the registry's folder.

        AdapterError when they are not what is listed.
        """
        adapter_files.check(staging, base_sha256=base_sha256, expected_sha256=sha256)
        with self._folder.locked():
            self._folder.take_in(staging, sha256)

    def spool(self) -> IO[bytes]:
        """Return a nameless file on the disk of the adapters, for what comes over the network."""
        return self._folder.spool()

    def workplace(self) -> AbstractContextManager[Path]:
        """Return an empty directory for what is to be registered; it goes when it is left."""
        return self._folder.workplace()

    def list(self) -> list[AdapterRecord]:
        """Return every adapter, newest first."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(AdapterRow).order_by(AdapterRow.registered_at.desc(), AdapterRow.sha256)
            )
            return [self._record(row) for row in rows]

    def get(self, sha256: str) -> AdapterRecord:
        """Return the adapter whose id is, or alone begins with, `sha256`; else RegistryError."""
        with self._database.reading() as session:
            return self._record(adapter_rows.find(session, sha256))

    def live(self) -> AdapterRecord | None:
        """Return what should serve; None is the bare base."""
        with self._database.reading() as session:
            row = adapter_rows.find_live(session)
            return self._record(row) if row else None

    def canary(self) -> AdapterRecord | None:
        """Return what answers a share of people beside the live one, if anything does."""
        with self._database.reading() as session:
            row = adapter_rows.find_canary(session)
            return self._record(row) if row else None

    def history(self) -> tuple[AdapterChange, ...]:
        """Return every change with who made it and why, newest first."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(AdapterChangeRow).order_by(AdapterChangeRow.change_id.desc())
            )
            return tuple(
                AdapterChange(
                    changed_at=row.changed_at,
                    action=row.action,
                    adapter=row.adapter,
                    replaced=row.replaced,
                    changed_by=row.changed_by,
                    reason=row.reason,
                )
                for row in rows
            )

    def verify(self, sha256: str, base_sha256: str | None = None) -> Manifest:
        """Check the files of an adapter, and that it fits the base; return its manifest.

        AdapterError says what is wrong. Without `base_sha256` it must fit the base it was
        registered for.
        """
        record = self.get(sha256)
        return adapter_files.check(
            record.path,
            base_sha256=base_sha256 or record.base_sha256,
            expected_sha256=record.sha256,
        )

    def promote(self, sha256: str, *, by: str, reason: str) -> AdapterRecord:
        """Make an adapter live; the one before retires. Its files are checked first.

        The gate promotes candidates; a person, named in `by`, may also promote what was retired
        or rejected. Promoting what is live changes nothing.
        """
        _require(by, reason)
        record = self.get(sha256)
        self.verify(record.sha256)
        with self._database.session() as session:
            row = adapter_rows.find(session, record.sha256)
            state = AdapterState(row.state)
            if state is AdapterState.LIVE:
                return self._record(row)
            self._refuse_closed(session, row)
            if by == GATE and state not in (AdapterState.CANDIDATE, AdapterState.CANARY):
                raise RegistryError(
                    f"adapter {adapter_rows.short(row)} is {state}: "
                    "only a named person may promote it"
                )
            if state is AdapterState.CANARY:
                row.canary_share = None
            replaced = adapter_rows.retire_live(session)
            latest = session.scalar(select(func.max(AdapterRow.promoted_at)))
            row.state = AdapterState.LIVE
            row.promoted_at = adapter_rows.after(latest)
            row.promoted_by, row.reason = by, reason
            adapter_rows.note(session, "promoted", row.sha256, replaced, by, reason)
            return self._record(row)

    def try_out(self, sha256: str, *, share: float, by: str, reason: str) -> AdapterRecord:
        """Let an adapter answer a fixed `share` of people: the canary; one before it ends.

        Its files are checked first. RegistryError when it is live, barred, or the share is not
        between 0 and 1.
        """
        _require(by, reason)
        if not 0.0 < share < 1.0:
            raise RegistryError(f"a canary answers a share between 0 and 1 of people, not {share}")
        self.verify(self.get(sha256).sha256)
        with self._database.session() as session:
            row = adapter_rows.find(session, sha256)
            self._refuse_closed(session, row)
            if row.state == AdapterState.LIVE:
                raise RegistryError(f"adapter {adapter_rows.short(row)} is live: it answers all")
            if row.state != AdapterState.CANARY:
                adapter_rows.end_canary(session, by, f"{adapter_rows.short(row)} is tried out")
            row.state, row.canary_share = AdapterState.CANARY, share
            why = f"for {share:.0%} of people: {reason}"
            adapter_rows.note(session, "tried out", row.sha256, None, by, why)
            return self._record(row)

    def end_canary(self, *, by: str, reason: str) -> None:
        """Let the live adapter answer everybody again. RegistryError without a canary."""
        _require(by, reason)
        with self._database.session() as session:
            if adapter_rows.find_canary(session) is None:
                raise RegistryError("no adapter is being tried out: there is nothing to end")
            adapter_rows.end_canary(session, by, reason)

    def rollback(self, *, by: str, reason: str, to: str | None = None) -> AdapterRecord | None:
        """Serve what was live before: the newest earlier one that is intact, else the bare base.

        `to` names an adapter that was live once, or "base". Returns what is live now.
        """
        _require(by, reason)
        with self._database.session() as session:
            live = adapter_rows.find_live(session)
            if live is None and to in (None, BASE):
                raise RegistryError("the bare base serves already: there is nothing to roll back")
            target = self._rollback_target(session, live, to)
            if target is not None and target is live:
                raise RegistryError(f"adapter {adapter_rows.short(live)} is live already")
            replaced = adapter_rows.retire_live(session)
            if target is not None:
                target.state = AdapterState.LIVE
            adapter_rows.note(
                session, "rolled back", target.sha256 if target else None, replaced, by, reason
            )
            return self._record(target) if target else None

    def reject(self, sha256: str, *, reason: str, by: str = GATE) -> AdapterRecord:
        """Mark an adapter as not good enough; a live one gives way as in a rollback."""
        _require(by, reason)
        with self._database.session() as session:
            row = adapter_rows.find(session, sha256)
            live = adapter_rows.find_live(session)
            row.state, row.reason = AdapterState.REJECTED, reason
            adapter_rows.note(session, "rejected", row.sha256, None, by, reason)
            if row is live:
                self._fall_back(session, row, by, reason)
            return self._record(row)

    def prune(self, keep: int) -> tuple[str, ...]:
        """Remove all but `keep` adapters with their files; return the ids that went.

        What is live and what a rollback would return to always stay. What can never or should not
        serve again goes first, then the oldest.
        """
        with self._folder.locked():
            with self._database.reading() as session:
                going = [row.sha256 for row in self._prunable(session, keep)]
            for sha256 in going:
                self._folder.set_aside(sha256)
                adapter_rows.forget(self._database, sha256, f"more than {keep} adapters")
                self._folder.finish_removals()
        return tuple(going)

    def bar_trained_on(
        self, session: Session, completion_ids: Collection[UUID], *, by: str, reason: str
    ) -> tuple[str, ...]:
        """Inside `session`, bar and retire every adapter trained on one of `completion_ids`.

        A live one gives way to the newest clean one that was live before it, or to the base. An
        adapter whose lineage cannot be read counts as touched. Returns the ids of barred adapters.
        """
        wanted = frozenset(completion_ids)
        touched = [
            row
            for row in session.scalars(select(AdapterRow).where(AdapterRow.barred_reason.is_(None)))
            if self._is_trained_on(row.sha256, wanted)
        ]
        was_live = adapter_rows.find_live(session)
        for row in touched:
            adapter_rows.bar(session, row, by, reason)
        if was_live is not None and was_live in touched:
            self._fall_back(session, was_live, by, reason)
        return tuple(row.sha256 for row in touched)

    def _fall_back(self, session: Session, was_live: AdapterRow, by: str, reason: str) -> None:
        """Make live what a rollback from `was_live`, no longer live, leads to."""
        session.flush()
        target = self._rollback_target(session, was_live, None)
        if target is not None:
            target.state = AdapterState.LIVE
        sha256 = target.sha256 if target else None
        adapter_rows.note(session, "rolled back", sha256, was_live.sha256, by, reason)

    def _refuse_closed(self, session: Session, row: AdapterRow) -> None:
        """Raise RegistryError when this adapter must never serve.

        A kill may have kept a night from barring what was erased while it trained.
        """
        adapter_rows.refuse_barred(row)
        lineage = adapter_files.lineage(self._folder.path(row.sha256))
        if row.promoted_at is None and closed_ids(session, lineage):
            why = adapter_repair.CLOSED
            raise RegistryError(f"adapter {adapter_rows.short(row)} must not serve: {why}")

    def _is_trained_on(self, sha256: str, completion_ids: frozenset[UUID]) -> bool:
        try:
            return not completion_ids.isdisjoint(adapter_files.lineage(self._folder.path(sha256)))
        except AdapterError as error:
            _log.warning("adapter %s counts as touched: %s", sha256[:12], error)
            return True

    def _rollback_target(
        self, session: Session, live: AdapterRow | None, to: str | None
    ) -> AdapterRow | None:
        if to == BASE:
            return None
        if to is not None:
            row = adapter_rows.find(session, to)
            if row.promoted_at is None:
                raise RegistryError(
                    f"adapter {adapter_rows.short(row)} was never live: promote it instead"
                )
            adapter_rows.refuse_barred(row)
            self._check(row)
            return row
        for row in adapter_rows.earlier(session, live):
            try:
                self._check(row)
            except AdapterError as error:
                _log.warning("rollback passes over adapter %s: %s", adapter_rows.short(row), error)
            else:
                return row
        return None

    def _check(self, row: AdapterRow) -> None:
        adapter_files.check(
            self._folder.path(row.sha256),
            base_sha256=row.base_sha256,
            expected_sha256=row.sha256,
        )

    def _prunable(self, session: Session, keep: int) -> Sequence[AdapterRow]:
        live = adapter_rows.find_live(session)
        canary = adapter_rows.find_canary(session)
        kept = [live, canary, *adapter_rows.earlier(session, live)[:1]]
        protected = {row.sha256 for row in kept if row}
        rows = [
            row
            for row in session.scalars(select(AdapterRow).order_by(AdapterRow.registered_at.desc()))
            if row.sha256 not in protected
        ]
        rows.sort(
            key=lambda row: row.barred_reason is not None or row.state == AdapterState.REJECTED
        )
        return rows[max(keep - len(protected), 0) :]

    def _record(self, row: AdapterRow) -> AdapterRecord:
        return AdapterRecord(
            sha256=row.sha256,
            state=AdapterState(row.state),
            path=self._folder.path(row.sha256),
            base_model=row.base_model,
            run_id=row.run_id,
            created_at=row.created_at,
            promoted_at=row.promoted_at,
            promoted_by=row.promoted_by,
            reason=row.reason,
            metrics=row.metrics,
            base_sha256=row.base_sha256,
            barred=row.barred_reason,
            canary_share=row.canary_share,
        )


def _require(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise RegistryError("a change of what serves needs who makes it and why: name both")
