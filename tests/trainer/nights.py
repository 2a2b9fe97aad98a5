"""Builds what whole nights run on: a filled store, quick settings, a gate for few positions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from feedback_store import events
from feedback_store.completions import record_completions
from feedback_store.database import Database, default_url
from feedback_store.schemas import Event, EventKind, OutcomeKind
from feedback_store.visits import Visit
from trainer.gate import GateConfig
from trainer.nightly import NightConfig

# The planted convention contradicts the golden set, and a few dozen positions on a busy machine
# tell nothing of matches, syntax or latency: these guardrails are opened here. That each of them
# stops a gain is shown in `test_gate.py`.
SMALL_GATE = GateConfig(
    min_positions=30,
    min_files=4,
    max_matched_loss=1.0,
    max_golden_loss_nats=5.0,
    max_parse_loss=1.0,
    max_latency_ratio=1e3,
    max_run_on_increase=1.0,
    max_early_stop_increase=1.0,
)


def fill(data: Path, lessons: list[Visit]) -> Database:
    """Fill a store as host and editors do: completions, then events, some of them early."""
    data.mkdir(parents=True, exist_ok=True)
    database = Database.open(default_url(data))
    served = [
        replace(v.completion, served_at=datetime.now(UTC) - timedelta(hours=1)) for v in lessons
    ]
    told = [event for visit in lessons for event in _events(visit)]
    early, late = told[: len(told) // 2], told[len(told) // 2 :]
    events.append(database, early)
    assert record_completions(database, served) == len(lessons)
    report = events.append(database, late)
    assert {item.status for item in report.items} == {"stored"}
    return database


def _events(visit: Visit) -> list[dict[str, Any]]:
    begun = visit.completion.served_at
    took = visit.outcome.kind is OutcomeKind.ACCEPTED
    facts = [
        (EventKind.SHOWN, 0, {"text": visit.outcome.suggestion}),
        (EventKind.ACCEPTED if took else EventKind.DIVERGED, 2, {"visible_ms": 900}),
        (
            EventKind.SETTLED,
            12,
            {
                "text": visit.outcome.settled_text,
                "reaches_suffix": True,
                "prefix_intact": True,
            },
        ),
    ]
    return [
        Event.new(
            visit.outcome.completion_id, kind, 0, begun + timedelta(seconds=after), **data
        ).model_dump(mode="json")
        for kind, after, data in facts
    ]


def night(data: Path, **changes: Any) -> NightConfig:
    settings: dict[str, Any] = {"epochs": 1.0, "batch_size": 8, "min_pairs": 50, "gate": SMALL_GATE}
    settings |= {"max_generated": 24, "num_golden": 12}  # the gate of the tests looks at neither
    return NightConfig(data, device="cpu", num_threads=1, **(settings | changes))


def leftovers(data: Path) -> list[str]:
    staged = [path.name for path in (data / "adapters").glob(".staging-*")]
    return staged + [path.name for path in (data / "runs").glob("*")]
