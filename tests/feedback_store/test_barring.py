"""A secret that comes in anyway is stored nowhere, is counted, and is never trained on."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select
from store_material import BASE_SHA256, NOON, event, sealed, served, shown, wire

from feedback_store import audit, barring, scanning
from feedback_store.audit import Signed
from feedback_store.completions import ServedCandidate, record_completions
from feedback_store.database import Database
from feedback_store.events import append
from feedback_store.models import CompletionRow, EventRow
from feedback_store.registry import Registry
from feedback_store.schemas import OutcomeKind
from feedback_store.visits import load_window

SECRET = "ghp_" + "wJ8rXutnF3MIqK7MDeNGb2PxRfiCYzk5HvQ0"
ADA = Signed("ada", "better rules")


def barred_reasons(database: Database) -> dict[UUID, str | None]:
    with database.reading() as session:
        rows = session.execute(select(CompletionRow.completion_id, CompletionRow.barred_reason))
        return {key: reason for key, reason in rows}


def everything(database: Database) -> str:
    """All that is stored, as text."""
    told = []
    with database.engine.connect() as connection:
        for table in CompletionRow.metadata.sorted_tables:
            told += [str(tuple(row)) for row in connection.execute(select(table))]
    return "\n".join(told)


def test_a_completion_with_a_secret_is_stored_blank(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "feedback_store")
    bad = [
        served(prefix=f"push(\n  '{SECRET}'\n"),
        served(suffix=f"# {SECRET}\n"),
        served(candidates=(ServedCandidate(0, SECRET, (1,), (-0.1,), "stop"),)),
    ]
    file = served(path="deploy/.env")
    good = served()
    assert record_completions(database, [*bad, file, good]) == 5
    reasons = barred_reasons(database)
    assert {reasons[one.request.completion_id] for one in bad} == {"found in it: github-token"}
    assert reasons[file.request.completion_id] == "found in it: excluded-path"
    (kept,) = load_window(database, since=NOON)
    assert kept.completion == good
    assert SECRET not in everything(database)
    assert SECRET not in caplog.text
    assert barring.hit_counts(database) == {"github-token": 3, "excluded-path": 1}
    key = bad[0].request.completion_id
    (item,) = append(database, [wire(shown(key))]).items
    assert (item.status, item.reason) == ("refused", "its completion is barred")


@pytest.mark.parametrize("field", ["text", "comment", "correction"])
def test_an_event_with_a_secret_bars_its_completion(database: Database, field: str) -> None:
    one, other = served(), served()
    record_completions(database, [one, other])
    bad, good = one.request.completion_id, other.request.completion_id
    append(database, [wire(shown(bad)), wire(shown(good))])
    told = {"text": "x", "rating": "up"} | {field: f"x = '{SECRET}'"}
    kind = "diverged" if field == "text" else "rated"
    report = append(
        database,
        [wire(event(good, "accepted", 1)), wire(event(bad, kind, 2, **told))],
    )
    assert [item.status for item in report.items] == ["stored", "refused"]
    assert report.items[1].reason == "found in it: github-token"
    assert [v.completion.request.completion_id for v in load_window(database, since=NOON)] == [good]
    assert SECRET not in everything(database)
    with database.reading() as session:
        assert session.scalars(select(EventRow.completion_id)).all() == [good, good]
    assert barring.hit_counts(database) == {"github-token": 1}


def test_a_secret_that_comes_before_its_completion_closes_it(database: Database) -> None:
    one = served()
    key = one.request.completion_id
    append(database, [wire(shown(key))])
    append(database, [wire(event(key, "diverged", 1, text=SECRET))])
    assert record_completions(database, [one]) == 0
    assert SECRET not in everything(database)
    (item,) = append(database, [wire(shown(key))]).items
    assert item.reason == "its completion is barred"


@pytest.fixture
def later_rules(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let `swordfish` be a secret from the moment that this is called."""

    def learn() -> None:
        known = scanning.kinds_in
        monkeypatch.setattr(scanning, "RULES", scanning.RULES + 1)
        monkeypatch.setattr(
            scanning,
            "kinds_in",
            lambda texts: (
                (texts := list(texts))
                and known(texts)
                | ({"fish"} if any("swordfish" in text for text in texts) else set())
            ),
        )

    return learn


def test_better_rules_find_what_is_stored_already(
    database: Database, later_rules: Callable[[], None], tmp_path: Path
) -> None:
    registry = Registry(database, tmp_path / "adapters")
    barring.note_rules(database, datetime.now(UTC))
    plain = [served(prefix=f"x = {number}") for number in range(barring._COMPLETIONS_PER_STEP + 50)]
    in_row, in_event = served(prefix="swordfish"), served()
    record_completions(database, [*plain, in_row, in_event])
    key = in_event.request.completion_id
    append(
        database, [wire(shown(key)), wire(event(key, "settled", 20, text="swordfish",
        reaches_suffix=True, prefix_intact=True))],
    )  # fmt: skip
    learned = sealed(tmp_path / "made", lineage=(in_row.request.completion_id,))
    clean = sealed(tmp_path / "clean", value=0.25, lineage=(plain[0].request.completion_id,))
    for folder in ("made", "clean"):
        registry.register(tmp_path / folder, base_sha256=BASE_SHA256, run_id="night-1", metrics={})
    assert barring.scan(database, registry, ADA).barred == 0
    assert barring.backlog(database) == 0

    later_rules()
    barring.note_rules(database, datetime.now(UTC))
    assert barring.backlog(database) == len(plain) + 2
    steps: list[tuple[int, int]] = []
    done = barring.scan(database, registry, ADA, lambda *step: steps.append(step))
    assert (done.completions, done.barred) == (len(plain) + 2, 2)
    assert done.hits == {"fish": 2}
    assert done.adapters == (learned,)
    assert [record.sha256 for record in registry.list() if not record.barred] == [clean]
    assert steps[-1] == (len(plain) + 2, len(plain) + 2)
    assert len(steps) == 2
    assert "swordfish" not in everything(database)
    assert len(load_window(database, since=NOON)) == len(plain)
    assert barring.backlog(database) == 0
    assert barring.scan(database, registry, ADA).hits == {}
    assert {entry.action for entry in audit.entries(database, 9)} >= {
        "store scanned",
        "adapter barred",
    }


def test_a_barred_completion_counts_as_unseen_and_keeps_its_row(database: Database) -> None:
    one = served(prefix=SECRET)
    record_completions(database, [one, served()])
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(CompletionRow)) == 2
    (visit,) = load_window(database, since=NOON)
    assert visit.outcome.kind is OutcomeKind.UNSEEN
    assert visit.completion.model_sha256 == BASE_SHA256
