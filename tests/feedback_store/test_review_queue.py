"""Which pair comes next, how far we are, what people disagree about."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import update
from store_material import NOON, served

from feedback_store import review_case, review_queue, runs
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.models import TrainingRunRow
from feedback_store.review_queue import Agreement, Filters, Progress
from feedback_store.reviews import Seen, judge, undo_last
from feedback_store.verdicts import Verdict

ALL = Filters()


def night(database: Database, *pairs: dict[str, object], run_id: str = "night-1") -> list[UUID]:
    """Store a night with pairs, served and made; return their completions."""
    made = [served(**{k: v for k, v in one.items() if k in ("language", "user")}) for one in pairs]
    record_completions(database, made)
    keys = [one.request.completion_id for one in made]
    store(database, run_id, keys, pairs)
    return keys


def store(
    database: Database, run_id: str, keys: list[UUID], pairs: tuple[dict[str, object], ...]
) -> None:
    runs.start(database, run_id, {}, "log")
    row = {"rule": "R2", "weight": 1.0, "chosen": "41", "rejected": "42", "held_out": False}
    rows = [
        {
            **row,
            "split": "train",
            **{k: v for k, v in one.items() if k in row},
            "completion_id": key,
        }
        for key, one in zip(keys, pairs, strict=True)
    ]
    runs.store_pairs(database, run_id, rows)


def say(database: Database, key: UUID, who: str, verdict: Verdict, *, blind: bool = False) -> None:
    judge(database, key, who, verdict, seen=Seen("R2", "41", "42", blind))


def order(
    database: Database, who: str, filters: Filters = ALL, *, second: bool = False
) -> list[UUID]:
    """Agree to everything that comes, and return what came."""
    found: list[UUID] = []
    while key := review_queue.next_completion(database, who, filters, second=second):
        found.append(key)
        say(database, key, who, Verdict.AGREE)
    return found


def test_the_most_interesting_pair_comes_first(database: Database) -> None:
    light, heavy, held, alone = night(
        database,
        {"weight": 0.2},
        {"weight": 2.0},
        {"weight": 2.0, "held_out": True},
        {"rule": "R5", "rejected": None},
    )
    assert order(database, "ada") == [heavy, light]
    assert held not in order(database, "ada")
    assert alone not in order(database, "ada")


def test_nothing_is_asked_before_a_first_night(database: Database) -> None:
    assert review_queue.newest_night(database) is None
    assert review_queue.next_completion(database, "ada", ALL) is None
    assert review_queue.progress(database, "ada", ALL) == Progress()
    assert not review_queue.has_completions(database)
    record_completions(database, [served()])
    assert review_queue.has_completions(database)


def test_only_the_newest_night_that_has_pairs_is_asked_about(database: Database) -> None:
    (old,) = night(database, {})
    (new,) = night(database, {}, run_id="night-2")
    runs.start(database, "night-3", {}, "log")
    later = datetime.now(UTC) + timedelta(minutes=1)
    with database.session() as session:
        session.execute(
            update(TrainingRunRow)
            .where(TrainingRunRow.run_id != "night-1")
            .values(started_at=later)
        )
    found = review_queue.newest_night(database)
    assert found is not None
    assert found.run_id == "night-2"
    assert order(database, "ada") == [new]
    assert old != new


def test_what_was_skipped_comes_last_and_what_others_judged_not_at_all(database: Database) -> None:
    first, second, third, fourth = night(
        database, {"weight": 2.0}, {"weight": 1.5}, {"weight": 1.0}, {"weight": 0.5}
    )
    say(database, second, "ada", Verdict.SKIP)
    say(database, first, "ada", Verdict.SKIP)
    say(database, third, "bob", Verdict.SWAP)
    expected = Progress(total=4, judged=1, judged_by_me=0, skipped=2)
    assert review_queue.progress(database, "ada", ALL) == expected
    assert order(database, "ada") == [fourth, second, first]
    assert review_queue.progress(database, "ada", ALL) == Progress(4, 4, 3, 0)


def test_what_is_undone_comes_back(database: Database) -> None:
    (key,) = night(database, {})
    assert order(database, "ada") == [key]
    undo_last(database, "ada")
    assert order(database, "ada") == [key]


def test_second_opinions_are_about_what_others_judged(database: Database) -> None:
    first, second = night(database, {"weight": 2.0}, {"weight": 1.0})
    say(database, second, "bob", Verdict.SWAP)
    assert review_queue.next_completion(database, "ada", ALL, second=True) == second
    assert order(database, "ada", second=True) == [second]
    assert review_queue.next_completion(database, "ada", ALL) == first
    (dispute,) = review_case.disagreements(database, 9)
    assert [(one.reviewer, one.verdict) for one in dispute] == [("bob", "swap"), ("ada", "agree")]
    say(database, second, "bob", Verdict.AGREE)
    assert review_case.disagreements(database, 9) == ()


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (Filters(rule="R1"), [0]),
        (Filters(language="rust"), [1]),
        (Filters(user="bea"), [2]),
        (Filters(rule="R2", language="python"), [2]),
        (Filters(rule="R2", user="nobody"), []),
        (Filters(rule="' OR 1=1 --"), []),
    ],
)
def test_the_queue_can_be_filtered(database: Database, filters: Filters, wanted: list[int]) -> None:
    keys = night(database, {"rule": "R1"}, {"language": "rust"}, {"user": "bea"})
    expected = [keys[n] for n in wanted]
    assert [key for key, _ in review_queue.unjudged(database, filters)] == expected
    assert review_queue.progress(database, "ada", filters).total == len(wanted)
    assert order(database, "ada", filters) == expected
    assert review_queue.unjudged(database, filters) == []
    choices = review_queue.choices(database)
    assert choices.rules == (("R2", 2), ("R1", 1))
    assert choices.languages == (("python", 2), ("rust", 1))
    assert choices.users == (("u1", 2), ("bea", 1))


def test_agreement_counts_what_stands_and_what_was_judged_blind(database: Database) -> None:
    keys = night(database, {}, {}, {}, {}, {})
    verdicts = ("agree", "agree", "swap", "skip", "both_bad")
    blinds = (True, False, True, True, False)
    for key, verdict, blind in zip(keys, verdicts, blinds, strict=True):
        say(database, key, "ada", Verdict(verdict), blind=blind)
    assert review_queue.agreement(database) == Agreement(2, 4, 1, 2)
    undo_last(database, "ada")
    found = review_queue.agreement(database)
    assert (found.rate, found.blind_rate) == (2 / 3, 1 / 2)
    assert Agreement().rate is None


def test_a_pair_is_shown_as_it_was_before_anybody_judged_it(database: Database) -> None:
    """The night after has the sides as they were judged, under the rule for what people say."""
    (key,) = night(database, {"rule": "R1"})
    before = review_case.case_of(database, key)
    assert before is not None
    judge(database, key, "ada", Verdict.SWAP, seen=before.seen)
    store(database, "night-2", [key], ({"rule": "R9", "chosen": "42", "rejected": "41"},))
    undo_last(database, "ada")
    after = review_case.case_of(database, key)
    assert after is not None
    assert after.seen == before.seen == Seen("R1", "41", "42")
    assert [review.verdict for review in after.reviews] == ["swap"]
    assert after.reviews[0].undone_at is not None
    assert after.served_at == NOON
