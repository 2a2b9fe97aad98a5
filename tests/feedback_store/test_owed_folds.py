"""Events that were stored in a hurry: owed until folded, and then as if folded at once."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from event_stories import stories
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from store_material import NOON, event, served, shown, wire

from feedback_store import barring, owed_folds, privacy, rollups
from feedback_store.audit import Signed
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.events import append, check, store_batches
from feedback_store.exporting import everything_about
from feedback_store.models import DailyRow, OutcomeRow, OwedFoldRow
from feedback_store.outcome_rows import refold
from feedback_store.outcomes import fold
from feedback_store.refolding import refold_all
from feedback_store.registry import Registry
from feedback_store.schemas import EARLIEST, Event
from feedback_store.visits import load_window


def hurry(database: Database, *events: Event) -> None:
    """Store events without folding them."""
    batch = check([wire(one) for one in events])
    (report,) = store_batches(database, [batch], datetime.now(UTC), in_hurry=True)
    assert {item.status for item in report.items} <= {"stored", "duplicate"}


def owed(database: Database) -> set[UUID]:
    with database.reading() as session:
        return set(session.scalars(select(OwedFoldRow.completion_id)))


def kind_of(database: Database, key: UUID) -> str | None:
    with database.reading() as session:
        return session.scalar(select(OutcomeRow.kind).where(OutcomeRow.completion_id == key))


def test_it_is_owed_once_however_often_it_is_touched(database: Database) -> None:
    one, other, unknown = uuid4(), uuid4(), uuid4()
    record_completions(database, [served(one), served(other)])
    hurry(database, shown(one), shown(unknown))
    hurry(database, event(one, "accepted", 1), shown(other))
    assert owed(database) == {one, other}
    assert kind_of(database, one) == "unseen"
    assert owed_folds.fold_all(database) == 2
    assert owed(database) == set()
    assert kind_of(database, one) == "accepted"
    record_completions(database, [served(unknown)])  # the event that came before it counts too
    (visit,) = (
        v
        for v in load_window(database, since=EARLIEST)
        if v.completion.request.completion_id == unknown
    )
    assert visit.outcome == fold(unknown, [shown(unknown)])


@given(data=st.data())
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_hurry_changes_no_outcome(database: Database, data: st.DataObject) -> None:
    key = uuid4()
    record_completions(database, [served(key)])
    events = data.draw(stories(key))
    for one in data.draw(st.permutations(events)):
        if data.draw(st.booleans()):
            hurry(database, one)
        else:
            append(database, [wire(one)])
        if data.draw(st.booleans()):
            owed_folds.fold_some(database, 100)
    owed_folds.fold_all(database)
    assert refold_all(database).changed == 0
    outcomes = {v.outcome.completion_id: v.outcome for v in load_window(database, since=EARLIEST)}
    assert outcomes[key] == fold(key, events)


def test_a_night_learns_of_what_is_still_owed(database: Database) -> None:
    key = uuid4()
    record_completions(database, [served(key)])
    hurry(database, shown(key), event(key, "accepted", 1))
    (visit,) = load_window(database, since=NOON)
    assert visit.outcome.kind == "accepted"


def test_an_export_tells_what_is_still_owed(database: Database) -> None:
    key = uuid4()
    record_completions(database, [served(key)])
    hurry(database, shown(key), event(key, "accepted", 1))
    told = [row for row in everything_about(database, "u1") if row["table"] == "outcomes"]
    assert [row["kind"] for row in told] == ["accepted"]


def test_what_cannot_be_folded_holds_up_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad, also_good = uuid4(), uuid4(), uuid4()
    record_completions(database, [served(one) for one in (good, bad, also_good)])
    hurry(database, *[shown(one) for one in (good, bad, also_good)])
    hurry(database, *[event(one, "accepted", 1) for one in (good, bad, also_good)])

    def breaks(session: Session, ids: Sequence[UUID]) -> None:
        if bad in ids:
            raise ValueError("no such year")
        refold(session, ids)

    monkeypatch.setattr(owed_folds, "refold", breaks)
    assert owed_folds.fold_all(database) == 3
    assert owed(database) == set()
    kinds = [kind_of(database, one) for one in (good, bad, also_good)]
    assert kinds == ["accepted", "unseen", "accepted"]
    assert f"{bad} cannot be folded" in caplog.text


def test_whoever_waits_for_folds_does_not_wait_for_those_that_come_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = uuid4()
    record_completions(database, [served(key)])
    hurry(database, shown(key))

    def owes_again(session: Session, ids: Sequence[UUID]) -> None:
        refold(session, ids)
        monkeypatch.setattr(owed_folds, "_PAID", select(1))  # as if it was owed anew at once

    monkeypatch.setattr(owed_folds, "refold", owes_again)
    assert owed_folds.fold_all(database) == 1
    assert owed(database) == {key}


def test_all_that_is_owed_is_folded_however_much_comes_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = sorted(uuid4() for _ in range(4))
    early = [UUID(int=number + 1) for number in range(4)]  # they come first in order
    record_completions(database, [served(one) for one in (*waiting, *early)])
    hurry(
        database, *[shown(one) for one in waiting], *[event(one, "accepted", 1) for one in waiting]
    )
    fold = owed_folds._fold

    def more_comes(database: Database, ids: Sequence[UUID]) -> None:
        fold(database, ids)
        hurry(database, shown(early.pop()))

    monkeypatch.setattr(owed_folds, "MAX_AT_ONCE", 1)
    monkeypatch.setattr(owed_folds, "_fold", more_comes)
    assert owed_folds.fold_all(database) == 4
    assert [kind_of(database, one) for one in waiting] == ["accepted"] * 4
    assert len(owed(database)) == 4


def test_what_a_crash_left_is_folded_and_what_comes_now_is_left_to_who_stores_it(
    database: Database,
) -> None:
    old, new = uuid4(), uuid4()
    record_completions(database, [served(one) for one in (old, new)])
    rests = list[None]()

    def rest() -> None:
        rests.append(None)

    hurry(database, shown(old))
    before = owed_folds.fold_left_over(database, None, rest)  # at start
    assert (before, owed(database)) == ({old}, set())
    hurry(database, event(old, "accepted", 1))
    before = owed_folds.fold_left_over(database, set(), rest)
    hurry(database, shown(new))
    assert owed_folds.fold_left_over(database, before, rest) == {old, new}
    assert owed(database) == {new}
    assert kind_of(database, old) == "accepted"
    assert len(rests) == 2


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_times_at_the_ends_of_the_calendar_are_folded(database: Database, moment: str) -> None:
    if database.is_postgresql:  # some server's own time; it holds for new connections
        with database.engine.begin() as connection:
            name = connection.scalar(text("SELECT current_database()"))
            connection.execute(text(f"ALTER DATABASE {name} SET timezone = 'America/New_York'"))
        database.close()
    key = uuid4()
    record_completions(database, [served(key)])
    at = datetime.fromisoformat(moment)
    told = [shown(key).model_copy(update={"occurred_at": at})]
    hurry(database, *told)
    owed_folds.fold_all(database)
    (visit,) = load_window(database, since=EARLIEST)
    assert visit.outcome == fold(key, told)


def test_figures_count_what_was_folded_late(database: Database) -> None:
    key = uuid4()
    record_completions(database, [served(key)])
    rollups.refresh(database)
    hurry(database, shown(key), event(key, "accepted", 1))
    owed_folds.fold_all(database)
    rollups.refresh(database)
    with database.reading() as session:
        assert session.scalar(select(DailyRow.accepted).where(DailyRow.dimension == "all")) == 1


def test_what_is_blank_or_gone_stays_so(database: Database, tmp_path: Path) -> None:
    blank, gone = uuid4(), uuid4()
    record_completions(database, [served(blank), served(gone, user="u2")])
    for key in (blank, gone):
        hurry(database, shown(key), event(key, "accepted", 1))
    barring.bar(database, blank, "by hand")
    registry = Registry(database, tmp_path / "adapters")
    privacy.erase(database, registry=registry, user="u2", signed=Signed("me", "gone"))
    owed_folds.fold_all(database)
    assert kind_of(database, blank) == "unseen"
    assert kind_of(database, gone) is None
    assert owed(database) == set()
