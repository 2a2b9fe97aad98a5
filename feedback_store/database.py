"""Turns a database URL into an open, migrated database with short transactions.

SQLite and PostgreSQL behave alike here: one session writes at a time, except those that append
facts on PostgreSQL (`appending`); readers see one snapshot and wait for nobody. What is particular
to an engine stands in `sqlite_file` and `postgres`. This module knows nothing of events, outcomes
or adapters.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import isfinite
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from feedback_store import postgres, sqlite_file
from feedback_store.errors import DatabaseError, DatabaseFullError, EventError

_ENGINES = {"sqlite": sqlite_file, "postgresql": postgres}
_VERSION_TABLE = "alembic_version"
_ALEMBIC = threading.Lock()  # its context is the whole process's
_NUM_CONNECTIONS = 40  # as many as threads that answer requests; opened when needed

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
        particular = _ENGINES[url.get_backend_name()]
        self._reading = self._engine.execution_options(**particular.READING)
        self._appending = self._engine.execution_options(**particular.APPENDING)
        # Threads that wait for SQLite's own lock look for it now and then, in no order.
        self._turn = nullcontext() if self.is_postgresql else sqlite_file.Turn(_shown(url))

    @classmethod
    def open(cls, url: str, *, migrate: bool = True) -> "Database":
        """Open `url`, create or migrate its tables, and return it.

        DatabaseError: not a database, not ours, damaged, newer than this Hone, not writable, or
        (with `migrate=False`) older than this Hone.
        """
        parsed = _parse(url)
        database = cls(parsed)
        try:
            with _opening(parsed), _told(parsed):
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

    @property
    def is_postgresql(self) -> bool:
        """Whether a PostgreSQL server keeps the rows; SQLite otherwise."""
        return self._parsed.get_backend_name() == "postgresql"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a writing session: committed when the block ends, rolled back when it raises."""
        with self._turn, _told(self._parsed), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def appending(self) -> Iterator[Session]:
        """Yield a writing session that may run beside others of its kind on PostgreSQL.

        It must call `known.lock_completions` before it reads anything that it decides by.
        """
        begin = Session(self._appending)
        with self._turn, _told(self._parsed), begin as session, session.begin():
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
                if self.is_postgresql:
                    connection.driver_connection.autocommit = True  # type: ignore[union-attr]
                yield connection.cursor()
            finally:
                connection.detach()  # The next one must find a connection as it was.
                connection.close()

    def close(self) -> None:
        """Close every connection; harmless when closed already."""
        self._engine.dispose()

    def _bring_up_to_date(self, migrate: bool) -> None:
        if not self.is_postgresql:
            with self.maintaining() as cursor:
                sqlite_file.set_file_modes(cursor, _shown(self._parsed))
        with self._engine.begin() as connection:
            if self.is_postgresql:
                postgres.check_server(connection, _shown(self._parsed))
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
            with _ALEMBIC:
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
            f"database URL {url!r} is not understood ({error}): write sqlite:///FILE or "
            "postgresql+psycopg://USER@HOST/NAME"
        ) from error
    if parsed.get_backend_name() not in _ENGINES:
        raise DatabaseError(
            f"database {_shown(parsed)} is neither SQLite nor PostgreSQL: Hone knows these two"
        )
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
    kept: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        kept = {"pool_pre_ping": True}  # a server may have been restarted
    try:
        # Parameters are other people's source code: they stay out of error messages. Decoding
        # token ids is most of reading a window, and this decoder is the quicker one.
        engine = create_engine(
            url,
            hide_parameters=True,
            json_serializer=_compact_json,
            json_deserializer=from_json,
            pool_size=5,
            max_overflow=_NUM_CONNECTIONS - 5,
            **kept,
        )
    except ImportError as error:
        raise DatabaseError(
            f"no driver for database {_shown(url)}: {error}: pip install 'hone[postgres]'"
        ) from error
    _ENGINES[url.get_backend_name()].set_up(engine)
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


def _opening(url: URL) -> AbstractContextManager[None]:
    """Let one process at a time create or migrate the database."""
    path = _path(url)
    return nullcontext() if path is None else sqlite_file.opening(path)


@contextmanager
def _told(url: URL) -> Iterator[None]:
    """Turn what the driver says into one line of ours, without the values it was given."""
    try:
        yield
    except DataError as error:  # PostgreSQL looks at values more closely than SQLite
        raise EventError(f"a value fits no column: {_said(error)}") from error
    except (DBAPIError, sqlite3.Error, PoolTimeoutError) as error:
        said = _said(error)
        full = any(sign in said for sign in _FULL)
        raise (DatabaseFullError if full else DatabaseError)(
            f"database {_shown(url)}: {said}{_advice(said)}"
        ) from error
    except CommandError as error:
        raise DatabaseError(f"database {_shown(url)} cannot be migrated: {error}") from error


def _said(error: Exception) -> str:
    """Return the driver's first line: what follows it may quote values."""
    told = error.orig if isinstance(error, DBAPIError) else error
    return (str(told).strip() or type(told).__name__).splitlines()[0]


_FULL = ("disk is full", "No space left")
_ADVICE = (
    ("malformed", "restore it from a backup or move it away"),
    ("not a database", "move it away or restore it from a backup"),
    ("unable to open", "check that the folder exists and can be written"),
    ("readonly", "check its owner and rights"),
    ("read-only", "connect to the primary server, or allow writing"),
    ("permission denied", "grant this user what Hone needs, or make it the owner"),
    ("locked", "another process wrote for over 10 s, stop it"),
    ("lock timeout", "another process wrote for over 10 s, stop it"),
    ("connection to server", "is the server running, and the URL right?"),
    *((sign, "make room on the disk") for sign in _FULL),
)


def _advice(said: str) -> str:
    return next((f": {advice}" for sign, advice in _ADVICE if sign in said), "")


def damage(database: Database) -> str | None:
    """Return SQLite's first complaint about the whole file, or None when it is sound.

    Reads everything: some seconds per gigabyte. For `hone doctor`.
    """
    if database.path is None:
        return None
    with database.reading() as session:
        said = session.execute(text("PRAGMA quick_check(1)")).scalar()
    return None if said == "ok" else str(said)
