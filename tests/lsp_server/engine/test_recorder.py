"""The recorder: everything that can be stored is, and one bad row holds up nothing."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from feedback_store.completions import ServedCandidate, ServedCompletion
from feedback_store.database import Database, default_url
from feedback_store.schemas import CompletionRequest, Timings
from feedback_store.visits import load_window
from lsp_server.engine.recorder import Recorder

NOW = datetime.now(UTC)


def served(**fields: object) -> ServedCompletion:
    request = CompletionRequest(
        completion_id=uuid4(), document_id="d", record=True, prefix="x = ", requested_at=NOW
    )
    completion = ServedCompletion(
        request=request,
        served_at=NOW,
        model="starter",
        model_sha256="0" * 64,
        adapter=None,
        arm="live",
        prompt_ids=(1, 2, 3),
        healed="",
        num_cached_tokens=0,
        candidates=(ServedCandidate(0, "1", (4,), (-0.5,), "stop"),),
        show=True,
        propensity=1.0,
        timings=Timings(queue_ms=0, prompt_ms=0, prefill_ms=0, decode_ms=0, engine_ms=0),
    )
    return replace(completion, **fields)  # type: ignore[arg-type]


def test_a_row_that_cannot_be_stored_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database.open(default_url(tmp_path))
    recorder = Recorder(database)
    good = [served() for _ in range(5)]
    bad = served(served_at=NOW.replace(tzinfo=None))
    odd = served(num_cached_tokens=2**70)
    with caplog.at_level(logging.ERROR):
        for completion in (good[0], bad, good[1], odd, *good[2:]):
            recorder.put(completion)
        recorder.close()
    stored = {
        visit.completion.request.completion_id
        for visit in load_window(database, since=NOW - timedelta(minutes=1))
    }
    assert stored == {completion.request.completion_id for completion in good}
    assert caplog.text.count("cannot be stored") == 2
    database.close()
