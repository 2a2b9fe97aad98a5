"""Completions go in and come back as they were, each with its outcome."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import event as sql_event
from store_material import NOON, event, served, shown, wire

from feedback_store.completions import ServedCandidate, record_completions
from feedback_store.database import Database, default_url
from feedback_store.errors import EventError
from feedback_store.events import append
from feedback_store.schemas import CompletionRequest, Mode, OutcomeKind
from feedback_store.visits import load_window

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prefix=TEXT,
    ids=st.lists(st.integers(0, 200_000), max_size=20),
    log_probs=st.lists(st.floats(-100, 0), max_size=5),
    mode=st.sampled_from(Mode),
    adapter=st.none() | st.just("a" * 64),
)
def test_what_was_served_comes_back_exactly(
    database: Database,
    prefix: str,
    ids: list[int],
    log_probs: list[float],
    mode: Mode,
    adapter: str | None,
) -> None:
    candidates = tuple(
        ServedCandidate(index, prefix, tuple(ids), tuple(log_probs), "end") for index in range(2)
    )
    one = served(
        prefix=prefix, prompt_ids=tuple(ids), mode=mode, candidates=candidates, adapter=adapter
    )
    assert record_completions(database, [one]) == 1
    found = [visit.completion for visit in load_window(database, since=NOON)]
    assert one in found


def test_recording_twice_is_recording_once(database: Database) -> None:
    one, two = served(), served()
    assert record_completions(database, [one, one]) == 1
    append(database, [wire(shown(one.request.completion_id))])
    assert record_completions(database, [one, two]) == 1
    assert record_completions(database, []) == 0
    visits = load_window(database, since=NOON)
    suggestions = {v.completion.request.completion_id: v.outcome.suggestion for v in visits}
    assert suggestions == {one.request.completion_id: "42", two.request.completion_id: None}


@pytest.mark.parametrize("field", ["prefix", "suffix", "path", "client"])
def test_a_text_that_postgresql_cannot_hold_is_refused_by_both(
    database: Database, field: str
) -> None:
    with pytest.raises(EventError, match="holds a NUL character"):
        record_completions(database, [served(**{field: "a\0b"})])
    said = (ServedCandidate(0, "a\0b", (1,), (-0.1,), "stop"),)
    with pytest.raises(EventError, match="holds a NUL character"):
        record_completions(database, [served(candidates=said)])


def test_a_completion_without_events_is_unseen(database: Database) -> None:
    record_completions(database, [served(candidates=())])
    (visit,) = load_window(database, since=NOON)
    assert visit.outcome.kind is OutcomeKind.UNSEEN
    assert visit.completion.candidates == ()


def test_the_window_begins_at_its_start_and_is_in_order(database: Database) -> None:
    times = [NOON + timedelta(hours=hours) for hours in (3, -2, 0, 1)]
    record_completions(database, [served(served_at=time) for time in times])
    found = [visit.completion.served_at for visit in load_window(database, since=NOON)]
    assert found == sorted(time for time in times if time >= NOON)


def test_what_may_not_be_recorded_is_refused_whole(database: Database) -> None:
    silent = served(record=False)
    with pytest.raises(EventError, match="record=false: it must not be written anywhere"):
        record_completions(database, [served(), silent])
    naive = replace(served(), served_at=NOON.replace(tzinfo=None))
    with pytest.raises(EventError, match="without time zone"):
        record_completions(database, [served(), naive])
    assert load_window(database, since=NOON) == []


@pytest.mark.parametrize(
    "odd",
    [
        {"line": 2**31},
        {"requested_at": "0001-01-01T00:00:00+14:00"},
        {"requested_at": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_what_no_database_could_hold_is_refused_on_the_wire(odd: dict[str, object]) -> None:
    """It would stop the thread that records, and with it everybody's recording."""
    request = served().request.model_dump(mode="json") | odd
    with pytest.raises(ValidationError):
        CompletionRequest.model_validate(request)


def test_loading_takes_the_same_few_queries_for_any_number(database: Database) -> None:
    statements: list[str] = []
    sql_event.listen(
        database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )

    def count(number: int) -> int:
        record_completions(database, [served(uuid4()) for _ in range(number)])
        append(database, [wire(event(uuid4(), "accepted"))])
        statements.clear()
        load_window(database, since=NOON)
        return len([statement for statement in statements if statement.startswith("SELECT")])

    assert count(3) == count(300) == 4  # the first: is any fold owed?


def test_a_window_of_a_day_does_not_read_the_whole_year(tmp_path: Path) -> None:
    database = Database.open(default_url(tmp_path))
    plans: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, values: Any, *__: Any) -> None:
        if statement.startswith("SELECT"):
            told = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.extend(row[-1] for row in told)

    sql_event.listen(database.engine, "before_cursor_execute", explain)
    load_window(database, since=NOON)
    database.close()
    assert any(plan.startswith("SEARCH completions USING INDEX") for plan in plans)
    assert [plan for plan in plans if plan.startswith("SCAN candidates")] == []
