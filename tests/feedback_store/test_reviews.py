"""A human's judgement overrides what the events say, and can be taken back."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from alembic import command
from sqlalchemy import text
from store_material import NOON, event, served, wire

from feedback_store import audit
from feedback_store.completions import record_completions
from feedback_store.database import Database, migration_config
from feedback_store.errors import EventError
from feedback_store.events import append
from feedback_store.reviews import Seen, judge, judge_many, undo_batch, undo_last
from feedback_store.verdicts import Judgement, Verdict
from feedback_store.visits import load_window

PAIR = Seen("R2", "41", "42")


def check(database: Database, rating: str | None, correction: str | None) -> None:
    (visit,) = load_window(database, since=NOON)
    assert (visit.outcome.rating, visit.outcome.correction) == (rating, correction)


def check_counts(database: Database, expected: str | None) -> None:
    """Compare the verdict that counts, and that the outcome is left alone."""
    (visit,) = load_window(database, since=NOON)
    assert (visit.judgement and visit.judgement.verdict) == expected
    assert visit.outcome.rating is None


def stored(database: Database) -> UUID:
    one = served()
    record_completions(database, [one])
    return one.request.completion_id


def test_the_newest_review_overrides_the_user_s_own_rating(database: Database) -> None:
    key = stored(database)
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


def test_of_a_pair_the_newest_verdict_counts_that_says_something(database: Database) -> None:
    key = stored(database)
    check_counts(database, None)
    for reviewer, verdict, counting in (
        ("ada", Verdict.SKIP, None),
        ("ada", Verdict.SWAP, "swap"),
        ("bob", Verdict.BOTH_BAD, "both_bad"),
        ("bob", Verdict.SKIP, "both_bad"),
    ):
        assert judge(database, key, reviewer, verdict, seen=PAIR)
        check_counts(database, counting)
    for undone, counting in (("skip", "both_bad"), ("both_bad", "swap")):
        taken_back = undo_last(database, "bob")
        assert taken_back is not None
        assert (taken_back.completion_id, taken_back.verdict) == (key, undone)
        check_counts(database, counting)
    assert undo_last(database, "bob") is None
    judge(database, key, "bob", Verdict.EDIT, "40", seen=PAIR)
    (visit,) = load_window(database, since=NOON)
    assert visit.judgement == Judgement(Verdict.EDIT, "40", "41", "42")


def test_saying_the_same_twice_is_saying_it_once(database: Database) -> None:
    key = stored(database)
    assert judge(database, key, "ada", Verdict.AGREE, seen=PAIR)
    assert not judge(database, key, "ada", Verdict.AGREE, seen=PAIR)
    assert judge(database, key, "bob", Verdict.SWAP, seen=PAIR)
    assert judge(database, key, "ada", Verdict.AGREE, seen=PAIR)  # after bob it is news
    check_counts(database, "agree")


def test_a_change_of_mind_has_a_time(database: Database) -> None:
    key = stored(database)
    (visit,) = load_window(database, since=NOON)
    assert visit.reviewed_at is None
    judge(database, key, "ada", Verdict.AGREE, seen=PAIR)
    (judged,) = load_window(database, since=NOON)
    undo_last(database, "ada")
    (undone,) = load_window(database, since=NOON)
    assert judged.reviewed_at is not None
    assert undone.reviewed_at is not None
    assert undone.reviewed_at > judged.reviewed_at
    assert undone.judgement is None


def test_many_are_judged_at_once_and_taken_back_at_once(database: Database) -> None:
    keys = [stored(database) for _ in range(3)]
    pairs = [(key, PAIR) for key in [*keys, uuid4()]]  # one was erased meanwhile
    batch = judge_many(database, pairs, "ada", Verdict.BOTH_BAD, "rule R2")
    said = [visit.judgement for visit in load_window(database, since=NOON)]
    assert [one and one.verdict for one in said] == ["both_bad"] * 3
    summary, *each = audit.entries(database, 9)
    assert (summary.action, summary.reason) == ("judged in bulk", "both_bad: rule R2")
    assert [(line.action, line.who) for line in each] == [("judged", "ada")] * 3
    assert {line.subject for line in each} == {str(key) for key in keys}
    assert undo_batch(database, batch, "bob") == 3
    assert all(visit.judgement is None for visit in load_window(database, since=NOON))
    with pytest.raises(EventError, match="undone before"):
        undo_batch(database, batch, "bob")
    with pytest.raises(EventError, match="nothing to judge"):
        judge_many(database, [], "ada", Verdict.AGREE, "nothing")
    judge_many(database, pairs, "ada", Verdict.AGREE, "rule R2")
    undone = undo_last(database, "ada")
    assert undone is not None
    assert undone.count == 3


def test_every_judgement_and_every_undo_is_in_the_log(database: Database) -> None:
    key = stored(database)
    judge(database, key, "ada", Verdict.SWAP, seen=PAIR)
    undo_last(database, "ada")
    found = [(e.who, e.action, e.subject, e.reason) for e in audit.entries(database, 9)]
    assert found == [
        ("ada", "judgement undone", str(key), "swap"),
        ("ada", "judged", str(key), "swap"),
    ]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda d, k: judge(d, uuid4(), "ada", "up"), "is not stored: nothing to review"),
        (lambda d, k: judge(d, k, "ada", "meh"), "verdict 'meh' is unknown: say one of agree"),
        (lambda d, k: judge(d, k, " ", "up"), "needs the name of its reviewer"),
        (lambda d, k: judge(d, k, "ada", "swap"), "say which one was seen"),
        (lambda d, k: judge(d, k, "ada", "edit", " ", seen=PAIR), "empty text"),
        (lambda d, k: judge(d, k, "ada", "edit", "a\0b", seen=PAIR), "NUL"),
        (lambda d, k: judge(d, k, "ada", "edit", "x" * 20_000, seen=PAIR), "longer than"),
    ],
)
def test_what_is_no_judgement_is_refused(
    database: Database, call: Callable[[Database, UUID], object], says: str
) -> None:
    key = stored(database)
    with pytest.raises(EventError, match=says):
        call(database, key)
    check_counts(database, None)
    assert audit.entries(database, 1) == ()


def test_reviews_of_old_keep_their_meaning_up_and_down(database: Database) -> None:
    key = stored(database)
    for number, verdict in enumerate(["down", *(set(Verdict) - {Verdict.UP, Verdict.DOWN})]):
        seen = None if verdict == "down" else PAIR
        words = "40" if verdict == "edit" else None
        judge(database, key, f"{verdict} {number}", verdict, words, seen=seen)
    judge(database, key, "undone", Verdict.SWAP, seen=PAIR)
    undo_last(database, "undone")
    with database.engine.begin() as connection:
        command.downgrade(migration_config(connection), "0003")
        query = "SELECT reviewer, verdict, text FROM reviews"
        rows = {
            who.split()[0]: (said, words) for who, said, words in connection.execute(text(query))
        }
        assert rows == {
            "down": ("down", None),
            "agree": ("down", "41"),  # the suggestion was worse than this
            "swap": ("up", None),
            "both_bad": ("down", None),
            "both_good": ("up", None),
            "edit": ("down", "40"),
        }
        command.upgrade(migration_config(connection), "head")
    (visit,) = load_window(database, since=NOON)
    assert visit.judgement is None
    assert visit.outcome.rating in ("up", "down")
