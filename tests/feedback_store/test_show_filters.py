"""Filters of nights: the newest that passed serves, and an erasure retires them."""

from feedback_store import show_filters
from feedback_store.database import Database

MODEL, OTHER = "a" * 64, "b" * 64


def keep(database: Database, content: str, *, passed: bool = True, model: str = MODEL) -> int:
    return show_filters.keep(
        database,
        model_sha256=model,
        run_id="night",
        content=content,
        verdict={"passed": passed},
        passed=passed,
    )


def live(database: Database, model: str = MODEL) -> str | None:
    found = show_filters.live(database, model)
    return found.content if found else None


def test_the_newest_filter_that_passed_serves(database: Database) -> None:
    assert live(database) is None
    first = keep(database, "one")
    assert live(database) == "one"
    assert keep(database, "two") > first
    assert live(database) == "two"
    keep(database, "three", passed=False)
    assert live(database) == "two"


def test_every_model_has_its_own(database: Database) -> None:
    keep(database, "ours")
    keep(database, "theirs", model=OTHER)
    assert (live(database), live(database, OTHER)) == ("ours", "theirs")


def test_after_an_erasure_none_serves(database: Database) -> None:
    keep(database, "ours")
    keep(database, "theirs", model=OTHER)
    with database.session() as session:
        show_filters.retire_all(session)
    assert (live(database), live(database, OTHER)) == (None, None)
