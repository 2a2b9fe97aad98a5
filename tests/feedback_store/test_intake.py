"""Many batches at once: few transactions, each fact once, and no more than the store can take."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event as engine_event
from sqlalchemy import func, select, text
from store_material import event, served, shown, wire

from feedback_store import api, intake, owed_folds
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.intake import Intake
from feedback_store.models import EventRow, OutcomeRow, OwedFoldRow
from feedback_store.outcomes import fold
from feedback_store.schemas import EARLIEST, IngestReport
from feedback_store.visits import load_window


def stored(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(EventRow)) or 0


def owed(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(OwedFoldRow)) or 0


def statuses(report: "Future[IngestReport]") -> list[str]:
    return [item.status for item in report.result(30).items]


def client_of(database: Database) -> TestClient:
    app = FastAPI()
    app.include_router(api.routes(database))
    return TestClient(app)


def test_batches_that_come_while_one_is_written_are_written_together(database: Database) -> None:
    ids = [uuid4() for _ in range(12)]
    record_completions(database, [served(one) for one in ids])
    way_in, inserts = Intake(database), list[str]()
    engine_event.listen(
        database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: inserts.append(statement),
    )
    told = [shown(ids[0]), event(ids[0], "accepted", 1)]
    batches: list[list[Any]] = [[wire(shown(one)), wire(told[1])] for one in ids]
    with database.session() as session:
        session.execute(text("SELECT 1"))  # Somebody else writes; all the others wait.
        reports = [way_in.submit(partial(list, batch)) for batch in batches[:1]]
        while way_in._waiting:
            threading.Event().wait(0.01)
        reports += [way_in.submit(partial(list, batch)) for batch in batches[1:]]
    told_of = [status for report in reports for status in statuses(report)]
    assert told_of.count("stored") == stored(database) == 13
    assert told_of.count("duplicate") == 11
    # The first batch alone, then the rest; or all, where the rest came while it was checked.
    assert sum("INSERT INTO events" in one for one in inserts) in (1, 2)
    outcomes = {v.outcome for v in load_window(database, since=EARLIEST)}
    assert fold(ids[0], told) in outcomes
    assert len(outcomes) == 12


def test_what_was_stored_in_a_hurry_is_folded_as_soon_as_nothing_waits(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_folds, "MAX_AT_ONCE", 2)
    ids = [uuid4() for _ in range(7)]
    record_completions(database, [served(one) for one in ids])
    way_in = Intake(database)
    with database.session() as session:
        session.execute(text("SELECT 1"))
        reports = [way_in.submit(lambda: [wire(shown(uuid4()))])]
        while way_in._waiting:
            threading.Event().wait(0.01)
        told = [[wire(shown(one)), wire(event(one, "accepted", 1))] for one in ids]
        reports += [way_in.submit(partial(list, batch)) for batch in told]
    for report in reports:
        report.result(30)
    way_in._thread.submit(int).result(30)  # whatever the thread had to do is done
    with database.reading() as session:
        assert set(session.scalars(select(OutcomeRow.kind))) == {"accepted"}
    assert owed(database) == 0


def test_a_completion_that_many_batches_tell_of_is_folded_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "QUIET_SECONDS", 0.5)
    folds, key = list[bool](), uuid4()
    fold_some = owed_folds.fold_some

    def counting(database: Database, limit: int) -> bool:
        folds.append(fold_some(database, limit))
        return folds[-1]

    monkeypatch.setattr(owed_folds, "fold_some", counting)
    record_completions(database, [served(key)])
    way_in = Intake(database)
    for told in (shown(key), event(key, "accepted", 1), event(key, "undone", 2)):
        assert statuses(way_in.submit(partial(list, [wire(told)]))) == ["stored"]
    way_in._thread.submit(int).result(30)
    assert folds == [False]
    assert owed(database) == 0


def test_a_steady_stream_of_batches_does_not_keep_outcomes_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_OWED_SECONDS", 1_000.0)  # the test takes none of it
    monkeypatch.setattr(intake, "MAX_EVENTS_AT_ONCE", 4)  # so that something always waits
    monkeypatch.setattr(intake, "FOLDS_PER_EVENT", 0.5)
    monkeypatch.setattr(intake, "MIN_FOLDS", 1)
    way_in, ids = Intake(database), [uuid4() for _ in range(4)]
    kinds = ("dismissed", "accepted", "undone", "diverged")
    record_completions(database, [served(one) for one in ids])
    stream = [[wire(event(one, kind, n)) for one in ids] for n, kind in enumerate(kinds)]
    way_in._waiting.extend(intake._Waiting(partial(list, batch)) for batch in stream)
    left = []
    for owed_s in (0.0, 1_000.0, 2_000.0):
        way_in._owes_since = monotonic() - owed_s
        way_in._write()
        left.append(owed(database))
    assert left == [4, 2, 0]  # none; half of what came; the later, the more
    way_in._write()
    assert owed(database) == 0  # it is quiet
    assert way_in._owes_since is None  # what comes next has its time again


def test_what_is_wrong_with_one_batch_is_not_the_others_affair(database: Database) -> None:
    way_in = Intake(database)
    good, bad = wire(shown(uuid4())), {"event_id": "x"}
    assert statuses(way_in.submit(lambda: [good, bad])) == ["stored", "refused"]
    unread, fine = way_in.submit(lambda: [][0]), way_in.submit(lambda: [good])
    with pytest.raises(IndexError):
        unread.result()
    assert statuses(fine) == ["duplicate"]


def test_a_batch_that_nobody_waits_for_is_not_the_others_affair(database: Database) -> None:
    way_in, items = Intake(database), [wire(shown(uuid4()))]
    with database.session() as session:
        session.execute(text("SELECT 1"))
        first = way_in.submit(lambda: items)
        while way_in._waiting:
            threading.Event().wait(0.01)
        left, last = way_in.submit(lambda: items), way_in.submit(lambda: items)
        assert left.cancel()
        assert not first.cancel()
    assert statuses(first) == ["stored"]
    assert statuses(last) == ["duplicate"]


def test_more_than_the_store_can_take_is_sent_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAITING", 3)
    with client_of(database) as client, ThreadPoolExecutor(8) as threads:

        def post(_: int) -> Any:
            return client.post("/v1/events", json={"events": [wire(shown(uuid4()))]})

        with database.session() as session:
            session.execute(text("SELECT 1"))
            answers = [threads.submit(post, number) for number in range(8)]
            while sum(answer.done() for answer in answers) < 5:
                threading.Event().wait(0.01)
        answers = [answer.result() for answer in answers]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert {answer.status_code for answer in refused} == {429}
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        assert "3 batches wait to be written" in refused[0].json()["detail"]
        assert stored(database) == 3
        assert post(0).status_code == 200


def test_bodies_that_wait_take_only_so_much_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAITING_BYTES", 10)
    way_in = Intake(database)
    with way_in.place(11), pytest.raises(intake.BusyError, match="1 batches wait"):
        way_in.check_room()
    way_in.check_room()
