"""A backup is the store as it was, on SQLite and on PostgreSQL."""

from pathlib import Path

import pytest
from alembic import command
from postgres_server import PostgresServer
from store_material import event, served, shown, wire

from feedback_store import audit, backup
from feedback_store.audit import Signed
from feedback_store.completions import record_completions
from feedback_store.database import Database, migration_config
from feedback_store.errors import BackupError
from feedback_store.events import append
from feedback_store.privacy import erased_ids
from feedback_store.schemas import OutcomeKind
from feedback_store.visits import load_window

ADA = Signed("ada", "into copy.tar")


@pytest.mark.parametrize("name", ["copy.tar", "copy.tar.gz"])
def test_what_was_saved_comes_back(
    database: Database, tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    one = served(prefix="naïve = '\U0001f600'\n")
    record_completions(database, [one])
    key = one.request.completion_id
    append(database, [wire(shown(key)), wire(event(key, "accepted", 1))])
    made = backup.save(database, tmp_path / "adapters", tmp_path / name, ADA)
    assert (made.completions, made.adapters) == (1, [])
    assert audit.entries(database, 1)[0].action == backup.BACKED_UP
    assert backup.last_made_at(database) is not None
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []

    folder = tmp_path / "unpacked"
    folder.mkdir()
    assert backup.unpack(tmp_path / name, folder) == made
    if made.engine == "sqlite":
        restored = Database.open(f"sqlite:///{backup.unpacked_database(folder)}")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(server.new())
        target = Database.open(url)
        record_completions(target, [served()])  # what was there gives way
        target.close()
        backup.load_dump(folder, url)
        restored = Database.open(url)
    (visit,) = load_window(restored, since=one.served_at)
    assert visit.completion == one
    assert visit.outcome.kind is OutcomeKind.ACCEPTED
    assert erased_ids(restored) == []
    record_completions(restored, [served()])  # its numbering goes on
    restored.close()


def test_what_an_older_hone_saved_comes_back_over_a_newer_one_on_postgresql(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """As after an upgrade that went wrong. On SQLite one file takes the place of the other."""
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.url(server.new())
    old = Database.open(url)
    with old.engine.begin() as connection:
        command.downgrade(migration_config(connection), "0006")
    made = backup.save(old, tmp_path / "adapters", tmp_path / "copy.tar", ADA)
    old.close()
    assert made.revision == "0006"
    Database.open(url).close()  # the newer one makes its tables
    folder = tmp_path / "unpacked"
    folder.mkdir()
    backup.unpack(tmp_path / "copy.tar", folder)
    backup.load_dump(folder, url)
    restored = Database.open(url)
    record_completions(restored, [served()])
    assert [entry.action for entry in audit.entries(restored, 5)] == []  # logged after the copy
    restored.close()


def test_nothing_is_overwritten(database: Database, tmp_path: Path) -> None:
    (tmp_path / "copy.tar").write_text("precious")
    with pytest.raises(BackupError, match="exists"):
        backup.save(database, tmp_path / "adapters", tmp_path / "copy.tar", ADA)
    with pytest.raises(BackupError, match="cannot be written"):
        backup.save(database, tmp_path / "adapters", tmp_path / "gone" / "copy.tar", ADA)
    assert (tmp_path / "copy.tar").read_text() == "precious"
    assert backup.last_made_at(database) is None


def test_a_server_that_is_gone_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql+psycopg://hone:hunter2secret@/none?host=" + str(tmp_path)
    with pytest.raises(BackupError) as caught:
        backup.load_dump(tmp_path, url)
    assert "pg_restore" in str(caught.value)
    assert "hunter2secret" not in str(caught.value)
