"""PostgreSQL in particular: its locks, its limits, and what it says when it will not do."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from postgres_server import PostgresServer
from sqlalchemy import text
from store_material import event, served, shown, wire

from feedback_store import postgres as engine
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.errors import DatabaseError, EventError
from feedback_store.events import append
from feedback_store.known import lock_completions
from feedback_store.outcomes import fold
from feedback_store.schemas import EARLIEST
from feedback_store.visits import load_window


@pytest.fixture
def engine_name() -> str:
    return "postgresql"


def check_refused(url: str, says: str) -> None:
    with pytest.raises(DatabaseError, match=says) as caught:
        Database.open(url)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_what_cannot_be_used_is_refused(postgres: PostgresServer) -> None:
    check_refused("postgresql+psycopg://me:hush@/x?host=/nowhere", "is the server running")
    check_refused(postgres.url("missing"), 'database "missing" does not exist')
    check_refused("mysql://me:hush@db/x", "neither SQLite nor PostgreSQL|no driver")
    name = postgres.new()
    with psycopg.connect(host=str(postgres.folder), user="hone", dbname=name) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    check_refused(postgres.url(name), r"holds other tables \(songs\)")


def test_text_in_another_encoding_is_refused(postgres: PostgresServer) -> None:
    postgres.run(
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 "
        "LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    check_refused(postgres.url("latin"), "keeps text as LATIN1: create it with ENCODING 'UTF8'")


def test_an_older_server_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "OLDEST_VERSION", 990_000)
    check_refused(database.url, r"is PostgreSQL \d+, Hone needs 99 or newer")


def test_many_may_open_a_new_database_at_once(postgres: PostgresServer) -> None:
    url = postgres.url(postgres.new())

    def open_it(_: int) -> None:
        Database.open(url).close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(open_it, range(4)))


def test_a_server_that_forgets_early_is_told_to_wait_for_its_disk(database: Database) -> None:
    name = database.url.partition("@/")[2].partition("?")[0]
    with database.maintaining() as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    again = Database.open(database.url)
    with again.reading() as session:
        assert session.scalar(text("SHOW synchronous_commit")) == "on"
    again.close()


def test_a_reader_sees_one_snapshot_and_cannot_write(database: Database) -> None:
    with database.reading() as session:
        count = text("SELECT count(*) FROM completions")
        assert session.scalar(count) == 0
        record_completions(database, [served()])
        assert session.scalar(count) == 0
        with pytest.raises(Exception, match="read-only transaction"):
            session.execute(text("DELETE FROM completions"))


def test_two_hosts_that_append_to_one_completion_wait_for_each_other(database: Database) -> None:
    """The second folds only once the first's event is there to be seen."""
    one, other = uuid4(), UUID(int=1)
    record_completions(database, [served(one)])
    events = [shown(one), event(one, "accepted", 1, source="explicit")]
    second = threading.Thread(target=append, args=(database, [wire(events[1])]))
    with database.appending() as session:
        lock_completions(session, [one])
        second.start()
        append(database, [wire(shown(other if one.int % 256 != 1 else UUID(int=2)))])  # no waiting
        second.join(0.2)
        assert second.is_alive()
    second.join(30)
    append(database, [wire(events[0])])
    (visit,) = load_window(database, since=EARLIEST)
    assert visit.outcome == fold(one, events)


def test_hosts_that_meet_at_the_same_completions_neither_lose_nor_block(
    database: Database,
) -> None:
    ids = [uuid4() for _ in range(40)]
    hosts = [database, Database.open(database.url), Database.open(database.url)]
    kinds = [("shown", {"text": "42"}), ("accepted", {}), ("dismissed", {}), ("undone", {})]

    def ingest(number: int) -> None:
        host, (kind, data) = hosts[number % 3], kinds[number % 4]
        order = ids if number % 2 else ids[::-1]
        for start in range(0, 40, 8):
            batch = [wire(event(one, kind, number % 4, **data)) for one in order[start : start + 8]]
            append(host, batch)
        record_completions(host, [served(one) for one in order])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ingest, range(12)))
    visits = load_window(database, since=EARLIEST)
    assert len(visits) == 40
    for visit in visits:
        one = visit.completion.request.completion_id
        told = [event(one, kind, n, **data) for n, (kind, data) in enumerate(kinds)]
        assert visit.outcome == fold(one, told)
    for host in hosts[1:]:
        host.close()


def test_a_lock_held_too_long_is_said(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOCK_TIMEOUT_MS", 50)
    impatient = Database.open(database.url)
    with database.session() as session:
        session.execute(text("SELECT 1"))  # The lock is taken with the first statement.
        with pytest.raises(DatabaseError, match=r"lock timeout.*another process wrote"):
            append(impatient, [wire(shown(uuid4()))])
    impatient.close()


def test_a_value_that_fits_no_column_is_said_without_it(database: Database) -> None:
    with pytest.raises(EventError, match="fits no column") as caught:
        record_completions(database, [served(arm="hush" * 20)])
    assert "hush" not in str(caught.value)


def test_a_restarted_server_is_found_again(database: Database) -> None:
    record_completions(database, [served()])
    with database.maintaining() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    record_completions(database, [served()])
    assert len(load_window(database, since=EARLIEST)) == 2
