"""Visits of before the window come one step at a time, and of the files asked for alone."""

import gc
from datetime import timedelta
from uuid import uuid4

import pytest
from store_material import NOON, event, served, shown, wire

from feedback_store import visits
from feedback_store.collector import no_collection
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.events import append
from feedback_store.visits import load_window, stream_older


def test_older_visits_are_those_of_the_window_before(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "_PER_STEP", 4)
    files = ["a.py", "b.py", ""]  # the last has no path: it goes by its document
    there = [
        served(uuid4(), path=files[n % 3], served_at=NOON + timedelta(minutes=n % 7))
        for n in range(30)
    ]
    record_completions(database, there)
    told = [one.request.completion_id for one in there[::2]]
    events = [one for key in told for one in (shown(key), event(key, "accepted", 1))]
    append(database, [wire(one) for one in events])
    asked: list[tuple[str, str]] = []

    def is_wanted(repository: str, path: str) -> bool:
        asked.append((repository, path))
        return path != "a.py"

    before = NOON + timedelta(minutes=5)
    found = stream_older(database, since=NOON, before=before, is_wanted=is_wanted)
    expected = [
        visit
        for visit in load_window(database, since=NOON)
        if visit.completion.served_at < before and visit.completion.request.path != "a.py"
    ]
    assert list(found) == expected
    assert len(expected) > 8  # more than two steps
    request = there[0].request
    assert sorted(asked) == [(request.repository, path) for path in ("a.py", "b.py", "document")]
    assert list(stream_older(database, since=before, before=NOON, is_wanted=is_wanted)) == []


def test_pauses_of_the_collector_may_be_nested_and_end_on_errors() -> None:
    def fails() -> None:
        with no_collection():
            with no_collection():
                assert not gc.isenabled()
            assert not gc.isenabled()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert gc.isenabled()
