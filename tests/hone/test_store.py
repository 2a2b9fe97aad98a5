"""`hone store`, through real processes, on a real database."""

import json
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import filelock
import pytest
from commands import free_port, refused, run, start, wait_for
from sqlalchemy import delete, select
from store_material import BASE_SHA256, event, sealed, served, shown, wire

from feedback_store import audit, backup, consents, reviews
from feedback_store.completions import record_completions
from feedback_store.database import Database, default_url
from feedback_store.events import append
from feedback_store.models import CompletionRow
from feedback_store.registry import Registry
from hone import preflight

REPOSITORIES = ("a" * 40, "b" * 40)


@dataclass(frozen=True)
class House:
    """A data folder with a store in it, and `hone store` to work on it."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    def run(self, *arguments: str, code: int = 0) -> str:
        result = run(self.home, "store", *arguments, "--data", "data")
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout

    def refused(self, *arguments: str, says: str) -> None:
        refused(run(self.home, "store", *arguments, "--data", "data"), says)

    def open(self) -> Database:
        return Database.open(default_url(self.data))

    def stored(self) -> set[UUID]:
        """Return what is stored and not blank, whether or not a night may learn from it."""
        database = self.open()
        is_whole = CompletionRow.barred_reason.is_(None)
        try:
            with database.reading() as session:
                return set(session.scalars(select(CompletionRow.completion_id).where(is_whole)))
        finally:
            database.close()


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A store with four completions of two users in two repositories, and a live adapter."""
    made = House(tmp_path)
    made.data.mkdir()
    database = made.open()
    completions = [served(user=u, repository=r) for u in ("u1", "u2") for r in REPOSITORIES]
    record_completions(database, completions)
    keys = [one.request.completion_id for one in completions]
    append(database, [wire(one) for key in keys for one in (shown(key), event(key, "accepted", 1))])
    reviews.judge(database, keys[0], "grace", "up")
    sha256 = sealed(tmp_path / "made", lineage=(keys[0],))
    registry = Registry(database, made.data / "adapters")
    registry.register(tmp_path / "made", base_sha256=BASE_SHA256, run_id="night-1", metrics={})
    registry.promote(sha256, by="ada", reason="test")
    database.close()
    return made


def test_everything_about_a_user_is_exported(house: House) -> None:
    rows = [json.loads(line) for line in house.run("export", "--user", "u1").splitlines()]
    told: dict[str, int] = {}
    for row in rows:
        told[row["table"]] = told.get(row["table"], 0) + 1
    assert told == {
        "consents": 2, "completions": 2, "candidates": 2, "events": 4, "outcomes": 2, "reviews": 1,
    }  # fmt: skip
    assert {row["pseudonym"] for row in rows if row["table"] == "completions"} == {"u1"}
    (candidate, _) = [row for row in rows if row["table"] == "candidates"]
    assert (candidate["text"], candidate["log_probs"]) == ("42", [-0.1, -2.5])
    told_to = house.run("export", "--user", "u2", "--out", "u2.jsonl")
    assert "12 rows about u2 are in u2.jsonl" in told_to
    file = house.home / "u2.jsonl"
    assert len(file.read_text().splitlines()) == 12
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    house.refused("export", "--user", "u2", "--out", "u2.jsonl", says="exists")
    house.run("export", "--user", "nobody", code=1)


def test_a_user_with_a_token_is_exported_without_it(house: House) -> None:
    run(house.home, "users", "add", "grace", "--scope", "reviewer", "--data", "data")
    rows = [json.loads(line) for line in house.run("export", "--user", "grace").splitlines()]
    assert {row["table"] for row in rows} >= {"users", "tokens", "reviews"}
    assert "sha256" not in json.dumps(rows)


def test_erasing_asks_first_and_says_what_learned_it(house: House) -> None:
    house.refused("erase", "--user", "u1", says="say --yes")
    assert len(house.stored()) == 4
    told = house.run("erase", "--user", "u1", "--yes", "--reason", "asked to", "--by", "eve")
    assert "erased: 2 completions, 4 events" in told
    assert "learned from it: barred, the next night trains without it" in told
    assert len(house.stored()) == 2
    database = house.open()
    assert Registry(database, house.data / "adapters").live() is None
    entry = next(e for e in audit.entries(database, 9) if e.action == "erased")
    assert (entry.who, entry.reason) == ("eve", "asked to")
    assert [said.pseudonym for said in consents.listed(database)] == ["u2", "u2"]
    database.close()
    told = house.run(
        "erase", "--repo", REPOSITORIES[0], "--before", "2030-01-01", "--yes", "--json"
    )
    assert json.loads(told) == {"completions": 1, "events": 2, "barred_adapters": []}
    assert "nothing matches" in house.run("erase", "--before", "2001-01-01T00:00+02:00", "--yes")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["erase", "--yes"], "say what to erase"),
        (["erase", "--before", "yesterday"], "no time"),
        (["export"], "--user"),
        (["dance"], "'dance'"),
        (["restore", "none.tar", "--yes"], "no whole backup"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, house: House) -> None:
    result = run(house.home, "store", *arguments, "--data", "data")
    assert result.returncode in (1, 2)
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert len(house.stored()) == 4


def test_consent_is_seen_withdrawn_and_given(house: House) -> None:
    assert house.run("consents").count("recorded since") == 4
    assert "obeys at once" in house.run("withdraw", "--user", "u1")
    house.run("withdraw", "--user", "u2", "--repo", REPOSITORIES[0], "--by", "eve")
    told = json.loads(house.run("consents", "--json"))
    assert {(c["user"], c["repository"]) for c in told if not c["is_given"]} == {
        ("u1", "*"),
        ("u2", REPOSITORIES[0]),
    }
    database = house.open()
    assert record_completions(database, [served(user="u1"), served(user="u2")]) == 1
    database.close()
    house.run("give", "--user", "u1")
    assert "withdrawn on" not in house.run("consents", "--user", "u1")


def test_a_scan_finds_what_older_rules_let_through(house: House) -> None:
    secret = "ghp_" + "wJ8rXutnF3MIqK7MDeNGb2PxRfiCYzk5HvQ0"
    database = house.open()
    record_completions(database, [served()])
    database.close()
    with sqlite3.connect(house.data / "hone.db") as connection:
        connection.execute("UPDATE completions SET suffix = ? WHERE pseudonym = 'u1'", [secret])
    told = house.run("scan", "--by", "eve")
    assert "5 completions looked through, 3 barred" in told
    assert "3  github-token (3 new)" in told
    assert "learned from it: barred" in told
    assert secret not in told
    assert len(house.stored()) == 2
    assert json.loads(house.run("scan", "--json"))["hits_ever"] == {"github-token": 3}
    assert secret.encode() not in (house.data / "hone.db").read_bytes()


def test_a_backup_made_while_others_write_is_restored_and_serves(house: House) -> None:
    before = house.stored()
    database = house.open()
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.01):
            record_completions(database, [served(user="u4")])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        told = house.run("backup", "copy.tar")
    finally:
        done.set()
        writer.join()
    with database.session() as session:
        session.execute(delete(CompletionRow).where(CompletionRow.pseudonym == "u4"))
    assert ", 1 adapters" in told
    assert "keep it as safe" in told
    assert stat.S_IMODE((house.home / "copy.tar").stat().st_mode) == 0o600
    assert backup.last_made_at(database) is not None
    record_completions(database, [served(user="u3")])
    consents.withdraw(database, "u2", "*", audit.Signed("u2", "no more"), now=datetime.now(UTC))
    database.close()
    house.run("erase", "--user", "u1", "--yes")
    assert len(house.stored()) == 3
    since = house.stored()

    house.refused("restore", "copy.tar", says="say --yes")
    told = house.run("restore", "copy.tar", "--yes")
    assert "erased again: 2 completions" in told
    assert "what was there before is in" in told
    assert house.stored() & before == since & before
    assert not house.stored() & (since - before)
    database = house.open()
    assert [c.repository for c in consents.listed(database, "u2") if not c.is_given] == ["*"]
    assert Registry(database, house.data / "adapters").live() is None  # it had learned from u1
    database.close()
    (aside,) = house.data.glob("before-restore-*")
    assert sorted(path.name for path in aside.iterdir())[:2] == ["adapters", "hone.db"]


def test_a_backup_moves_to_another_machine_and_starts_there(house: House) -> None:
    house.run("backup", "copy.tar.gz")
    other = House(house.home / "other")
    other.home.mkdir()
    told = other.run("restore", str(house.home / "copy.tar.gz"))
    assert "restored: 4 completions" in told
    assert other.stored() == house.stored()
    database = other.open()
    live = Registry(database, other.data / "adapters").live()
    assert live is not None
    Registry(database, other.data / "adapters").verify(live.sha256)
    database.close()
    port = free_port()
    with serving(other, port):
        health = wait_for(
            lambda: preflight.health_of(f"http://127.0.0.1:{port}"), seconds=120, what="health"
        )
        assert health["status"] == "ok"
        other.refused("restore", str(house.home / "copy.tar.gz"), "--yes", says="in use by a host")


def test_a_torn_backup_changes_nothing(house: House) -> None:
    house.run("backup", "copy.tar")
    whole = (house.home / "copy.tar").read_bytes()
    (house.home / "torn.tar").write_bytes(whole[: len(whole) // 2])
    with tarfile.open(house.home / "other.tar", "w") as tar:
        tar.add(__file__, "hello.py")
    house.run("erase", "--user", "u2", "--yes")
    for name in ("torn.tar", "other.tar"):
        assert (
            "no whole backup"
            in run(house.home, "store", "restore", name, "--yes", "--data", "data").stderr
        )
    assert len(house.stored()) == 2
    assert not list(house.data.glob("before-restore-*"))
    house.run("backup", "copy.tar", code=1)
    with filelock.FileLock(house.data / "train.lock"):
        house.refused("restore", "copy.tar", "--yes", says="in use by a night")


@contextmanager
def serving(house: House, port: int) -> Iterator[None]:
    place = ("--data", "data", "--port", str(port))
    process = start(house.home, "serve", *place, output=house.home / "host.out")
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
