"""Turns the path of a SQLite file into connections in the right modes, and refuses a torn file.

WAL mode with synchronous=FULL: what a session committed survives `kill -9` and a power cut.
Writing sessions take SQLite's write lock when they begin (BEGIN IMMEDIATE), because a transaction
that reads first and writes later is refused at once, without waiting, when another process wrote
in between. This module knows nothing of our tables.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPICursor

from feedback_store.errors import DatabaseError

BUSY_TIMEOUT_MS = 10_000
_LOCK_TIMEOUT_SECONDS = 60
READING = {"hone_begin": "DEFERRED"}  # a snapshot, which never waits for writers
APPENDING = {"hone_begin": "IMMEDIATE"}  # one writes at a time


class Turn:
    """Lets the threads of this process write one after another; DatabaseError after too long."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Wait for the others."""
        if not self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise DatabaseError(
                f"database {self._name} is locked: another thread wrote for over "
                f"{BUSY_TIMEOUT_MS // 1000} s"
            )

    def __exit__(self, *_: object) -> None:
        """Let the next one in."""
        self._lock.release()


def set_up(engine: Engine) -> None:
    """Make every connection of `engine` durable, and let us begin its transactions."""
    event.listen(engine, "connect", _set_connection_modes)
    event.listen(engine, "begin", _begin)


def set_file_modes(cursor: DBAPICursor, name: str) -> None:
    """Switch the file to WAL mode; DatabaseError where it cannot be."""
    # Only an empty file takes this, and only before WAL mode writes its first page.
    cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
    cursor.execute("PRAGMA journal_mode = WAL")
    mode = cursor.fetchone()
    if mode is None or mode[0] != "wal":
        raise DatabaseError(
            f"database {name} stays in journal mode {mode}, Hone needs WAL: put it on a local disk"
        )


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Let one process at a time create or migrate a file, which is there and whole inside."""
    if path.is_dir():
        raise DatabaseError(f"database {path} is a directory: name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock", timeout=_LOCK_TIMEOUT_SECONDS)
        lock.acquire()
    except Timeout as error:
        raise DatabaseError(
            f"database {path} is being migrated by another process for over "
            f"{_LOCK_TIMEOUT_SECONDS} s: wait for it, or stop it"
        ) from error
    except OSError as error:
        raise DatabaseError(
            f"database {path} cannot be written ({error.strerror}): choose another --data folder"
        ) from error
    try:
        _prepare(path)
        yield
    finally:
        lock.release()


def _set_connection_modes(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: `_begin` does, with the right lock.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "foreign_keys = ON",
        "synchronous = FULL",
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    how = connection.get_execution_options().get("hone_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {how}")


def _prepare(path: Path) -> None:
    """Create the file readable by its owner only; refuse one that lost its end."""
    try:
        path.touch(mode=0o600)
        with path.open("rb") as file:
            header = file.read(100)
        size = path.stat().st_size
    except OSError as error:
        raise DatabaseError(
            f"database {path} cannot be opened ({error.strerror}): check its owner and rights"
        ) from error
    if not header:
        return
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise DatabaseError(f"database {path} is not a SQLite file: move it away or restore it")
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    # The count of pages in the header is only valid when its two change counters agree, and
    # pages that are still in the write-ahead log may be missing from the file.
    counted = header[24:28] == header[92:96] and not Path(f"{path}-wal").exists()
    if counted and size < page_bytes * int.from_bytes(header[28:32], "big"):
        raise DatabaseError(
            f"database {path} is cut short ({size} bytes): restore it from a backup or move it away"
        )
