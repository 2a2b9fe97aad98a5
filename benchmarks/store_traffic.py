"""Turns real source files into the completions and events that a team of editors would send.

Every editor lives through suggestions a few seconds apart: shown, answered, settled, looked at
again after 30 and 120 s. A batch holds what one editor's outbox had waiting, so it touches a dozen
completions, most of which other batches touch too. Seeded; texts are lines of the standard library.
"""

import argparse
import ast
import json
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from feedback_store.completions import ServedCandidate, ServedCompletion
from feedback_store.edit_distance import edit_distance
from feedback_store.schemas import CompletionRequest, Event, EventKind, Timings

EVENTS_PER_COMPLETION = 5
SECONDS_BETWEEN = 4.0
START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
BASE_SHA256 = "b" * 64
_MODULES = (argparse, ast, json, random, statistics)


@dataclass(frozen=True)
class Life:
    """One completion with everything that is told about it, oldest first."""

    completion: ServedCompletion
    events: tuple[Event, ...]


def lives(number: int, *, num_editors: int = 20, seed: int = 0) -> Iterator[Life]:
    """Yield `number` completions of `num_editors`, in turn."""
    rng = random.Random(seed)
    sources = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in _MODULES]
    for count in range(number):
        at = START + timedelta(seconds=(count // num_editors) * SECONDS_BETWEEN)
        yield _life(rng, rng.choice(sources), f"editor-{count % num_editors}", at)


def batches(of: list[Life], size: int) -> list[list[Event]]:
    """Return the events of `of` as the editors' outboxes would hand them over."""
    outboxes: dict[str, list[Event]] = {}
    for life in of:
        outboxes.setdefault(life.completion.request.user, []).extend(life.events)
    found: list[list[Event]] = []
    for events in outboxes.values():
        events.sort(key=lambda event: event.occurred_at)
        found += [events[start : start + size] for start in range(0, len(events), size)]
    whole = [batch for batch in found if len(batch) == size]
    return sorted(whole, key=lambda batch: batch[-1].occurred_at)


def _life(rng: random.Random, source: str, user: str, at: datetime) -> Life:
    cursor = rng.randrange(3_000, len(source) - 1_500)
    line = source[cursor:].partition("\n")[0]
    suggestion = line if rng.random() < 0.4 else source[cursor + 900 :].partition("\n")[0]
    suggestion = suggestion.strip() or "return None"
    key = UUID(int=rng.getrandbits(128), version=4)
    request = CompletionRequest(
        completion_id=key,
        document_id=f"{user}/{rng.randrange(8)}",
        record=True,
        language="python",
        path=f"package/module_{rng.randrange(400)}.py",
        repository="r" * 40,
        user=user,
        client="benchmark",
        prefix=source[cursor - 2_000 : cursor],
        suffix=source[cursor : cursor + 500],
        line=source.count("\n", 0, cursor),
        requested_at=at,
    )
    ids = tuple(rng.randrange(8_000) for _ in range(400))
    tokens = ids[: max(1, len(suggestion) // 4)]
    candidate = ServedCandidate(0, suggestion, tokens, (-0.25,) * len(tokens), "stop")
    completion = ServedCompletion(
        request=request,
        served_at=at,
        model="starter",
        model_sha256=BASE_SHA256,
        adapter=None,
        arm="live",
        prompt_ids=ids,
        healed="",
        num_cached_tokens=0,
        candidates=(candidate,),
        show=True,
        propensity=1.0,
        timings=Timings(queue_ms=0, prompt_ms=1, prefill_ms=9, decode_ms=40, engine_ms=50),
    )
    return Life(completion, tuple(_events(rng, key, at, suggestion, line.strip())))


def _events(
    rng: random.Random, key: UUID, at: datetime, suggestion: str, line: str
) -> Iterator[Event]:
    def told(kind: EventKind, ordinal: int, after_s: float, **data: object) -> Event:
        return Event.new(key, kind, ordinal, at + timedelta(seconds=after_s), **data)

    is_right = suggestion == line
    yield told(EventKind.SHOWN, 0, 0.1, text=suggestion)
    answer = EventKind.ACCEPTED if is_right or rng.random() < 0.2 else EventKind.DIVERGED
    yield told(answer, 0, 1.5, visible_ms=1_400)
    text = suggestion if answer is EventKind.ACCEPTED and rng.random() < 0.6 else line
    yield told(EventKind.SETTLED, 0, 11.5, text=text, reaches_suffix=True, prefix_intact=True)
    for ordinal, seconds in enumerate((30, 120)):
        yield told(
            EventKind.PERSISTED,
            ordinal,
            1.5 + seconds,
            text=text,
            after_seconds=seconds,
            edit_distance=edit_distance(suggestion, text),
            retained_characters=len(text) if text == suggestion else 0,
        )
