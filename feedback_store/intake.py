"""Turns batches of events that arrive side by side into few transactions, or says "not so fast".

One thread does all the work: several would only fight for the one interpreter. Batches that come
while it writes are written together next, with one wait for the disk instead of one each. Outcomes
are folded once nothing has come for a moment: the next batch mostly tells more of the completions
that this one told of. Only so much may wait: beyond that a batch is turned away before any work is
done for it. Knows nothing of HTTP.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil
from time import monotonic

from feedback_store import events, owed_folds
from feedback_store.database import Database
from feedback_store.errors import BusyError, StoreError
from feedback_store.schemas import IngestReport
from feedback_store.stand_ins import StandIns

MAX_WAITING = 64  # batches
MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_EVENTS_AT_ONCE = 1_000
MAX_RETRY_SECONDS = 30
QUIET_SECONDS = 0.1  # without a batch: then outcomes are folded
MAX_OWED_SECONDS = 5.0  # from then on some are folded after every write
FOLDS_PER_EVENT = 0.25  # so many then, and more the longer it lasts: batches wait little for them
MIN_FOLDS = 10  # then: each time costs a transaction

_log = logging.getLogger(__name__)


class Intake:
    """The way of events into one database. Thread-safe."""

    def __init__(self, database: Database, stand_ins: StandIns | None = None) -> None:
        """Write into `database`, with `stand_ins` in the place of every text."""
        self._database, self._stand_ins = database, stand_ins
        self._guard = threading.Condition()  # told of every batch that comes
        self._thread = ThreadPoolExecutor(1, "intake")
        self._waiting: deque[_Waiting] = deque()
        self._num_inside = self._num_bytes = 0
        self._took_s = 0.0  # the last transaction
        self._owes_since: float | None = None  # without a fold

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

    def submit(self, items: Callable[[], Sequence[object]]) -> "Future[IngestReport]":
        """Store the batch that `items` returns as `events.append` does, with others that wait.

        What `items` raises comes back by the future, like what storing raises.
        """
        mine = _Waiting(items)
        with self._guard:
            self._waiting.append(mine)
            self._guard.notify_all()
        self._thread.submit(self._write)
        return mine

    def _write(self) -> None:
        """Write what waits, then fold what is owed."""
        num_events = self._write_group()
        try:
            self._fold_owed(num_events)
        except StoreError:
            _log.exception("outcomes could not be folded: they will be a little later")

    def _fold_owed(self, num_events: int) -> None:
        """Fold some of what is owed when late, after `num_events` came; all when it is quiet."""
        lateness = self._lateness()
        if lateness >= 1 and (num_events or self._waiting):
            wanted = max(MIN_FOLDS, round(num_events * FOLDS_PER_EVENT * lateness))
            self._fold(min(wanted, owed_folds.MAX_AT_ONCE))
        if self._owes_since is not None and not self._comes_more():
            while self._fold(owed_folds.MAX_AT_ONCE) and not self._waiting:
                pass

    def _write_group(self) -> int:
        """Write what waits, oldest first, in one transaction; return how many events."""
        begun, group, num_events = monotonic(), list[_Checked](), 0
        while num_events < MAX_EVENTS_AT_ONCE and (one := self._next()):
            if not one.set_running_or_notify_cancel():
                continue  # nobody waits for it any more
            try:
                batch = events.check(one.items(), self._stand_ins)
            except Exception as error:
                one.set_exception(error)
                continue
            group.append((one, batch))
            num_events += len(batch)
        if not group:
            return 0
        try:
            batches = [batch for _, batch in group]
            reports = events.store_batches(
                self._database, batches, datetime.now(UTC), in_hurry=True
            )
        except Exception as error:
            for one, _ in group:
                one.set_exception(error)
        else:
            if self._owes_since is None:
                self._owes_since = begun
            for (one, _), report in zip(group, reports, strict=True):
                one.set_result(report)
        self._took_s = monotonic() - begun
        return num_events

    def _fold(self, limit: int) -> bool:
        """Fold at most `limit` of what is owed; return whether there is more."""
        is_more = owed_folds.fold_some(self._database, limit)
        if not is_more:
            self._owes_since = None
        return is_more

    def _lateness(self) -> float:
        """Return how long outcomes are owed, in `MAX_OWED_SECONDS`."""
        since = self._owes_since
        return 0.0 if since is None else (monotonic() - since) / MAX_OWED_SECONDS

    def _comes_more(self) -> bool:
        with self._guard:
            return self._guard.wait_for(lambda: bool(self._waiting), QUIET_SECONDS)

    def _next(self) -> "_Waiting | None":
        with self._guard:
            return self._waiting.popleft() if self._waiting else None


class _Waiting(Future[IngestReport]):
    """A batch that waits, until it has a report or an error."""

    def __init__(self, items: Callable[[], Sequence[object]]) -> None:
        super().__init__()
        self.items = items


_Checked = tuple[_Waiting, events.CheckedBatch]
