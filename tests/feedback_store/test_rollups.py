"""Daily figures are those of the outcomes, whatever changes, and words find what holds them."""

import math
import random
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, select, text
from store_material import NOON, event, served, shown, wire

from feedback_store import barring, latency, privacy, rollups, search
from feedback_store.admin.figures import read_figures
from feedback_store.completions import ServedCandidate, record_completions
from feedback_store.database import Database, migration_config
from feedback_store.events import append
from feedback_store.intervals import Estimate
from feedback_store.latency import Histogram
from feedback_store.models import CompletionRow, DailyRow, SearchRow, StaleRow
from feedback_store.privacy import Retention
from feedback_store.registry import Registry


def visit(database: Database, *kinds: str, days: int = 0, **rest: Any) -> UUID:
    """Record a completion, `days` before noon, and what happened to it."""
    one = served(served_at=NOON - timedelta(days=days), **rest)
    key = one.request.completion_id
    record_completions(database, [one])
    happened = [event(key, kind, 1, visible_ms=900) for kind in kinds]
    if happened:
        append(database, [wire(item) for item in (shown(key), *happened)])
    return key


def figures(database: Database, dimension: str = "all") -> dict[str, tuple[int, int, int, int]]:
    """Return served, shown, accepted and kept of each day, or of a day's slices."""
    with database.reading() as session:
        return {
            f"{row.day} {row.name}".strip(): (row.served, row.shown, row.accepted, row.kept)
            for row in session.scalars(select(DailyRow).where(DailyRow.dimension == dimension))
        }


def found(database: Database, query: str) -> list[UUID]:
    with database.reading() as session:
        ids = search.Search(session, query).read(None, 10).document_ids
        rows = select(SearchRow.completion_id).where(SearchRow.document_id.in_(ids))
        return list(session.scalars(rows.order_by(SearchRow.document_id.desc())))


def test_figures_are_by_day_language_client_and_adapter(database: Database) -> None:
    visit(database, "accepted", client="neovim")
    visit(database, "typed_through", client="neovim")
    visit(database, client="neovim")
    visit(database, "dismissed", language="rust", adapter="a" * 64, days=1)
    rollups.refresh(database)
    noon, before = (3, 2, 1, 1), (1, 1, 0, 0)
    assert figures(database) == {"2026-11-03": noon, "2026-11-02": before}
    for dimension, name, other in (("language", "python", "rust"), ("client", "neovim", "unknown"),
                                   ("adapter", "", "a" * 64)):  # fmt: skip
        told = {f"2026-11-03 {name}".strip(): noon, f"2026-11-02 {other}": before}
        assert figures(database, dimension) == told


def test_making_figures_rests_between_pieces_of_work(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "_MARKS_AT_ONCE", 2)
    monkeypatch.setattr(rollups, "_ROWS_AT_ONCE", 1)
    for _ in range(6):
        visit(database, "accepted")
    rests = list[str]()
    assert rollups.refresh(database, rest=lambda: rests.append("rest")) == 1
    assert len(rests) >= 6 + 3  # after every row, and after every two marks
    assert figures(database) == {"2026-11-03": (6, 6, 6, 0)}


def test_an_event_that_comes_late_changes_its_day(database: Database) -> None:
    key = visit(database, days=3)
    assert rollups.refresh(database) == 1
    append(database, [wire(shown(key)), wire(event(key, "accepted", 5))])
    visit(database)
    assert rollups.refresh(database) == 2
    assert figures(database)["2026-10-31"] == (1, 1, 1, 0)
    assert rollups.refresh(database) == 0


def test_erased_and_aged_rows_leave_the_figures_and_the_index(
    database: Database, tmp_path: Path
) -> None:
    registry = Registry(database, tmp_path / "adapters")
    visit(database, "accepted", user="gone", path="gone/quokka.py")
    visit(database, "accepted", user="old", path="old/aged.py", days=20)
    kept = visit(database, path="kept.py")
    rollups.refresh(database)
    assert len(found(database, "quokka")) == 1
    privacy.erase(database, registry=registry, user="gone")
    privacy.enforce(database, Retention(max_age_days=10), NOON)
    assert figures(database) == {"2026-11-03": (1, 0, 0, 0)}
    assert (found(database, "quokka"), found(database, "aged")) == ([], [])
    assert found(database, "kept") == [kept]
    if database.path is not None:
        with database.maintaining() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert b"quokka" not in database.path.read_bytes()


def test_a_barred_completion_cannot_be_found(database: Database) -> None:
    key = visit(database, "accepted")
    rollups.refresh(database)
    assert found(database, "42") == [key]
    barring.bar(database, key, "a secret")
    assert found(database, "42") == []
    rollups.refresh(database)
    assert found(database, "42") == []
    assert figures(database)["2026-11-03"] == (1, 0, 0, 0)


def test_what_newly_stands_there_is_found(database: Database) -> None:
    key = visit(database, "accepted", path="quokka.py")
    rollups.refresh(database)
    for after_s, words in ((10, "wombat"), (20, "numbat of quokka"), (30, "quokka")):
        told = event(key, "settled", after_s, ordinal=after_s, text=words, reaches_suffix=True,
                     prefix_intact=True)  # fmt: skip
        append(database, [wire(told)])
        rollups.refresh(database)
        assert found(database, words) == [key]
    assert found(database, "wombat") == []
    assert found(database, "numbat") == [key]  # nothing new stands there


def test_words_read_before_a_secret_was_found_are_not_kept(database: Database) -> None:
    barred, erased, kept = (visit(database, "accepted", path=f"{n}/quokka.py") for n in range(3))
    slow = rollups._read(database)
    assert slow is not None
    barring.bar(database, barred, "a secret")
    with database.session() as session:
        session.execute(delete(CompletionRow).where(CompletionRow.completion_id == erased))
    assert rollups._write(database, slow)
    assert found(database, "quokka") == [kept]


def test_everything_can_be_made_anew(database: Database) -> None:
    for days in (0, 0, 1, 9):
        visit(database, "accepted", days=days)
    rollups.refresh(database)
    before = figures(database)
    with database.session() as session:
        session.execute(text("UPDATE daily_figures SET served = 77, shown = 0"))
        session.execute(text("DELETE FROM search_texts"))
    assert rollups.rebuild(database) == 10
    assert figures(database) == before
    assert len(found(database, "42")) == 4


def test_figures_of_an_older_form_are_made_anew(database: Database) -> None:
    for days in (0, 3):
        visit(database, "accepted", days=days)
    rollups.refresh(database)
    with database.engine.begin() as connection:
        command.downgrade(migration_config(connection), "0008")
    rollups.refresh(database)  # here with the newer code; an older host would write its own form
    with database.engine.begin() as connection:
        connection.execute(text('UPDATE daily_figures SET latency = \'{"engine_ms": {"31": 1}}\''))
        command.upgrade(migration_config(connection), "head")
    assert rollups.refresh(database) == 2
    told = read_figures(database, until=NOON.date(), num_days=7)
    assert [day.counts.served for day in told.days] == [1, 1]
    assert {stage for stage, _ in told.stages} == set(latency.STAGES)


def test_work_that_another_host_did_meanwhile_is_dropped(database: Database) -> None:
    key = visit(database)
    slow = rollups._read(database)
    assert slow is not None
    append(database, [wire(shown(key)), wire(event(key, "accepted", 5))])
    rollups.refresh(database)
    assert not rollups._write(database, slow)
    assert figures(database)["2026-11-03"] == (1, 1, 1, 0)
    with database.reading() as session:
        assert session.scalar(select(StaleRow.mark_id)) is None


TEXT = "retryAfter or self.retry_after  # ünïcode"


@pytest.mark.parametrize(
    ("query", "finds"),
    [
        ("retry_after", True),
        ("RETRY", True),
        ("after retry", True),
        ("retr*", True),
        ("RETR* http", True),
        ("self.retr*", True),
        ("clie* settl* after", True),
        ("retr", False),
        ("retr *", False),
        ("after nowhere*", False),
        ("*", False),
        ("client http_pool", True),
        ("ünïcode", True),
        ("return settled", True),
        ("nowhere", False),
        ("retry nowhere", False),
        ("etry", False),
        ("", False),
        ("'); DROP TABLE events; --", False),
        ('" NOT "retry', False),
        ("retry & ! after", True),
    ],
)
def test_words_find_completions(database: Database, query: str, finds: bool) -> None:
    one = served(
        path="client/http_pool.py",
        prefix="def wait():\n    return ",
        candidates=(ServedCandidate(0, TEXT, (1,), (0.0,), "stop"),),
    )
    key = one.request.completion_id
    record_completions(database, [one])
    settled = event(key, "settled", 20, text="settled", reaches_suffix=True, prefix_intact=True)
    append(database, [wire(shown(key)), wire(settled)])
    rollups.refresh(database)
    assert found(database, query) == ([key] if finds else [])


@given(st.lists(st.floats(0.0, 1e7), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_quantile_is_within_its_bucket(durations: list[float], share: float) -> None:
    histogram = latency.histogram_of(Counter(map(latency.bucket_of, durations)))
    estimate = latency.quantile_ms(histogram, share)
    ordered = sorted(max(one, 0.01) for one in durations)
    rank = min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))
    near = ordered[max(0, rank - 1) : rank + 2]
    assert estimate is not None
    assert min(near) / 1.2 <= estimate <= max(near) * 1.2


def test_no_durations_have_no_quantile() -> None:
    assert latency.quantile_ms(latency.Histogram(), 0.5) is None
    assert latency.quantiles_by_day([latency.Histogram()], (0.5,)) == []
    assert latency.quantiles_alone(latency.histogram_of({}), (0.5,)) == []


def histogram(durations: Iterable[float]) -> Histogram:
    return latency.histogram_of(Counter(map(latency.bucket_of, durations)))


@given(st.lists(st.lists(st.floats(0.01, 1e6), max_size=50), max_size=6))
def test_histograms_of_days_add_up_to_that_of_all(days: list[list[float]]) -> None:
    told = latency.merged(histogram(day) for day in days)
    assert told == latency.merged([histogram(chain(*days))])
    assert sum(told.counts) == sum(map(len, days))


def test_an_interval_of_a_quantile_is_wide_where_days_differ() -> None:
    """True medians lie within it about as often as it says."""
    generator = random.Random(7)

    def median(spread: float) -> tuple[float, float, float]:
        pace = [generator.gauss(3, spread) for _ in range(20)]
        days = [histogram(math.exp(generator.gauss(p, 0.5)) for _ in range(200)) for p in pace]
        (told,) = latency.quantiles_by_day(days, (0.5,))
        assert told.low is not None
        assert told.high is not None
        return math.log(told.low), math.log(told.value), math.log(told.high)

    narrow, wide = median(0.0), median(0.4)
    assert narrow[0] < narrow[1] < narrow[2]
    assert wide[2] - wide[0] > 4 * (narrow[2] - narrow[0])
    many = [median(0.2) for _ in range(100)]
    assert sum(low < 3 < high for low, _, high in many) >= 88


def test_one_day_has_no_interval_by_day_but_one_of_its_own() -> None:
    day = histogram([10.0] * 90 + [100.0] * 10)
    (by_day,) = latency.quantiles_by_day([day], (0.95,))
    assert by_day == Estimate(latency.quantile_ms(day, 0.95) or 0.0)
    (alone,) = latency.quantiles_alone(day, (0.95,))
    assert alone.low is not None
    assert alone.high is not None
    assert alone.low < by_day.value < alone.high


@given(st.lists(st.floats(0.02, 1e6), min_size=1, max_size=100), st.floats(0.01, 1.0))
def test_as_many_stay_below_a_quantile_as_it_says(durations: list[float], share: float) -> None:
    """Of a hundred days alike, a quantile's interval is the quantile itself."""
    (told,) = latency.quantiles_by_day([histogram(durations)] * 100, (share,))
    assert told.low == pytest.approx(told.value)
    assert told.high == pytest.approx(told.value)
