"""Turns a database URL into an open, migrated database with short transactions.

SQLite runs in WAL mode with synchronous=FULL: what a session committed survives `kill -9` and a
power cut. Writing sessions take SQLite's write lock when they begin (BEGIN IMMEDIATE), because a
transaction that reads first and writes later is refused at once, without waiting, when another
process wrote in between. This module knows nothing of events, outcomes or adapters.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock, Timeout
from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from feedback_store.errors import DatabaseError

BUSY_TIMEOUT_MS = 10_000
_LOCK_TIMEOUT_SECONDS = 60
_VERSION_TABLE = "alembic_version"

_log = logging.getLogger(__name__)


def default_url(data: Path) -> str:
    """Return the URL of the embedded database in the data folder `data`."""
    return URL.create("sqlite", database=str(data / "hone.db")).render_as_string()


class Database:
    """An open database. Thread-safe; sessions are not, so take one per task."""

    def __init__(self, url: URL) -> None:
        """Prepare connections; `open` is the way in, since it also checks and migrates."""
        self._parsed = url
        self._engine = _engine(url)
        self._reading = self._engine.execution_options(hone_begin="DEFERRED")

    @classmethod
    def open(cls, url: str, *, migrate: bool = True) -> "Database":
        """Open `url`, create or migrate its tables, and return it.

        DatabaseError: not a database, not ours, damaged, newer than this Hone, not writable, or
        (with `migrate=False`) older than this Hone.
        """
        parsed = _parse(url)
        database = cls(parsed)
        try:
            with _lock(parsed):
                _prepare_file(parsed)
                with _told(parsed):
                    database._bring_up_to_date(migrate)
        except BaseException:
            database.close()
            raise
        return database

    @property
    def url(self) -> str:
        """The URL, password included: hand it to children, never to a log."""
        return self._parsed.render_as_string(hide_password=False)

    @property
    def path(self) -> Path | None:
        """The SQLite file, or None for a database server."""
        return _path(self._parsed)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, for schema tools and vacuuming; transactions use `session`."""
        return self._engine

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a writing session: committed when the block ends, rolled back when it raises."""
        with _told(self._parsed), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session on one consistent snapshot that never waits for writers."""
        with _told(self._parsed), Session(self._reading) as session, session.begin():
            yield session

    @contextmanager
    def maintaining(self) -> Iterator[DBAPICursor]:
        """Yield a bare cursor outside any transaction, for vacuuming and the like."""
        with _told(self._parsed):
            connection = self._engine.raw_connection()
            try:
                yield connection.cursor()
            finally:
                connection.close()

    def close(self) -> None:
        """Close every connection; harmless when closed already."""
        self._engine.dispose()

    def _bring_up_to_date(self, migrate: bool) -> None:
        if self._parsed.get_backend_name() == "sqlite":
            with self.maintaining() as cursor:
                _set_file_modes(cursor, _shown(self._parsed))
        with self._engine.begin() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
            _refuse_foreign(connection, current, _shown(self._parsed))
            known = _script().get_current_head()
            if current == known:
                return
            if not migrate:
                raise DatabaseError(
                    f"database {_shown(self._parsed)} is at revision {current}, this Hone needs "
                    f"{known}: start `hone serve` once to migrate it"
                )
            command.upgrade(_config(connection), "head")
        _log.info("database %s migrated from %s to %s", _shown(self._parsed), current, known)


def migration_config(connection: Connection) -> Config:
    """Return Alembic's configuration for `connection`, for schema tools and tests."""
    return _config(connection)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise DatabaseError(
            f"database URL {url!r} is not understood ({error}): write sqlite:///FILE"
        ) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DatabaseError(f"database {url!r} lives in memory: name a file, sqlite:///FILE")
    return parsed


def _path(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database is None:
        return None
    return Path(url.database)


def _shown(url: URL) -> str:
    return str(_path(url) or url.render_as_string(hide_password=True))


def _engine(url: URL) -> Engine:
    # Parameters are other people's source code: they stay out of error messages.
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, hide_parameters=True)
        # Decoding token ids is most of reading a window, and this decoder is the quicker one.
        engine = create_engine(
            url, hide_parameters=True, json_serializer=_compact_json, json_deserializer=from_json
        )
    except ImportError as error:
        raise DatabaseError(f"no driver for database {_shown(url)}: {error}") from error
    event.listen(engine, "connect", _set_connection_modes)
    event.listen(engine, "begin", _begin)
    return engine


def _compact_json(value: Any) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), separators=(",", ":"))


def _finite(value: Any) -> Any:
    """Return `value` with None for NaN and infinity, which JSON cannot say."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


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


def _set_file_modes(cursor: DBAPICursor, name: str) -> None:
    # Only an empty file takes this, and only before WAL mode writes its first page.
    cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
    cursor.execute("PRAGMA journal_mode = WAL")
    mode = cursor.fetchone()
    if mode is None or mode[0] != "wal":
        raise DatabaseError(
            f"database {name} stays in journal mode {mode}, Hone needs WAL: put it on a local disk"
        )


def _refuse_foreign(connection: Connection, current: str | None, name: str) -> None:
    tables = set(inspect(connection).get_table_names())
    if current is None and tables - {_VERSION_TABLE}:
        raise DatabaseError(
            f"database {name} holds other tables ({', '.join(sorted(tables)[:3])}): "
            "give Hone a database of its own"
        )
    script = _script()
    known = {step.revision for step in script.walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseError(
            f"database {name} is at revision {current}, this Hone knows up to "
            f"{script.get_current_head()}: upgrade Hone or use another database"
        )


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", "feedback_store:migrations")
    config.attributes["connection"] = connection
    return config


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


@contextmanager
def _lock(url: URL) -> Iterator[None]:
    """Let one process at a time create or migrate a SQLite file."""
    path = _path(url)
    if path is None:
        yield
        return
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
        yield
    finally:
        lock.release()


def _prepare_file(url: URL) -> None:
    """Create the file readable by its owner only; refuse one that lost its end."""
    path = _path(url)
    if path is None:
        return
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


@contextmanager
def _told(url: URL) -> Iterator[None]:
    """Turn what the driver says into one line of ours, without the values it was given."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        said = str(error.orig if isinstance(error, DBAPIError) else error)
        raise DatabaseError(f"database {_shown(url)}: {said}{_advice(said)}") from error
    except CommandError as error:
        raise DatabaseError(f"database {_shown(url)} cannot be migrated: {error}") from error


def _advice(said: str) -> str:
    for sign, advice in (
        ("malformed", "restore it from a backup or move it away"),
        ("not a database", "move it away or restore it from a backup"),
        ("unable to open", "check that the folder exists and can be written"),
        ("readonly", "check its owner and rights"),
        ("locked", f"another process wrote for over {BUSY_TIMEOUT_MS // 1000} s, stop it"),
        ("full", "make room on the disk"),
    ):
        if sign in said:
            return f": {advice}"
    return ""


def damage(database: Database) -> str | None:
    """Return SQLite's first complaint about the whole file, or None when it is sound.

    Reads everything: some seconds per gigabyte. For `hone doctor`.
    """
    if database.path is None:
        return None
    with database.reading() as session:
        said = session.execute(text("PRAGMA quick_check(1)")).scalar()
    return None if said == "ok" else str(said)
