"""Turns events into lines on disk, and keeps them there until the store has them.

One locked file per process, private to its user. What was put survives the death of the process;
files of dead processes are adopted. Delivery is at least once: after a crash an event may be sent
again, and the store knows it by its id. This module knows nothing of HTTP or of what events mean.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from feedback_store.schemas import MAX_BATCH_EVENTS, Event, IngestReport
from lsp_server.editor.errors import OutboxError

SYNC_INTERVAL_S = 1.0  # against power cuts; the death of the process alone loses nothing anyway
MAX_BATCH_BYTES = 2_000_000  # well under what the store accepts in one request
KEPT_SHARE = 0.9  # of the cap that is left when it was exceeded, so that not every put drops
REFUSED_SHARE = 0.125  # of the cap, for the refused events
READ_BYTES = 256 * 1024
LOCK_WAIT_S = 5.0
REFUSED_NAME = "refused.jsonl"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """The oldest events that wait; `ends` says where the line of each ends, ever counted up."""

    events: tuple[dict[str, object], ...]
    ends: tuple[int, ...]


class Outbox:
    """Events on their way. Safe to use from several threads; nothing touches the disk before `put`.

    Raises `OutboxError` where the folder or file cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` counts seconds and only spaces out syncing to disk."""
        self.folder = folder
        self.num_dropped = 0  # events given up for the size cap, in this process
        self._max_bytes = max_bytes
        self._clock = clock
        self._guard = threading.RLock()
        self._file: FileIO | None = None
        self._lock: FileLock | None = None
        self._path = folder / f"events-{os.getpid()}-{uuid4().hex[:12]}.jsonl"
        self._base = 0  # bytes that compaction took off the front of the file so far
        self._head = 0  # where the first waiting event starts, counted like `Batch.ends`
        self._end = 0
        self._synced_s = -SYNC_INTERVAL_S
        self._was_full = False

    def put(self, events: Sequence[Event]) -> None:
        """Append events; when this returns they survive the death of the process."""
        if not events:
            return
        lines = [event.model_dump_json(exclude_none=True).encode() + b"\n" for event in events]
        with self._guard:
            self._append(lines)

    def peek(self, max_events: int = MAX_BATCH_EVENTS) -> Batch:
        """Return the oldest waiting events without taking them away."""
        with self._guard:
            while True:
                batch, position = self._batch(max_events)
                if batch.events or position == self._head:
                    return batch
                self._forget_until(position)  # Nothing but damage stood there.

    def acknowledge(self, batch: Batch, report: IngestReport) -> None:
        """Let go of the events reported on; what the store refused is kept aside with its reason.

        A report shorter than the batch leaves the rest waiting.
        """
        answered = list(zip(batch.events, batch.ends, report.items, strict=False))
        refused = [(e, item.reason) for e, _, item in answered if item.status == "refused"]
        with self._guard:
            if refused:
                self._set_aside(refused)
            if answered:
                self._forget_until(answered[-1][1])

    def adopt(self) -> int:
        """Take over the files that dead processes left; return the number of events in them."""
        if not self.folder.is_dir():
            return 0
        num_events = 0
        for path in sorted(self.folder.glob("events-*.jsonl"), key=_age_of):
            if path != self._path:
                num_events += self._adopt(path)
        if num_events:
            logger.info("took over %d events of earlier processes", num_events)
        return num_events

    def close(self) -> None:
        """Sync, and leave nothing behind if nothing waits. The outbox can be used again."""
        with self._guard:
            if self._file is None:
                return
            self._compact()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            if self._end == self._base:
                self._path.unlink(missing_ok=True)
            _release(self._lock)
            if self._end == self._base:
                _lock_path(self._path).unlink(missing_ok=True)
            self._lock = None

    def _append(self, lines: Sequence[bytes]) -> None:
        file = self._opened()
        payload = b"".join(lines)
        try:
            file.seek(self._end - self._base)
            _write_all(file, payload)
        except OSError as error:
            with suppress(OSError):  # Half a line must not swallow the next one.
                file.truncate(self._end - self._base)
            raise OutboxError(
                f"{len(lines)} events cannot be written to {self._path}: {error}; is the disk full?"
            ) from error
        self._end += len(payload)
        self._respect_cap()
        now_s = self._clock()
        if now_s - self._synced_s >= SYNC_INTERVAL_S:
            self._synced_s = now_s
            os.fsync(self._opened().fileno())

    def _opened(self) -> FileIO:
        """Return this process's file, made and locked on first use."""
        if self._file is not None:
            return self._file
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock_of(self._path)
            self._lock.acquire(timeout=LOCK_WAIT_S)
            self._file = _open_private(self._path)
        except (OSError, Timeout) as error:
            _release(self._lock)
            raise OutboxError(
                f"the outbox file {self._path} cannot be opened: {error}; is the folder writable?"
            ) from error
        self._base = self._head = 0
        self._end = os.fstat(self._file.fileno()).st_size
        return self._file

    def _batch(self, max_events: int) -> tuple[Batch, int]:
        """Return the next batch, and the position up to which lines were looked at."""
        events: list[dict[str, object]] = []
        ends: list[int] = []
        position = self._head
        for line in self._lines(position):
            too_large = position + len(line) - self._head > MAX_BATCH_BYTES
            if events and (len(events) >= max_events or too_large):
                break
            position += len(line)
            if (event := _parsed(line)) is not None:
                events.append(event)
                ends.append(position)
        return Batch(tuple(events), tuple(ends)), position

    def _lines(self, position: int) -> list[bytes]:
        """Return whole lines from `position` on, enough for one batch."""
        if self._file is None:
            return []
        size = min(self._end - position, MAX_BATCH_BYTES + READ_BYTES)
        self._file.seek(position - self._base)
        data = _read(self._file, size)
        while b"\n" not in data and position + len(data) < self._end:
            data += _read(self._file, READ_BYTES)
        return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)

    def _forget_until(self, position: int) -> None:
        """Everything before `position` is done; it leaves the disk soon."""
        self._head = max(self._head, min(position, self._end))
        num_done, num_waiting = self._head - self._base, self._end - self._head
        if num_done and num_done >= num_waiting:  # Hence copying costs no more than it frees.
            self._compact()

    def _compact(self) -> None:
        """Cut off what is done: the file is rewritten beside itself and put in its place."""
        if self._file is None or self._head == self._base:
            return
        if self._head == self._end:
            self._file.truncate(0)
        else:
            self._rewrite(self._file)
        self._base = self._head

    def _rewrite(self, old: FileIO) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with _open_private(fresh) as new:
            old.seek(self._head - self._base)
            while data := old.read(READ_BYTES):
                _write_all(new, data)
            os.fsync(new.fileno())
        old.close()  # Windows replaces no open file.
        try:
            os.replace(fresh, self._path)
        finally:
            self._file = _open_private(self._path)

    def _respect_cap(self) -> None:
        """Give up the oldest events when too much waits: the newest teach most."""
        if self._end - self._head <= self._max_bytes:
            self._was_full = self._was_full and self._end - self._head > self._max_bytes // 2
            return
        position, num_dropped = self._head, 0
        while self._end - position > self._max_bytes * KEPT_SHARE:
            lines = self._lines(position)
            if not lines:
                position = self._end
            for line in lines:
                if self._end - position <= self._max_bytes * KEPT_SHARE:
                    break
                position += len(line)
                num_dropped += 1
        self.num_dropped += num_dropped
        if not self._was_full:
            logger.warning(
                "the outbox %s is full (%d bytes): the oldest events are dropped, %d so far; "
                "is the host reachable?",
                self._path,
                self._max_bytes,
                self.num_dropped,
            )
        self._was_full = True
        self._head = position
        self._compact()

    def _set_aside(self, refused: Sequence[tuple[dict[str, object], str | None]]) -> None:
        """Append refused events to the folder's one file of them, the newest if it grows large."""
        path = self.folder / REFUSED_NAME
        lines = b"".join(
            json.dumps({"reason": reason, "event": event}).encode() + b"\n"
            for event, reason in refused
        )
        limit = int(self._max_bytes * REFUSED_SHARE)
        try:
            with _lock_of(path).acquire(timeout=LOCK_WAIT_S), _open_private(path) as file:
                size = file.seek(0, os.SEEK_END)
                if size + len(lines) > limit:
                    file.seek(max(0, size - limit // 2))
                    kept = file.read()
                    kept = kept[kept.find(b"\n") + 1 :] if size > limit // 2 else kept
                    file.truncate(0)
                    file.seek(0)
                    _write_all(file, kept)
                _write_all(file, lines)
        except (OSError, Timeout) as error:
            raise OutboxError(f"refused events cannot be kept in {path}: {error}") from error
        logger.warning("the store refused %d events, kept in %s", len(refused), path)

    def _adopt(self, path: Path) -> int:
        """Move the events of an unlocked file into ours; whoever holds its lock has it."""
        lock = _lock_of(path)
        try:
            lock.acquire(timeout=0)
        except (OSError, Timeout):
            return 0
        try:
            if not path.exists():  # Somebody else adopted it since we looked.
                return 0
            num_events = self._copy_from(path)
            path.unlink()
            path.with_suffix(".new").unlink(missing_ok=True)
            return num_events
        except OSError as error:
            logger.warning("the outbox file %s cannot be taken over: %s", path, error)
            return 0
        finally:
            _release(lock)
            if not path.exists():
                with suppress(OSError):
                    _lock_path(path).unlink(missing_ok=True)

    def _copy_from(self, path: Path) -> int:
        """Append the whole lines of a file to ours, on disk when this returns."""
        num_events = 0
        with path.open("rb") as left, self._guard:
            while lines := left.readlines(READ_BYTES):
                whole = [line for line in lines if _parsed(line) is not None]
                if whole:
                    self._append(whole)
                num_events += len(whole)
            if self._file is not None:
                os.fsync(self._file.fileno())
        return num_events


def _parsed(line: bytes) -> dict[str, object] | None:
    """Return the event of a line; None for a line that a dying process left torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _age_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _lock_of(path: Path) -> FileLock:
    # Locks are taken in one thread and may be released in another.
    return FileLock(_lock_path(path), thread_local=False, mode=0o600)


def _release(lock: FileLock | None) -> None:
    if lock is not None:
        with suppress(OSError):
            lock.release()


def _open_private(path: Path) -> FileIO:
    """Open for reading and writing, made if need be, for nobody but its owner."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
    descriptor = os.open(path, flags, 0o600)
    with suppress(OSError):  # Some file systems know no modes.
        path.chmod(0o600)
    return FileIO(descriptor, "r+")


def _write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]


def _read(file: FileIO, size: int) -> bytes:
    """Read up to `size` bytes; fewer only at the end of the file."""
    parts: list[bytes] = []
    while size > 0 and (data := file.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
