"""Completions, events and adapters for the tests of the store."""

import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from feedback_store import adapter_files
from feedback_store.completions import ServedCandidate, ServedCompletion
from feedback_store.schemas import CompletionRequest, Event, EventKind, Timings

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
BASE_SHA256 = "b" * 64


def served(completion_id: UUID | None = None, **changes: Any) -> ServedCompletion:
    """Return a completion as the host hands it over; `changes` go to the request or to it."""
    fields = set(CompletionRequest.model_fields)
    request = CompletionRequest(
        completion_id=completion_id or uuid4(),
        document_id="document",
        record=True,
        language="python",
        path="package/module.py",
        repository="r" * 40,
        user="u1",
        prefix="def answer():\n    return ",
        suffix="\n",
        line=1,
        requested_at=NOON,
    ).model_copy(update={name: value for name, value in changes.items() if name in fields})
    values: dict[str, Any] = {
        "request": request,
        "served_at": NOON,
        "model": "starter",
        "model_sha256": BASE_SHA256,
        "adapter": None,
        "arm": "live",
        "prompt_ids": (1, 2, 3),
        "healed": "return ",
        "num_cached_tokens": 2,
        "candidates": (ServedCandidate(0, "42", (7, 8), (-0.1, -2.5), "stop"),),
        "show": True,
        "propensity": 1.0,
        "timings": Timings(
            queue_ms=0.1, prompt_ms=0.2, prefill_ms=3.0, decode_ms=4.0, engine_ms=8.0
        ),
    }
    values |= {name: value for name, value in changes.items() if name not in fields}
    return ServedCompletion(**values)


def event(
    completion_id: UUID, kind: str, after_s: float = 0.0, *, ordinal: int = 0, **rest: Any
) -> Event:
    """Return an event `after_s` seconds after noon; `rest` are its data fields."""
    return Event.new(
        completion_id, EventKind(kind), ordinal, NOON + timedelta(seconds=after_s), **rest
    )


def wire(one: Event) -> dict[str, Any]:
    """Return an event as it travels."""
    return one.model_dump(mode="json", exclude_none=True)


def shown(completion_id: UUID, **rest: Any) -> Event:
    return event(completion_id, "shown", text="42", **rest)


def safetensors(tensors: dict[str, tuple[str, list[int], bytes]]) -> bytes:
    """Return a safetensors file, written by hand from {name: (dtype, shape, values)}."""
    header, values = {}, b""
    for name, (kind, shape, content) in tensors.items():
        places = [len(values), len(values) + len(content)]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": places}
        values += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def fill_adapter(folder: Path, *, value: float = 0.5, lineage: tuple[UUID, ...] = ()) -> None:
    """Write the files of a small LoRA adapter, unsealed."""
    folder.mkdir(parents=True)
    weights = struct.pack("<4f", value, 1.0, -1.0, 0.0)
    tensors = {"base_model.model.q_proj.lora_A.weight": ("F32", [2, 2], weights)}
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2}')
    (folder / "lineage.json").write_text(json.dumps([str(one) for one in lineage]))


def sealed(folder: Path, *, run_id: str = "night-1", **rest: Any) -> str:
    """Write and seal a small adapter; return its id."""
    fill_adapter(folder, **rest)
    return adapter_files.seal(
        folder,
        base_model="starter",
        base_sha256=BASE_SHA256,
        run_id=run_id,
        recipe={"rank": 2},
        probes=[adapter_files.Probe((1, 2), (3,), (-0.5,))],
    )
