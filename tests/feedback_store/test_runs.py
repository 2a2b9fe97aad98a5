"""Nights are written down, also those that were killed."""

from uuid import uuid4

import pytest
from sqlalchemy import select
from store_material import served

from feedback_store import runs
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.errors import DatabaseError, EventError
from feedback_store.models import PairRow
from feedback_store.schemas import Rule


def pair(**changes: object) -> dict[str, object]:
    return {
        "completion_id": uuid4(), "rule": Rule.TYPED_INSTEAD, "weight": 0.6, "chosen": "a",
        "rejected": None, "held_out": True, "split": "held-out",
    } | changes  # fmt: skip


def test_a_night_is_written_down_from_start_to_end(database: Database) -> None:
    runs.start(database, "n1", {"epochs": 2.0}, "logs/night-n1.log")
    (run,) = runs.list_runs(database)
    assert (run.status, run.exit_code, run.finished_at) == ("running", None, None)
    reasons = {"promote": False, "reasons": ["37 more positions needed"]}
    runs.finish(
        database, "n1", status="kept", exit_code=3, metrics={"loss": [1.0, float("nan")]},
        decision=reasons, adapter="a" * 64,
    )  # fmt: skip
    (run,) = runs.list_runs(database)
    assert (run.status, run.exit_code, run.adapter) == ("kept", 3, "a" * 64)
    assert (run.settings, run.metrics) == ({"epochs": 2.0}, {"loss": [1.0, None]})
    assert (run.decision, run.log_path) == (reasons, "logs/night-n1.log")
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at


def test_the_newest_night_comes_first(database: Database) -> None:
    for number in range(5):
        runs.start(database, f"n{number}", {}, "log")
    assert [run.run_id for run in runs.list_runs(database, limit=2)] == ["n4", "n3"]


def test_killed_nights_are_marked_but_not_the_one_that_asks(database: Database) -> None:
    for name in ("killed", "done", "mine"):
        runs.start(database, name, {}, "log")
    runs.finish(
        database, "done", status="promoted", exit_code=0, metrics={}, decision=None, adapter=None
    )
    assert runs.mark_abandoned(database, "mine") == 1
    assert {run.run_id: run.status for run in runs.list_runs(database)} == {
        "killed": "abandoned", "done": "promoted", "mine": "running",
    }  # fmt: skip
    assert runs.mark_abandoned(database) == 1
    assert runs.mark_abandoned(database) == 0


def test_a_night_starts_once_and_must_have_started(database: Database) -> None:
    runs.start(database, "n1", {}, "log")
    with pytest.raises(DatabaseError, match=r"(?i)unique"):
        runs.start(database, "n1", {}, "log")
    with pytest.raises(EventError, match="run n2 was never started"):
        runs.finish(
            database, "n2", status="kept", exit_code=3, metrics={}, decision={}, adapter=None
        )


def test_pairs_are_kept_with_their_rule(database: Database) -> None:
    one = served()
    record_completions(database, [one])
    runs.start(database, "n1", {}, "log")
    rows = [pair(completion_id=one.request.completion_id), pair()]
    assert runs.store_pairs(database, "n1", rows) == 1  # the other one was erased meanwhile
    assert runs.store_pairs(database, "n1", []) == 0
    with database.reading() as session:
        (row,) = session.scalars(select(PairRow)).all()
        assert (row.rule, row.weight, row.chosen, row.rejected) == ("R2", 0.6, "a", None)
        assert (row.held_out, row.split) == (True, "held-out")


def test_a_pair_with_a_field_missing_is_refused(database: Database) -> None:
    row = pair()
    del row["weight"], row["split"]
    with pytest.raises(EventError, match="needs weight, split"):
        runs.store_pairs(database, "n1", [row])
