"""A database that is full, locked or read-only: a clear answer, and nothing half-written."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from postgres_server import PostgresServer
from sqlalchemy import event as engine_event
from sqlalchemy import func, select, text
from store_material import event, served, shown, wire

from feedback_store import api, postgres, sqlite_file
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.errors import DatabaseError, DatabaseFullError
from feedback_store.models import CandidateRow, CompletionRow, EventRow, OutcomeRow
from feedback_store.schemas import EARLIEST
from feedback_store.visits import load_window


def counts(database: Database) -> list[int]:
    with database.reading() as session:
        tables = (CompletionRow, CandidateRow, EventRow, OutcomeRow)
        return [session.scalar(select(func.count()).select_from(one)) or 0 for one in tables]


def check(database: Database, status: int, says: str, error: type[DatabaseError]) -> None:
    """Ingest and record in trouble: refused in one line, and nothing of it is there."""
    before = counts(database)
    app = FastAPI()
    app.include_router(api.routes(database))
    batch = [wire(shown(uuid4(), comment="hush" * 400)) for _ in range(200)]
    answer = TestClient(app).post("/v1/events", json={"events": batch})
    assert answer.status_code == status, answer.text[:200]
    assert says in answer.json()["detail"]
    assert "hush" not in answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    with pytest.raises(error, match=says):
        record_completions(database, [served(prefix="x" * 9000) for _ in range(50)])
    assert counts(database) == before


def check_well(database: Database) -> None:
    """Once the trouble is over the same store works again."""
    one = uuid4()
    record_completions(database, [served(one)])
    app = FastAPI()
    app.include_router(api.routes(database))
    answer = TestClient(app).post("/v1/events", json={"events": [wire(event(one, "dismissed"))]})
    assert answer.json()["items"][0]["status"] == "stored"
    assert one in {
        v.completion.request.completion_id for v in load_window(database, since=EARLIEST)
    }


@contextmanager
def with_pragma(database: Database, pragma: str) -> Iterator[None]:
    """Let every connection of the block begin with a PRAGMA."""

    def run(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA {pragma}")

    database.engine.dispose()
    engine_event.listen(database.engine, "connect", run)
    try:
        yield
    finally:
        engine_event.remove(database.engine, "connect", run)
        database.engine.dispose()


def test_a_full_disk(sqlite_database: Database) -> None:
    database = sqlite_database
    with database.reading() as session:
        pages = session.scalar(text("PRAGMA page_count")) or 0
    with with_pragma(database, f"max_page_count = {pages + 8}"):
        check(database, 507, "disk is full: make room on the disk", DatabaseFullError)
    check_well(database)


def test_a_read_only_file(sqlite_database: Database) -> None:
    with with_pragma(sqlite_database, "query_only = ON"):
        check(sqlite_database, 503, "readonly database: check its owner", DatabaseError)
    check_well(sqlite_database)


def test_a_server_where_we_may_only_read(postgres: PostgresServer, migrated: str) -> None:
    name = postgres.new(migrated)
    postgres.run("CREATE ROLE reader LOGIN IN ROLE pg_read_all_data")
    database = Database.open(postgres.url(name).replace("hone@", "reader@"))
    check(database, 503, "permission denied for table", DatabaseError)
    database.close()


def test_a_locked_database(
    database: Database, engine_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT_MS", 50)
    database.engine.dispose()
    if engine_name == "sqlite":
        assert database.path
        other = sqlite3.connect(database.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        check(database, 503, "locked: another process wrote", DatabaseError)
        other.close()
    else:
        other_host = Database.open(database.url)
        with other_host.session() as session:
            session.execute(text("SELECT 1"))
            check(database, 503, "lock timeout: another process wrote", DatabaseError)
        other_host.close()
    check_well(database)


def test_a_thread_that_writes_too_long(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 50)
    with sqlite_database.session():
        check(sqlite_database, 503, "locked: another thread wrote", DatabaseError)
    check_well(sqlite_database)
