"""Ingesting: each fact exactly once, in any order, or refused with a reason."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import RFC_4122, UUID, uuid4, uuid5

import pytest
from event_stories import stories
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import String, func, select, type_coerce
from store_material import NOON, event, served, shown, wire

from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.events import append
from feedback_store.models import EventRow
from feedback_store.outcomes import Outcome, fold
from feedback_store.refolding import refold_all
from feedback_store.schemas import Event, EventKind, event_id_of
from feedback_store.visits import load_window


@given(st.uuids(), st.sampled_from(EventKind), st.integers(0, 2**31 - 1))
def test_an_event_has_the_id_that_uuid5_gives(
    completion_id: UUID, kind: EventKind, ordinal: int
) -> None:
    told = event_id_of(completion_id, kind, ordinal)
    assert told == uuid5(completion_id, f"{kind.value}:{ordinal}")
    assert (told.version, told.variant) == (5, RFC_4122)


def stored(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(EventRow)) or 0


def outcome(database: Database, completion_id: UUID) -> Outcome:
    visits = load_window(database, since=NOON - timedelta(days=1))
    return {visit.completion.request.completion_id: visit.outcome for visit in visits}[
        completion_id
    ]


def check(database: Database, items: list[Any], expected: list[str]) -> list[str | None]:
    """Append, and compare what is reported; return the reasons."""
    report = append(database, items)
    assert [item.status for item in report.items] == expected
    return [item.reason for item in report.items]


def test_a_batch_is_reported_item_by_item(database: Database) -> None:
    one = uuid4()
    good, bad = wire(shown(one)), wire(event(one, "accepted")) | {"kind": "adored"}
    reasons = check(
        database, [good, bad, good, None], ["stored", "refused", "duplicate", "refused"]
    )
    assert reasons[1] is not None
    assert reasons[1].startswith("kind: Input should be 'shown'")
    assert stored(database) == 1
    report = append(database, [good, bad])
    assert [item.event_id for item in report.items] == [good["event_id"], bad["event_id"]]


def test_the_same_id_with_other_content_changes_nothing(database: Database) -> None:
    one = uuid4()
    record_completions(database, [served(one)])
    check(database, [wire(shown(one))], ["stored"])
    check(database, [wire(event(one, "shown", text="something else"))], ["duplicate"])
    assert outcome(database, one).suggestion == "42"


def good() -> dict[str, Any]:
    return wire(event(UUID(int=7), "persisted", text="x", after_seconds=30, edit_distance=0.0,
                      retained_characters=1))  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event_id": None}, "event_id: UUID input should be"),
        ({"event_id": str(uuid4())}, "event_id is not uuid5"),
        ({"completion_id": "7"}, "completion_id: Input should be a valid UUID"),
        ({"occurred_at": "2026-11-03T12:00:00"}, "occurred_at: Input should have timezone info"),
        ({"occurred_at": "yesterday"}, "occurred_at: Input should be a valid datetime"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "is no time in UTC"),
        (
            {"schema_version": 2},
            "schema_version: 2 is newer than this host knows (1): update Hone there",
        ),
        ({"schema_version": 0}, "schema_version: Input should be greater"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"data": {"text": "x"}}, "a persisted event needs data.after_seconds, data.edit"),
        ({"data": []}, "data: Input should be a valid dictionary"),
        ({"ordinal": -1}, "ordinal: Input should be greater"),
        ({"candidate_index": 2**40}, "candidate_index: 1099511627776 is larger than"),
    ],
)
def test_refused(database: Database, change: dict[str, Any], reason: str) -> None:
    (told,) = check(database, [good() | change], ["refused"])
    assert told is not None
    assert reason in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"text": "a\0b"}, "data.text: holds a NUL character"),
        ({"text": "\ud800"}, "data.text: Input should be a valid string"),
        ({"text": "x" * 20_000}, "data.text: String should have at most"),
        ({"retained_characters": 10**30}, "retained_characters: 1"),
        ({"visible_ms": 2**31}, "visible_ms: 2147483648 is larger"),
        ({"edit_distance": float("nan")}, "data.edit_distance: Input should be"),
        ({"text": None}, "needs data.text"),
    ],
)
def test_refused_data(database: Database, data: dict[str, Any], reason: str) -> None:
    item = good()
    (told,) = check(database, [item | {"data": item["data"] | data}], ["refused"])
    assert told is not None
    assert reason in told


def test_a_bad_item_does_not_take_the_others_with_it(database: Database) -> None:
    items = [good() | {"ordinal": 2**70}, good(), {"data": {"text": "\0"}}, []]
    check(database, items, ["refused", "stored", "refused", "refused"])
    assert stored(database) == 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from([*Event.model_fields, "text"]), inner, max_size=6)
            ),
            max_leaves=10,
        ),
        max_size=4,
    )
)
def test_nothing_sent_can_break_the_store(database: Database, items: list[Any]) -> None:
    report = append(database, [*items, wire(shown(uuid4()))])
    assert len(report.items) == len(items) + 1
    assert report.items[-1].status == "stored"


def life(completion_id: UUID) -> list[Event]:
    return [
        shown(completion_id),
        event(completion_id, "accepted", 1, visible_ms=1000, source="explicit"),
        event(completion_id, "settled", 11, text="43", reaches_suffix=True, prefix_intact=True),
        event(completion_id, "persisted", 31, text="43", after_seconds=30, edit_distance=0.5,
              retained_characters=1),
    ]  # fmt: skip


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_order_of_arrival_gives_the_same_outcome(database: Database, data: Any) -> None:
    one = uuid4()
    events = life(one)
    arrivals = data.draw(st.permutations([*events, *events[:2]]))
    row_comes_after = data.draw(st.integers(0, len(arrivals)))
    for index, arrived in enumerate(arrivals):
        if index == row_comes_after:
            assert record_completions(database, [served(one)]) == 1
        append(database, [wire(arrived)])
    record_completions(database, [served(one)])
    assert outcome(database, one) == fold(one, events)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_story_in_any_batches_comes_to_what_it_is_at_once(
    database: Database, data: Any
) -> None:
    """Torn apart, repeated, out of order, around the completion's row and a refold."""
    one = uuid4()
    events = data.draw(stories(one))
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    arrivals = data.draw(st.permutations([*events, *repeated]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arrivals)), max_size=4)))
    batches = [arrivals[a:b] for a, b in pairwise([0, *cuts, len(arrivals)])]
    row_comes_before = data.draw(st.integers(0, len(batches)))
    for number, batch in enumerate(batches):
        if number == row_comes_before:
            record_completions(database, [served(one)])
        append(database, [wire(arrived) for arrived in batch])
    record_completions(database, [served(one)])
    assert outcome(database, one) == fold(one, events)
    refold_all(database)
    assert outcome(database, one) == fold(one, events)


def test_one_batch_for_many_completions(database: Database) -> None:
    ids = [uuid4() for _ in range(600)]
    record_completions(database, [served(one) for one in ids[:-1]])
    items = [wire(one) for completion_id in ids for one in life(completion_id)]
    check(database, items, ["stored"] * len(items))
    record_completions(database, [served(ids[-1])])
    visits = load_window(database, since=NOON)
    assert len(visits) == 600
    assert {visit.outcome.settled_text for visit in visits} == {"43"}


def test_threads_that_send_the_same_events_store_them_once(database: Database) -> None:
    ids = [uuid4() for _ in range(20)]
    record_completions(database, [served(one) for one in ids])
    events = [wire(one) for completion_id in ids for one in life(completion_id)]
    reports = []

    def send() -> None:
        for start in range(0, len(events), 10):
            reports.append(append(database, events[start : start + 10]))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [item.status for report in reports for item in report.items]
    assert statuses.count("stored") == len(events) == stored(database)
    assert statuses.count("duplicate") == 3 * len(events)
    assert {visit.outcome.kind.value for visit in load_window(database, since=NOON)} == {"accepted"}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.datetimes(timezones=st.timezones()),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.floats(0, 1),
)
def test_what_is_told_is_what_is_stored(
    database: Database, occurred_at: datetime, text: str, distance: float
) -> None:
    data = {"text": text, "after_seconds": 30, "edit_distance": distance, "retained_characters": 0}
    told = Event.new(uuid4(), EventKind.PERSISTED, 2**31 - 1, occurred_at, candidate_index=3,
                     source="explicit", **data)  # fmt: skip
    received_at = datetime.now(UTC)
    append(database, [wire(told)], received_at=received_at)
    with database.reading() as session:
        row = session.scalars(select(EventRow).where(EventRow.event_id == told.event_id)).one()
        values = [getattr(row, name) for name in Event.model_fields if name != "data"]
        assert values == [getattr(told, name) for name in Event.model_fields if name != "data"]
        assert (row.data, row.received_at) == (data, received_at)
        if not database.is_postgresql:  # always written in the same way, so that it can be sorted
            written = session.scalar(
                select(type_coerce(EventRow.occurred_at, String)).where(
                    EventRow.event_id == told.event_id
                )
            )
            assert written == told.occurred_at.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")
