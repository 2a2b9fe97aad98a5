"""With `content = off` the store has outcomes and figures, and no code at all."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from store_material import NOON, event, served, wire

from feedback_store import api, owed_folds
from feedback_store.completions import CONTENT_OFF, num_without_content, record_completions
from feedback_store.database import Database
from feedback_store.models import CandidateRow, CompletionRow, OutcomeRow, Row
from feedback_store.outcomes import fold
from feedback_store.visits import load_window

SUGGESTION, TYPED = "answer(42)", "answers(4711)"


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(api.routes(database, content=False))
    with TestClient(app) as opened:
        yield opened


def test_signals_are_stored_without_code(database: Database, client: TestClient) -> None:
    one = served(prefix="def answer(number):\n")
    one = replace(one, candidates=(replace(one.candidates[0], text=SUGGESTION),))
    key = one.request.completion_id
    record_completions(database, [one], content=False)
    story = [
        event(key, "shown", text=SUGGESTION),
        event(key, "accepted", 1),
        event(key, "settled", 12, text=TYPED, reaches_suffix=True, prefix_intact=True),
        event(key, "persisted", 700, text=TYPED, after_seconds=600, edit_distance=0.4,
              retained_characters=8),
    ]  # fmt: skip
    for batch in (story[:1], story[1:]):
        answer = client.post("/v1/events", json={"events": [wire(one) for one in batch]})
        assert {item["status"] for item in answer.json()["items"]} == {"stored"}
    owed_folds.fold_all(database)
    expected = fold(key, story)
    with database.reading() as session:
        row = session.scalars(select(OutcomeRow)).one()
        for name in ("kind", "edit_distance", "retained_characters", "kept", "accepted_length"):
            assert getattr(row, name) == getattr(expected, name), name
        kept = session.scalars(select(CompletionRow)).one()
        assert (kept.prefix, kept.prompt_ids, kept.barred) == ("", [], False)
        assert (kept.barred_reason, kept.engine_ms) == (CONTENT_OFF, 8.0)
        candidate = session.scalars(select(CandidateRow)).one()
        assert (candidate.text, candidate.token_ids) == ("", [])
        assert candidate.log_probs == [-0.1, -2.5]
        everything = str([tuple(r) for t in Row.metadata.sorted_tables
                          for r in session.execute(select(t))])  # fmt: skip
    assert "answer" not in everything
    assert load_window(database, since=NOON) == []
    assert num_without_content(database, since=NOON) == 1
    assert num_without_content(database, since=NOON + timedelta(days=1)) == 0
