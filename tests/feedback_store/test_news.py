"""What editors tell of their host: which adapter, since when, how much better; acceptance today."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from store_material import BASE_SHA256, event, sealed, served, shown, wire

from feedback_store import events, news
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.registry import GATE, Registry
from feedback_store.schemas import Acceptance

MEASURED = {"matched_live": 0.05, "matched_candidate": 0.054, "gain_nats": 0.08, "positions": 412}


class Nights:
    """Trains nothing, registers and promotes all the same."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.registry, self._folder, self._count = Registry(database, folder), folder, 0

    def one(self, *, by: str | None = GATE, **metrics: Any) -> str:
        self._count += 1
        staging = self._folder / f".staging-{self._count}"
        sealed(staging, value=float(self._count))
        record = self.registry.register(
            staging, base_sha256=BASE_SHA256, run_id="night-1", metrics=metrics
        )
        if by:
            self.registry.promote(record.sha256, by=by, reason="better")
        return record.sha256


@pytest.fixture
def nights(database: Database, tmp_path: Path) -> Nights:
    return Nights(database, tmp_path / "adapters")


def test_an_adapter_is_told_with_its_number_and_what_the_gate_measured(
    database: Database, nights: Nights
) -> None:
    nights.one()
    nights.one(by=None)
    before = datetime.now(UTC)
    live = news.live_adapter(database, nights.one(**MEASURED))
    assert live is not None
    assert (live.number, live.promoted_by) == (2, GATE)
    assert before <= live.since <= datetime.now(UTC)
    assert live.matched_change == pytest.approx(0.08)
    assert (live.gain_nats, live.num_positions) == (0.08, 412)


def test_a_number_survives_roll_backs_and_pruning(database: Database, nights: Nights) -> None:
    nights.one()
    second = nights.one()
    third = nights.one(by="ada")
    nights.registry.rollback(by="ada", reason="worse")
    (back, last) = (news.live_adapter(database, one) for one in (second, third))
    assert back is not None
    assert last is not None
    assert (back.number, last.number, last.promoted_by) == (2, 3, "ada")
    assert back.since > last.since, "since the roll-back, not since its promotion"
    nights.registry.prune(keep=1)
    assert news.live_adapter(database, third) is None, "its row is gone"
    again = news.live_adapter(database, second)
    assert again is not None
    assert again.number == 2


def test_nothing_is_told_of_what_was_never_live_or_not_measured(
    database: Database, nights: Nights
) -> None:
    assert news.live_adapter(database, "f" * 64) is None
    assert news.live_adapter(database, nights.one(by=None)) is None
    nothing = nights.one(by="ada", matched_live=0.0, matched_candidate=0.1)
    live = news.live_adapter(database, nothing)
    assert live is not None
    assert (live.matched_change, live.gain_nats) == (None, None)


def test_acceptance_counts_one_users_own_day(database: Database) -> None:
    now = datetime.now(UTC)

    def visit(user: str, age_h: float, *kinds: str) -> None:
        key = uuid4()
        when = now - timedelta(hours=age_h)
        record_completions(database, [served(key, user=user, served_at=when)])
        told = [shown(key, visible_ms=900)] if kinds else []
        told += [event(key, kind, 1, visible_ms=900) for kind in kinds if kind != "shown"]
        if told:
            events.append(database, [wire(one) for one in told])

    visit("ada", 1, "shown", "accepted")
    visit("ada", 2, "shown", "dismissed")
    visit("ada", 3)
    visit("ada", 30, "shown", "accepted")
    visit("bob", 1, "shown", "accepted")
    day = now - timedelta(hours=12)
    assert news.acceptance(database, "ada", day) == Acceptance(num_shown=2, num_accepted=1)
    assert news.acceptance(database, "nobody", day) == Acceptance(num_shown=0, num_accepted=0)
    ever = news.acceptance(database, "ada", datetime(1970, 1, 1, tzinfo=UTC))
    assert ever.num_accepted == 2, "two days at most"
