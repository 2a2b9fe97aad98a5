"""A database for each test of the store, on SQLite and on PostgreSQL.

A test that takes `database` runs on both. `store_material` holds what goes into it. Without an
installed PostgreSQL its half is skipped; `make test-postgres` installs it and insists on it
(TEST_POSTGRES=1), and TEST_POSTGRES=0 leaves it to that.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from postgres_server import WITHOUT, PostgresServer, programs, serving

from feedback_store.database import Database, default_url

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    wish = os.environ.get("TEST_POSTGRES", "")
    if wish == "0":
        pytest.skip("left to `make test-postgres`")
    if programs() is None and not wish:
        pytest.skip(WITHOUT)
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer) -> str:
    """The name of a database with all tables: copying it is quicker than migrating."""
    name = postgres.new()
    Database.open(postgres.url(name)).close()
    return name


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def database_url(engine_name: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database: on PostgreSQL with tables and no rows, on SQLite not made yet."""
    if engine_name == "sqlite":
        yield default_url(tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.new(request.getfixturevalue("migrated"))
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """For what is particular to SQLite's file."""
    opened = Database.open(default_url(tmp_path))
    yield opened
    opened.close()
