"""What is kept of what left: the newest, up to a size, and only what was recorded."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from feedback_store.schemas import CompletionRequest
from lsp_server.editor import leaving
from lsp_server.editor.leaving import Leaving


def question(record: bool) -> CompletionRequest:
    return CompletionRequest(
        completion_id=uuid4(),
        document_id="d",
        record=record,
        prefix="x = ",
        requested_at=datetime.now(UTC),
    )


def test_a_question_is_told_before_and_kept_after_it_was_answered() -> None:
    heard: list[dict[str, Any]] = []
    left = Leaving(heard.append)
    asked = question(record=True)
    left.completion(asked)
    assert [one["completion_id"] for one in heard] == [str(asked.completion_id)]
    assert left.kept() == []
    left.answered(asked)
    assert left.kept() == heard


def test_what_is_not_recorded_is_told_but_not_kept() -> None:
    heard: list[dict[str, Any]] = []
    left = Leaving(heard.append)
    left.completion(question(record=False))
    left.answered(question(record=False))
    assert (heard[0]["record"], left.kept()) == (False, [])


def test_a_batch_is_kept_once_the_store_has_it() -> None:
    left = Leaving()
    left.events([{"event_id": "1"}])
    assert left.kept() == []
    left.delivered([{"event_id": "1"}])
    assert left.kept() == [{"what": "event", "event_id": "1"}]


def test_the_oldest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "MAX_KEPT_CHARACTERS", 200)
    left = Leaving()
    for number in range(50):
        left.delivered([{"event_id": str(number)}])
    assert left.kept()[-1]["event_id"] == "49"
    assert len(left.kept()) + left.num_forgotten == 50
    assert left.num_forgotten > 40
