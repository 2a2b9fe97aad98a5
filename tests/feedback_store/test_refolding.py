"""Folding everything anew: right afterwards, quiet where nothing is wrong, safe beside a host."""

import threading
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update
from store_material import event, served, shown, wire

from feedback_store import refolding
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.events import append
from feedback_store.models import OutcomeRow, StaleRow
from feedback_store.outcomes import Outcome
from feedback_store.refolding import Refolded, refold_all
from feedback_store.schemas import EARLIEST, OutcomeKind
from feedback_store.visits import load_window


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refolding, "_PER_STEP", 7)


def live(database: Database, number: int = 20) -> list[UUID]:
    ids = [uuid4() for _ in range(number)]
    record_completions(database, [served(one) for one in ids])
    events = [[shown(one), event(one, "accepted", 1, visible_ms=900)] for one in ids[1:]]
    append(database, [wire(one) for of_one in events for one in of_one])
    append(database, [wire(event(uuid4(), "accepted"))])  # its completion never came
    return ids


def outcomes(database: Database) -> dict[UUID, Outcome]:
    visits = load_window(database, since=EARLIEST)
    return {v.completion.request.completion_id: v.outcome for v in visits}


def damage(database: Database) -> None:
    with database.session() as session:
        session.execute(update(OutcomeRow).values(kind="ignored", suggestion="wrong"))


def marks(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(StaleRow)) or 0


def test_what_is_wrong_is_put_right_and_told_to_the_figures(database: Database) -> None:
    live(database)
    before, marked = outcomes(database), marks(database)
    damage(database)
    told: list[tuple[int, int]] = []
    assert refold_all(database, lambda *so_far: told.append(so_far)) == Refolded(20, 20)
    assert outcomes(database) == before
    assert told == [(7, 20), (14, 20), (20, 20)]
    assert marks(database) == marked + 20


def test_what_is_right_is_left_alone(database: Database) -> None:
    live(database)
    marked = marks(database)
    assert refold_all(database) == Refolded(20, 0)
    assert marks(database) == marked
    assert refold_all(database) == Refolded(20, 0)


def test_it_goes_on_where_it_was_interrupted(database: Database) -> None:
    live(database)
    before = outcomes(database)
    damage(database)

    def interrupt(done: int, _total: int) -> None:
        if done >= 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refold_all(database, interrupt)
    assert refold_all(database) == Refolded(20, 6)
    assert outcomes(database) == before


def test_an_event_that_comes_between_reading_and_writing_is_not_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = live(database)
    damage(database)
    write = refolding._write

    def with_news(*arguments: object) -> int:
        one = next(iter(arguments[1]))  # type: ignore[call-overload]
        append(database, [wire(event(one, "undone", 3))])
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(refolding, "_write", with_news)
    assert refold_all(database).changed == 17  # each step finds one that changed meanwhile
    after = outcomes(database)
    assert sum(outcome.undone for outcome in after.values()) == 3
    assert OutcomeKind.IGNORED not in {outcome.kind for outcome in after.values()}
    assert set(after) == set(ids)


def test_a_host_ingests_meanwhile(database: Database) -> None:
    ids = live(database, 60)
    damage(database)

    def ingest() -> None:
        for one in ids[::2]:
            append(database, [wire(event(one, "undone", 4))])

    host = threading.Thread(target=ingest)
    host.start()
    while host.is_alive():
        refold_all(database)
    host.join()
    refold_all(database)
    after = outcomes(database)
    assert refold_all(database) == Refolded(60, 0)
    assert [after[one].undone for one in ids] == [number % 2 == 0 for number in range(60)]
