"""Turns batches of events that arrive side by side into few transactions, or says "not so fast".

Whoever comes first writes; those who come meanwhile are written together by the next, with one
wait for the disk instead of one each. Only so much may wait: beyond that a batch is turned away
before any work is done for it. Knows nothing of HTTP.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil
from time import monotonic

from feedback_store import events
from feedback_store.database import Database
from feedback_store.errors import BusyError
from feedback_store.events import CheckedBatch
from feedback_store.schemas import IngestReport
from feedback_store.stand_ins import StandIns

MAX_WAITING = 64  # batches
MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_EVENTS_AT_ONCE = 1_000
MAX_RETRY_SECONDS = 30


class Intake:
    """The way of events into one database. Thread-safe."""

    def __init__(self, database: Database, stand_ins: StandIns | None = None) -> None:
        """Write into `database`, with `stand_ins` in the place of every text."""
        self._database, self._stand_ins = database, stand_ins
        self._guard = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._num_inside = self._num_bytes = 0
        self._took_s = 0.0  # the last transaction

    def check_room(self) -> None:
        """Raise BusyError when nothing more is let in now."""
        if self._num_inside >= MAX_WAITING or self._num_bytes >= MAX_WAITING_BYTES:
            wait_s = min(MAX_RETRY_SECONDS, max(1, ceil(2 * self._took_s)))
            raise BusyError(
                f"{self._num_inside} batches wait to be written: send this one again later", wait_s
            )

    @contextmanager
    def place(self, num_bytes: int) -> Iterator[None]:
        """Hold a place for a batch of `num_bytes` while the block lasts; BusyError without one."""
        with self._guard:
            self.check_room()
            self._num_inside += 1
            self._num_bytes += num_bytes
        try:
            yield
        finally:
            with self._guard:
                self._num_inside -= 1
                self._num_bytes -= num_bytes

    def append(self, items: Sequence[object]) -> IngestReport:
        """Store a batch as `events.append` does, together with others that come meanwhile."""
        mine = _Waiting(events.check(items, self._stand_ins))
        with self._guard:
            self._waiting.append(mine)
        with self._turn:
            while mine.report is None and mine.error is None:
                self._write()
        if mine.report is None:
            assert mine.error is not None
            raise mine.error
        return mine.report

    def _write(self) -> None:
        """Write what waits, oldest first, in one transaction."""
        with self._guard:
            num_events = num = 0
            while num < len(self._waiting) and num_events < MAX_EVENTS_AT_ONCE:
                num_events += len(self._waiting[num].batch)
                num += 1
            group, self._waiting = self._waiting[:num], self._waiting[num:]
        begun = monotonic()
        try:
            reports = events.store_batches(
                self._database, [one.batch for one in group], datetime.now(UTC)
            )
            for one, report in zip(group, reports, strict=True):
                one.report = report
        except Exception as error:
            for one in group:
                one.error = error
        self._took_s = monotonic() - begun


class _Waiting:
    """A batch that waits, until it has a report or an error."""

    def __init__(self, batch: CheckedBatch) -> None:
        self.batch = batch
        self.report: IngestReport | None = None
        self.error: Exception | None = None
