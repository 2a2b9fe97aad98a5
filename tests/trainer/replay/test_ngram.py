"""The copy baseline writes what stood there before, its own file first."""

from datetime import UTC, datetime
from uuid import UUID

from feedback_store.schemas import CompletionRequest
from trainer.dataset import Position
from trainer.replay.exam import ExamPosition
from trainer.replay.ngram import CopyBaseline, copy_scores
from trainer.replay.work import Hunk, Work

DAY = Work(
    "day.py",
    "day.py",
    "import os\n",
    (Hunk(9, 9, "\nlog = get_logger(__name__)\nlog.info('ready')"),),
)


def check(prefix: str, answer: str) -> None:
    assert CopyBaseline([DAY]).answer(prefix) == answer


def test_the_line_that_followed_before_follows_again() -> None:
    check("log = get_logger(__name__)\nlog.in", "fo('ready')")
    check("log = get_logger(__name__)\n    ", "log.info('ready')")


def test_a_known_beginning_is_completed_the_own_file_first() -> None:
    check("x = 1\nlog = ", "get_logger(__name__)")
    check("log = make_log()\nx = 1\nlog = ", "make_log()")


def test_nothing_known_is_nothing_written() -> None:
    check("x = 1\nfrobnicate(", "")
    check("x = 1\n", "")


def place(prefix: str, text: str, *, complete: bool) -> ExamPosition:
    request = CompletionRequest(
        completion_id=UUID(int=1),
        document_id="d",
        prefix=prefix,
        requested_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return ExamPosition(Position("a.py", request, (1,), "", text, complete), ("unseen",))


def test_scores_tell_a_match_a_run_on_and_an_early_stop() -> None:
    places = [
        place("x = 1\nlog = ", "get_logger(__name__)", complete=True),
        place("x = 1\nlog = ", "get_logger(", complete=True),
        place("x = 1\nlog = ", "get_logger(__name__).child()", complete=True),
        place("x = 1\nfrob", "nicate()", complete=True),
    ]
    scores = copy_scores([DAY], places)
    assert [s.exact for s in scores] == [True, False, False, False]
    assert [s.ran_on for s in scores] == [False, True, False, False]
    assert [s.stopped_early for s in scores] == [False, False, True, True]
    assert [s.matched for s in scores] == [20, 11, 20, 0]
    assert all(s.log_prob is None and s.strata == ("unseen",) for s in scores)
