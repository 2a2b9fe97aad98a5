"""Opening: created, migrated, refused."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from feedback_store.database import Database, damage, default_url, migration_config
from feedback_store.errors import DatabaseError
from feedback_store.models import EventRow, Row, TrainingRunRow, UserRow


def check_refused(url: str, says: str) -> None:
    with pytest.raises(DatabaseError, match=says) as caught:
        Database.open(url)
    assert "\n" not in str(caught.value)


def filled(tmp_path: Path) -> Path:
    """Return a closed database that has some pages."""
    database = Database.open(default_url(tmp_path))
    with database.session() as session:
        for number in range(200):
            session.add(
                TrainingRunRow(
                    run_id=f"night-{number}",
                    status="x" * 16,
                    started_at=datetime.fromisoformat("2026-11-03T00:00:00Z"),
                    settings={},
                    metrics={},
                    decision={},
                    log_path="p" * 300,
                )
            )
    database.close()
    return tmp_path / "hone.db"


def add_rows(
    database: Database, rows: list[dict[str, object]], then: Exception | None = None
) -> None:
    with database.session() as session:
        session.execute(insert(TrainingRunRow), rows)
        if then:
            raise then


def look_at_everything(url: str) -> None:
    database = Database.open(url)
    try:
        if found := damage(database):
            raise DatabaseError(f"malformed: {found}")
    finally:
        database.close()


def test_the_tables_that_other_tools_rely_on_exist(database: Database) -> None:
    tables = set(inspect(database.engine).get_table_names())
    assert tables >= {
        "completions", "candidates", "events", "outcomes", "reviews", "preference_pairs",
        "adapters", "adapter_changes", "training_runs", "users", "tokens", "audit_log",
    }  # fmt: skip


def is_ours(name: str | None, _kind: str, _parents: object) -> bool:
    """The full-text index is the database's own: a virtual table, or an index of an expression."""
    return not (name or "").startswith("search_words")


def test_migrations_lead_exactly_to_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        opts = {"compare_type": True, "include_name": is_ours}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, Row.metadata) == []


def test_every_constraint_has_a_name_in_the_file(database: Database) -> None:
    found = inspect(database.engine)
    for table in Row.metadata.tables:
        names = [found.get_pk_constraint(table)["name"]]
        names += [key["name"] for key in found.get_foreign_keys(table)]
        names += [one["name"] for one in found.get_unique_constraints(table)]
        assert all(names), (table, names)


def test_every_step_goes_down_and_up_again(database: Database) -> None:
    with database.engine.begin() as connection:
        command.downgrade(migration_config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    database.close()
    again = Database.open(database.url)
    assert "events" in inspect(again.engine).get_table_names()
    again.close()


def test_users_go_and_come_back_empty_and_the_rest_stays(tmp_path: Path) -> None:
    database = Database.open(default_url(filled(tmp_path).parent))
    with database.engine.begin() as connection:
        command.downgrade(migration_config(connection), "0002")
        tables = set(inspect(connection).get_table_names())
        assert not tables & {"users", "tokens", "audit_log"}
        command.upgrade(migration_config(connection), "head")
    with database.reading() as session:
        assert session.scalars(select(UserRow.name)).all() == []
        assert len(session.scalars(select(TrainingRunRow.run_id)).all()) == 200
    database.close()


def test_an_older_database_is_migrated_with_its_rows(tmp_path: Path) -> None:
    file = filled(tmp_path)
    database = Database.open(default_url(tmp_path))
    with database.engine.begin() as connection:
        command.downgrade(migration_config(connection), "0001")
    with database.engine.connect() as connection:
        assert "erased_completions" not in inspect(connection).get_table_names()
    database.close()
    with pytest.raises(DatabaseError, match=r"revision 0001, this Hone needs \d+: start"):
        Database.open(f"sqlite:///{file}", migrate=False)
    database = Database.open(f"sqlite:///{file}")
    with database.reading() as session:
        assert len(session.scalars(select(TrainingRunRow.run_id)).all()) == 200
    assert damage(database) is None
    database.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    file = filled(tmp_path)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    check_refused(
        f"sqlite:///{file}", r"is at revision 9999, this Hone knows up to \d+: upgrade Hone or"
    )


def test_what_is_no_database_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database at all " * 100)
    check_refused(f"sqlite:///{tmp_path}/text.db", "is not a SQLite file")
    (tmp_path / "short.db").write_text("x")
    check_refused(f"sqlite:///{tmp_path}/short.db", "is not a SQLite file")
    check_refused(f"sqlite:///{tmp_path}", "is a directory: name a file")
    check_refused(f"sqlite:///{tmp_path}/text.db/hone.db", "cannot be written")
    check_refused("sqlite://", "lives in memory: name a file")
    check_refused("nonsense", "is not understood")
    check_refused("sqlight:///x", "is not understood")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    check_refused(f"sqlite:///{tmp_path}/other.db", "holds other tables .songs.")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_that_lost_its_end_is_refused(tmp_path: Path, share: float) -> None:
    file = filled(tmp_path)
    os.truncate(file, int(file.stat().st_size * share))
    check_refused(f"sqlite:///{file}", "cut short|malformed|not a SQLite file")


def test_a_file_overwritten_in_the_middle_is_found(tmp_path: Path) -> None:
    file = filled(tmp_path)
    content = bytearray(file.read_bytes())
    content[4096 * 3 :] = b"\xff" * (len(content) - 4096 * 3)
    file.write_bytes(content)
    with pytest.raises(DatabaseError, match="malformed"):
        look_at_everything(f"sqlite:///{file}")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    check_refused(default_url(tmp_path), "cannot be written|cannot be opened")


def test_the_file_is_durable_and_private(sqlite_database: Database) -> None:
    database = sqlite_database
    with database.reading() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA synchronous")) == 2
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
        assert session.scalar(text("PRAGMA busy_timeout")) == 10_000
        assert session.scalar(text("PRAGMA auto_vacuum")) == 2
    if os.name == "posix":
        assert database.path is not None
        assert database.path.stat().st_mode & 0o077 == 0


def test_a_session_commits_whole_or_not_at_all(database: Database) -> None:
    def count() -> int:
        with database.reading() as session:
            return len(session.scalars(select(TrainingRunRow.run_id)).all())

    row = {
        "run_id": "a", "status": "running", "settings": {}, "metrics": {}, "decision": {},
        "log_path": "", "started_at": datetime.fromisoformat("2026-11-03T00:00:00Z"),
    }  # fmt: skip
    with pytest.raises(KeyError):
        add_rows(database, [row], then=KeyError("something else goes wrong"))
    assert count() == 0
    add_rows(database, [row])
    assert count() == 1


def test_what_the_driver_says_is_one_line_without_the_values(database: Database) -> None:
    row = {
        "run_id": "hush", "status": "", "settings": {}, "metrics": {}, "decision": {},
        "log_path": "hush", "started_at": datetime.fromisoformat("2026-11-03T00:00:00Z"),
    }  # fmt: skip
    with pytest.raises(DatabaseError, match=r"(?i)unique") as caught:
        add_rows(database, [row, row])
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_threads_that_create_different_databases_do_not_mix_them_up(tmp_path: Path) -> None:
    """Two seeds of a replay do. Alembic keeps what it migrates in one place per process."""
    ready = threading.Barrier(4)
    failures: list[Exception] = []

    def create(number: int) -> None:
        ready.wait(10)
        try:
            Database.open(default_url(tmp_path / str(number))).close()
        except DatabaseError as error:
            failures.append(error)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_many_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    url = default_url(tmp_path / "new")
    problems: list[BaseException] = []

    def open_it() -> None:
        try:
            Database.open(url).close()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    code = f"from feedback_store.database import Database; Database.open({url!r}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert problems == []


def test_migrations_need_no_file_of_settings(tmp_path: Path) -> None:
    code = f"from feedback_store.database import Database; Database.open({default_url(tmp_path)!r})"
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60, env=_importable()
    )
    with sqlite3.connect(tmp_path / "hone.db") as connection:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.close()
    assert re.fullmatch(r"\d{4}", revision)


def test_the_tables_can_be_made_on_postgresql() -> None:
    for table in Row.metadata.sorted_tables:
        ddl = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert "TIMESTAMP WITHOUT" not in ddl
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=postgresql.dialect()))


def test_events_refer_to_completions_that_may_come_later(database: Database) -> None:
    assert not EventRow.__table__.foreign_keys


def _importable() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
