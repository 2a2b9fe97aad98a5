"""The list of completions: every filter, page after page, nothing twice and nothing left out."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from store_material import NOON, event, served, shown, wire

from feedback_store import rollups, search
from feedback_store.admin import completion_lists
from feedback_store.admin.completion_lists import Filters, read_page, repositories
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.errors import EventError
from feedback_store.events import append


def fill(database: Database, number: int, **rest: Any) -> list[UUID]:
    """Record completions, the newest first in what is returned; every third is accepted."""
    some = [
        served(served_at=NOON - timedelta(minutes=n // 2), path=f"src/part_{n}.py", **rest)
        for n in range(number)
    ]
    record_completions(database, some)
    keys = [one.request.completion_id for one in some]
    accepted = [event(key, "accepted", 1) for key in keys[::3]]
    append(database, [wire(one) for one in [*map(shown, keys[::3]), *accepted]])
    rollups.refresh(database)
    return keys


def walk(database: Database, filters: Filters) -> list[UUID]:
    """Return every key that the pages show, in order."""
    keys: list[UUID] = []
    after = ""
    for _ in range(100):
        page = read_page(database, filters, after)
        keys += [one.completion_id for one in page.items]
        after = page.older
        if not after:
            return keys
    raise AssertionError("the pages do not end")


def test_pages_show_everything_once_and_newest_first(database: Database) -> None:
    keys = fill(database, 130)
    found = walk(database, Filters())
    assert len(found) == 130
    assert set(found) == set(keys)
    page = read_page(database, Filters())
    assert [one.served_at for one in page.items] == sorted(
        (one.served_at for one in page.items), reverse=True
    )


@pytest.mark.parametrize(
    ("filters", "finds"),
    [
        (Filters(language="rust"), 1),
        (Filters(client="neovim"), 1),
        (Filters(adapter="a" * 64), 1),
        (Filters(adapter="base", language="rust"), 0),
        (Filters(repository="e" * 40), 1),
        (Filters(outcome="accepted", language="python"), 2),
        (Filters(outcome="accepted", language="rust"), 1),
        (Filters(outcome="dismissed"), 0),
        (Filters(user="u2"), 1),
        (Filters(user="u1", language="rust"), 0),
        (Filters(user="u1", text="part"), 5),
        (Filters(text="src part_3"), 1),
        (Filters(text="part", language="python"), 5),
        (Filters(text="part", outcome="accepted"), 3),
        (Filters(text="part", since=NOON.date() + timedelta(days=1)), 0),
        (Filters(since=NOON.date(), until=NOON.date()), 6),
        (Filters(until=NOON.date() - timedelta(days=1)), 0),
        (Filters(language="' OR 1=1 --"), 0),
        (Filters(outcome="accepted' --"), 0),
    ],
)
def test_filters_hold_together(database: Database, filters: Filters, finds: int) -> None:
    fill(database, 5)
    other = {"client": "neovim", "adapter": "a" * 64, "repository": "e" * 40, "user": "u2"}
    fill(database, 1, language="rust", **other)
    assert len(walk(database, filters)) == finds


@pytest.mark.parametrize("steps", [(2, 3, 4), (5,), (1, 1, 1, 1)])
def test_a_walk_that_is_cut_goes_on_where_it_stopped(
    database: Database, monkeypatch: pytest.MonkeyPatch, steps: tuple[int, ...]
) -> None:
    monkeypatch.setattr(completion_lists, "_STEPS", steps)
    monkeypatch.setattr(completion_lists, "_WORD_STEPS", steps)
    keys = fill(database, 23)
    wanted = set(keys[::3])
    for filters in (Filters(outcome="accepted"), Filters(outcome="accepted", text="src")):
        found = walk(database, filters)
        assert len(found) == len(wanted)
        assert set(found) == wanted
    first = read_page(database, Filters(outcome="dismissed"))
    assert (first.items, first.is_cut) == ((), True)


@pytest.mark.parametrize(("rare", "walked"), [(0, 1), (0, 7), (3, 40), (60, 1), (200, 1)])
def test_words_are_found_however_frequent_they_are(
    database: Database, monkeypatch: pytest.MonkeyPatch, rare: int, walked: int
) -> None:
    monkeypatch.setattr(search, "_MAX_RARE", rare)
    monkeypatch.setattr(search, "_MAX_WALKED", walked)
    monkeypatch.setattr(completion_lists, "PAGE", 20)
    keys = fill(database, 130)
    for filters, wanted in (
        (Filters(text="src part"), keys),
        (Filters(text="part_12*"), [keys[12], *keys[120:130]]),
        (Filters(text="part", outcome="accepted"), keys[::3]),
        (Filters(text="nowhere"), []),
    ):
        found = walk(database, filters)
        assert len(found) == len(wanted)
        assert set(found) == set(wanted)


@pytest.mark.parametrize("after", ["x", "2026-01-01_x", "_", "1 OR 1", "٣"])
def test_a_place_that_nobody_gave_is_refused(database: Database, after: str) -> None:
    fill(database, 1)
    for filters in (Filters(), Filters(text="src")):
        with pytest.raises(EventError, match="no place in the list"):
            read_page(database, filters, after)


def test_repositories_are_listed_once(database: Database) -> None:
    assert repositories(database) == []
    for name in ("b" * 40, "a" * 40, "b" * 40):
        fill(database, 2, repository=name)
    assert repositories(database) == ["a" * 40, "b" * 40]


def test_what_was_not_shown_is_listed_as_it_was_generated(database: Database) -> None:
    one = served(served_at=datetime(2026, 11, 3, tzinfo=UTC))
    record_completions(database, [one])
    (listed,) = read_page(database, Filters()).items
    assert (listed.suggestion, listed.generated, listed.kind) == (None, "42", "unseen")
