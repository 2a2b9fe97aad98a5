"""Builders shared by the trainer's tests: visits as the store hands them out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from feedback_store.completions import ServedCandidate, ServedCompletion, Visit
from feedback_store.outcomes import Outcome
from feedback_store.schemas import CompletionRequest, Mode, OutcomeKind, Timings

START = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
VisitMaker = Callable[..., Visit]

_OUTCOME: dict[str, Any] = {
    "kind": OutcomeKind.DIVERGED,
    "candidate_index": 0,
    "suggestion": None,
    "visible_ms": 900,
    "accepted_length": 0,
    "settled_text": None,
    "reaches_suffix": True,
    "prefix_intact": True,
    "reformatted": False,
    "edit_distance": None,
    "retained_characters": None,
    "kept": False,
    "deleted": False,
    "undone": False,
    "replaced_text": None,
    "rating": None,
    "correction": None,
    "last_event_at": START,
}


def make_visit(
    number: int,
    prefix: str = "import os\n\nx = ",
    suffix: str = "\nprint(x)\n",
    *,
    answers: tuple[str, ...] = ("os.getcwd()",),
    served: dict[str, Any] | None = None,
    request: dict[str, Any] | None = None,
    barred: bool = False,
    **outcome: Any,
) -> Visit:
    """Return a visit: by default `answers[0]` was shown 900 ms and something else typed."""
    completion_id = UUID(int=number + 1)
    fields: dict[str, Any] = {
        "document_id": "d",
        "record": True,
        "language": "python",
        "path": "a.py",
        "repository": "r",
        "line": prefix.count("\n"),
        "mode": Mode.LINE,
    }
    fields |= request or {}
    asked = CompletionRequest(
        completion_id=completion_id, prefix=prefix, suffix=suffix, requested_at=START, **fields
    )
    candidates = tuple(
        ServedCandidate(i, text, (10 + i,), (-0.5,), "stop") for i, text in enumerate(answers)
    )
    facts: dict[str, Any] = {
        "request": asked,
        "served_at": START + timedelta(seconds=number),
        "model": "starter",
        "model_sha256": "0" * 64,
        "adapter": None,
        "arm": "live",
        "prompt_ids": (1, 2, 3, number),
        "healed": "",
        "num_cached_tokens": 0,
        "candidates": candidates,
        "show": True,
        "propensity": 1.0,
        "timings": Timings(queue_ms=0, prompt_ms=0, prefill_ms=0, decode_ms=0, engine_ms=1),
    }
    said = {"suggestion": answers[0]} if answers else {}
    result = Outcome(completion_id=completion_id, **(_OUTCOME | said | outcome))
    return Visit(ServedCompletion(**(facts | (served or {}))), result, barred)


@pytest.fixture(scope="session")
def visit() -> VisitMaker:
    return make_visit
