"""Limits are kept on the disk, and what is erased is gone for good."""

import random
import string
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update
from store_material import BASE_SHA256, NOON, event, sealed, served, shown, wire

from feedback_store import runs
from feedback_store.barring import bar
from feedback_store.completions import ServedCandidate, record_completions
from feedback_store.database import Database, damage
from feedback_store.disk import file_bytes, used_bytes
from feedback_store.errors import EventError
from feedback_store.events import append
from feedback_store.models import CompletionRow, EventRow, OutcomeRow, PairRow, Row
from feedback_store.privacy import Erased, Removed, Retention, enforce, erase
from feedback_store.registry import Registry
from feedback_store.reviews import judge
from feedback_store.schemas import OutcomeKind
from feedback_store.visits import load_window

EPOCH = NOON - timedelta(days=10_000)


def counts(database: Database) -> dict[str, int]:
    with database.reading() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Row.metadata.tables.items()
        }


def ids(database: Database) -> set[UUID]:
    return {v.completion.request.completion_id for v in load_window(database, since=EPOCH)}


def noise(size: int, seed: int = 0) -> str:
    """Text that no database can pack."""
    return "".join(random.Random(seed).choices(string.printable[:94], k=size))


def live(database: Database, number: int, *, days_old: float = 0.0, size: int = 10) -> list[UUID]:
    """Record completions of `size` characters with one event each."""
    new = [
        served(
            served_at=NOON - timedelta(days=days_old, seconds=-second), prefix=noise(size, second)
        )
        for second in range(number)
    ]
    record_completions(database, new)
    append(database, [wire(shown(one.request.completion_id)) for one in new], received_at=NOON)
    return [one.request.completion_id for one in new]


def with_pairs(database: Database, run_id: str, of: list[UUID]) -> None:
    runs.start(database, run_id, {}, "log")
    row = {"rule": "R1", "weight": 1.0, "chosen": "a" * 5000, "rejected": "b", "held_out": False}
    rows = [row | {"completion_id": one, "split": "train"} for one in of]
    assert runs.store_pairs(database, run_id, rows) == len(of)


def test_what_is_too_old_goes_with_all_that_hangs_on_it(database: Database) -> None:
    old, new = live(database, 450, days_old=31), live(database, 20, days_old=29)
    with_pairs(database, "night-1", old[:10] + new[:10])
    judge(database, old[0], "ada", "up")
    removed = enforce(database, Retention(max_age_days=30), NOON)
    assert (removed.completions, removed.preference_pairs) == (450, 0)
    assert ids(database) == set(new)
    left = counts(database)
    assert left["events"] == left["candidates"] == left["outcomes"] == 20
    assert (left["preference_pairs"], left["reviews"]) == (10, 0)


def test_an_event_waits_a_week_for_its_completion(database: Database) -> None:
    early, late = shown(uuid4()), shown(uuid4())
    append(database, [wire(early)], received_at=NOON - timedelta(days=8))
    append(database, [wire(late)], received_at=NOON - timedelta(days=6))
    assert enforce(database, Retention(), NOON).orphaned_events == 1
    with database.reading() as session:
        assert session.scalars(select(EventRow.event_id)).all() == [late.event_id]


def test_too_much_makes_the_file_smaller(database: Database) -> None:
    old = live(database, 300, days_old=2, size=16_000)
    new = live(database, 40, days_old=1)
    before = file_bytes(database)
    removed = enforce(database, Retention(max_database_mb=2), NOON)
    assert removed.bytes_before == before > 4 << 20
    assert file_bytes(database) == removed.bytes_after <= 2 << 20
    assert used_bytes(database) <= 2 << 20
    assert set(new) <= ids(database)
    assert ids(database) - set(new) <= set(old)
    assert damage(database) is None


def test_pairs_of_earlier_nights_go_before_facts_do(database: Database) -> None:
    kept = live(database, 200)
    for night in ("night-1", "night-2"):
        with_pairs(database, night, kept)
    with database.session() as session:
        session.execute(update(PairRow).values(chosen=noise(5000)))
    removed = enforce(database, Retention(max_database_mb=2), NOON)
    assert (removed.preference_pairs, removed.completions) == (200, 0)
    with database.reading() as session:
        assert set(session.scalars(select(PairRow.run_id))) == {"night-2"}


def test_within_limits_nothing_goes(database: Database) -> None:
    kept = live(database, 5)
    assert enforce(database, Retention(), NOON).completions == 0
    assert ids(database) == set(kept)
    empty = enforce(database, Retention(max_database_mb=0), NOON)
    assert isinstance(empty, Removed)
    assert ids(database) == set()


@pytest.fixture
def registry(database: Database, tmp_path: Path) -> Registry:
    return Registry(database, tmp_path / "adapters")


def trained_on(registry: Registry, folder: Path, *lineage: UUID, value: float) -> str:
    sealed(folder, lineage=lineage, value=value)
    record = registry.register(folder, base_sha256=BASE_SHA256, run_id="night-1", metrics={})
    registry.promote(record.sha256, by="ada", reason="test")
    return record.sha256


def test_erasing_a_user_takes_everything_that_came_of_it(
    database: Database, registry: Registry, tmp_path: Path
) -> None:
    mine, theirs = served(user="me"), served(user="you")
    record_completions(database, [mine, theirs])
    me, you = mine.request.completion_id, theirs.request.completion_id
    append(database, [wire(shown(me)), wire(event(me, "accepted", 1)), wire(shown(you))])
    clean = trained_on(registry, tmp_path / "a", you, value=1.0)
    touched = trained_on(registry, tmp_path / "b", you, me, value=2.0)

    assert erase(database, registry=registry, user="me") == Erased(1, 2, (touched,))
    live_now = registry.live()
    assert live_now is not None
    assert live_now.sha256 == clean
    assert registry.get(touched).barred == "trained on erased completions"
    assert ids(database) == {you}

    # What is still under way is refused, and does not bring it back.
    (item,) = append(database, [wire(event(me, "dismissed", 2))]).items
    assert (item.status, item.reason) == ("refused", "its completion was erased")
    assert record_completions(database, [mine]) == 0
    assert erase(database, registry=registry, user="me") == Erased(0, 0, ())


def test_erased_text_is_not_left_in_the_file(sqlite_database: Database, tmp_path: Path) -> None:
    registry = Registry(sqlite_database, tmp_path / "adapters")
    record_completions(sqlite_database, [served(user="me", prefix="hunter2 = 'secret'" * 500)])
    erase(sqlite_database, registry=registry, user="me")
    assert sqlite_database.path is not None
    sqlite_database.close()
    content = b"".join(p.read_bytes() for p in tmp_path.glob("hone.db*"))
    assert b"hunter2" not in content


def test_erasing_by_repository_and_time(database: Database, registry: Registry) -> None:
    for repository in ("a" * 40, "b" * 40):
        for days in (0, 10):
            at = NOON - timedelta(days=days)
            record_completions(database, [served(repository=repository, served_at=at)])
    before = NOON - timedelta(days=5)
    assert erase(database, registry=registry, repository="a" * 40, before=before).completions == 1
    assert erase(database, registry=registry, before=before).completions == 1
    assert erase(database, registry=registry, repository="b" * 40).completions == 1
    with pytest.raises(EventError, match="say what to erase"):
        erase(database, registry=registry)
    assert len(ids(database)) == 1


def test_a_barred_completion_is_blank_and_never_trained_on(database: Database) -> None:
    candidate = ServedCandidate(0, "hunter2", (1,), (-0.1,), "stop")
    one = served(prefix="hunter2", candidates=(candidate,))
    key = one.request.completion_id
    record_completions(database, [one])
    append(database, [wire(event(key, "shown", text="hunter2")), wire(event(key, "accepted", 1))])
    bar(database, key, "an API key")
    assert load_window(database, since=EPOCH) == []
    with database.reading() as session:
        assert session.scalar(select(CompletionRow.barred_reason)) == "an API key"
        assert session.scalar(select(CompletionRow.prefix)) == ""
        assert session.scalar(select(OutcomeRow.suggestion)) is None
        assert session.scalar(select(OutcomeRow.kind)) == OutcomeKind.UNSEEN.value
    assert counts(database)["candidates"] == counts(database)["events"] == 0
    (item,) = append(database, [wire(event(key, "undone", 2))]).items
    assert (item.status, item.reason) == ("refused", "its completion is barred")
    with pytest.raises(EventError, match="nothing to bar"):
        bar(database, uuid4(), "x")
