"""Builds what whole nights run on: a filled store, quick settings, a gate for few positions."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from safetensors.numpy import save_file

from feedback_store import adapter_files, events
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


def sealed(folder: Path, base_sha256: str, lineage: Iterable[UUID] = ()) -> Path:
    """An adapter of one tensor, as the run night-1 leaves it, made from these completions."""
    folder.mkdir()
    save_file({"layer.lora_A.weight": np.ones((2, 2), np.float32)}, folder / adapter_files.WEIGHTS)
    (folder / adapter_files.CONFIG).write_text('{"peft_type": "LORA"}')
    (folder / adapter_files.LINEAGE).write_text(json.dumps([str(one) for one in lineage]))
    adapter_files.seal(
        folder,
        base_model="starter",
        base_sha256=base_sha256,
        run_id="night-1",
        recipe={},
        probes=(),
    )
    return folder


def leftovers(data: Path) -> list[str]:
    staged = [path.name for path in (data / "adapters").glob(".staging-*")]
    return staged + [path.name for path in (data / "runs").glob("*")]
