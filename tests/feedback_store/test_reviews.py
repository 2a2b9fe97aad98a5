"""A human's judgement overrides what the events say."""

from uuid import uuid4

import pytest
from store_material import NOON, event, served, wire

from feedback_store.completions import load_window, record_completions
from feedback_store.database import Database
from feedback_store.errors import EventError
from feedback_store.events import append
from feedback_store.reviews import judge


def check(database: Database, rating: str | None, correction: str | None) -> None:
    (visit,) = load_window(database, since=NOON)
    assert (visit.outcome.rating, visit.outcome.correction) == (rating, correction)


def test_the_newest_review_overrides_the_user_s_own_rating(database: Database) -> None:
    one = served()
    key = one.request.completion_id
    record_completions(database, [one])
    check(database, None, None)
    append(database, [wire(event(key, "rated", 1, rating="up", correction="41"))])
    check(database, "up", "41")
    judge(database, key, "ada", "down")
    check(database, "down", "41")
    judge(database, key, "bob", "up", "43")
    check(database, "up", "43")
    # Folding again does not lose it.
    append(database, [wire(event(key, "rated", 2, ordinal=1, rating="down"))])
    check(database, "up", "43")


def test_what_is_no_judgement_is_refused(database: Database) -> None:
    with pytest.raises(EventError, match="is not stored: nothing to review"):
        judge(database, uuid4(), "ada", "up")
    with pytest.raises(EventError, match="verdict 'meh' is unknown: say one of up, down"):
        judge(database, uuid4(), "ada", "meh")  # type: ignore[arg-type]
    with pytest.raises(EventError, match="needs the name of its reviewer"):
        judge(database, uuid4(), " ", "up")
