"""What editors told, tell and will tell: older ones are understood, newer ones refused clearly.

`wire/version_N.json` is what an editor of schema version N sent, and is never changed.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from store_material import NOON, event, served, wire

from feedback_store import api
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.events import append
from feedback_store.outcomes import Outcome
from feedback_store.privacy import Retention, enforce
from feedback_store.schemas import SCHEMA_VERSION, CompletionRequest, EventKind, OutcomeKind
from feedback_store.visits import load_window

WIRE = Path(__file__).parent / "wire"


def sent(version: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((WIRE / f"version_{version}.json").read_text("utf-8"))
    return told


def outcome(database: Database) -> Outcome:
    (visit,) = load_window(database, since=NOON - timedelta(days=1))
    return visit.outcome


def test_every_version_has_its_file() -> None:
    names = {path.name for path in WIRE.iterdir()}
    assert names == {f"version_{version}.json" for version in range(1, SCHEMA_VERSION + 1)}


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_what_an_editor_of_that_version_sent_is_taken(database: Database, version: int) -> None:
    told = sent(version)
    asked = CompletionRequest.model_validate(told["completion"])
    record_completions(database, [served(asked.completion_id)])
    app = FastAPI()
    app.include_router(api.routes(database))
    answer = TestClient(app).post("/v1/events", json=told["batch"]).json()
    assert {item["status"] for item in answer["items"]} == {"stored"}
    assert {item["kind"] for item in told["batch"]["events"]} == set(EventKind)
    found = outcome(database)
    assert (found.kind, found.settled_text, found.rating) == (OutcomeKind.ACCEPTED, "43", "up")


def test_an_editor_from_the_future_is_told_to_update_the_host(database: Database) -> None:
    good = sent(SCHEMA_VERSION)["batch"]["events"][0]
    newer = good | {"schema_version": SCHEMA_VERSION + 1, "surprise": True}
    first, second = append(database, [newer, good]).items
    assert (first.status, second.status) == ("refused", "stored")
    assert first.reason is not None
    assert f"schema_version: {SCHEMA_VERSION + 1} is newer than this host knows" in first.reason


@pytest.mark.parametrize(
    "clock",
    [
        "1970-01-01T00:00:05Z",
        "2026-11-01T12:00:00Z",
        "2031-01-01T00:00:00Z",
        "9998-12-30T00:00:00Z",
    ],
)
def test_a_clock_that_is_wrong_by_years_changes_no_window_and_no_outcome(
    database: Database, clock: str
) -> None:
    """Windows and retention go by the host's clock; events are only compared with each other."""
    one = served()
    record_completions(database, [one])
    skew = datetime.fromisoformat(clock) - NOON
    life = [
        event(one.request.completion_id, "shown", text="42"),
        event(one.request.completion_id, "diverged", 2, text="41"),
        event(one.request.completion_id, "settled", 12, text="41", reaches_suffix=True,
              prefix_intact=True),
    ]  # fmt: skip
    skewed = [told.model_copy(update={"occurred_at": told.occurred_at + skew}) for told in life]
    report = append(database, [wire(told) for told in skewed], received_at=NOON)
    assert {item.status for item in report.items} == {"stored"}
    found = outcome(database)
    assert (found.kind, found.visible_ms) == (OutcomeKind.DIVERGED, 2000)
    assert load_window(database, since=NOON + timedelta(seconds=1)) == []
    assert enforce(database, Retention(max_age_days=30), NOON).completions == 0
    orphan = event(served().request.completion_id, "lost", reason="closed")
    append(database, [wire(orphan.model_copy(update={"occurred_at": NOON + skew}))],
           received_at=NOON)  # fmt: skip
    assert enforce(database, Retention(), NOON + timedelta(days=6)).orphaned_events == 0
    assert enforce(database, Retention(), NOON + timedelta(days=8)).orphaned_events == 1


def test_a_clock_that_is_set_back_in_the_middle_makes_nothing_seen_for_hours(
    database: Database,
) -> None:
    one = served()
    key = one.request.completion_id
    record_completions(database, [one])
    life = [event(key, "shown", 7200, text="42"), event(key, "accepted", 1.5, source="explicit")]
    append(database, [wire(told) for told in life])
    found = outcome(database)
    assert found.kind is OutcomeKind.ACCEPTED
    assert found.visible_ms == 0
