"""Turns connections to a PostgreSQL server into ones that write as safely as on SQLite.

SQLite lets one session write at a time, and everything that reads before it writes relies on that.
Here an advisory lock says the same: a writing session holds it alone. Only those that append facts
share it, and each then locks the completions that it touches (`lock_completions`), so that hosts
ingest side by side and no fold misses an event. The locks end with the transaction. This module
knows nothing of our tables.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from feedback_store.errors import DatabaseError

LOCK_TIMEOUT_MS = 10_000
OLDEST_VERSION = 150_000  # as server_version_num says it
READING = {"hone_begin": None, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
APPENDING = {"hone_begin": "SELECT pg_advisory_xact_lock_shared(hashtext('hone writes'))"}
_ALONE = "SELECT pg_advisory_xact_lock(hashtext('hone writes'))"
_NUM_LOCKS = 256  # a server has room for some thousands of locks in all
_LOCK_EACH = text(
    "SELECT pg_advisory_xact_lock(hashtext('hone completions'), number) "
    "FROM unnest(CAST(:numbers AS integer[])) AS number"
)


def set_up(engine: Engine) -> None:
    """Give every connection of `engine` its limits, and every writing session its lock."""
    event.listen(engine, "connect", _set_connection_modes)
    event.listen(engine, "begin", _begin)


def check_server(connection: Connection, name: str) -> None:
    """Raise DatabaseError when the server is too old, or keeps text in another encoding."""
    version = int(connection.scalar(text("SHOW server_version_num")) or 0)
    if version < OLDEST_VERSION:
        raise DatabaseError(
            f"database {name} is PostgreSQL {version // 10_000}, Hone needs "
            f"{OLDEST_VERSION // 10_000} or newer: upgrade the server"
        )
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise DatabaseError(
            f"database {name} keeps text as {encoding}: create it with ENCODING 'UTF8'"
        )


def lock_completions(session: Session, completion_ids: Iterable[UUID]) -> None:
    """Make every other appending session that touches one of `completion_ids` wait for this one.

    Everybody takes locks in the same order, so that no two wait for each other.
    """
    numbers = sorted({completion_id.int % _NUM_LOCKS for completion_id in completion_ids})
    if numbers:
        session.execute(_LOCK_EACH, {"numbers": numbers})


def _set_connection_modes(connection: Any, _record: Any) -> None:
    connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
    # A plan made while a table was small reads all of it for every batch once it is not.
    connection.execute("SET plan_cache_mode = force_custom_plan")
    # Else it tells times at the ends of the calendar as no parser knows them.
    connection.execute("SET TIME ZONE 'UTC'")
    # What is acknowledged must be on disk, also where the server's default says otherwise.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()


def _begin(connection: Connection) -> None:
    lock = connection.get_execution_options().get("hone_begin", _ALONE)
    if lock:
        connection.exec_driver_sql(lock)
