"""Turns the standard library's own source into stories: a prompt, a suggestion, what came of it.

Knows nothing of when, where or to whom a story is told, nor of how it is stored.
"""

import json
import random
import sysconfig
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from feedback_store import search
from feedback_store.outcome_rows import outcome_values
from feedback_store.outcomes import fold
from feedback_store.schemas import Event, EventKind

NUM_STORIES = 4000
MODEL_SHA256 = sha256(b"model at scale").hexdigest()
# outcome -> share of completions; the events of each stand in `_plot`
KINDS = {"accepted": 27, "partially_accepted": 3, "typed_through": 12, "diverged": 28,
         "dismissed": 4, "ignored": 14, "unseen": 12}  # fmt: skip


@dataclass(frozen=True)
class Story:
    """One visit, without its time, person and place. Texts of JSON are ready to be stored."""

    kind: str
    completion: dict[str, Any]
    candidates: tuple[dict[str, Any], ...]
    events: tuple[tuple[str, int, str, float, str], ...]  # kind, ordinal, source, after s, data
    outcome: dict[str, Any]
    lasts_s: float | None
    words: tuple[str, ...]


def stories(chance: random.Random) -> dict[str, list[Story]]:
    """Return stories by outcome, cut from source code that is on this machine anyway."""
    folder = Path(sysconfig.get_path("stdlib"))
    sources = [
        path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        for path in sorted(folder.glob("*.py"))
    ]
    sources = [lines for lines in sources if len(lines) > 40]
    stories: dict[str, list[Story]] = {kind: [] for kind in KINDS}
    while min(map(len, stories.values())) < NUM_STORIES // len(KINDS):
        lines = chance.choice(sources)
        number = chance.randrange(12, len(lines) - 4)
        line = lines[number].rstrip("\n")
        if len(line.strip()) < 8:
            continue
        start = chance.randrange(len(line) - len(line.lstrip()), len(line) - 2)
        prefix = "".join(lines[number - 6 : number]) + line[:start]
        kind = drawn(KINDS, chance)
        if len(stories[kind]) < NUM_STORIES // len(KINDS):
            stories[kind].append(
                _story(
                    kind,
                    prefix,
                    line[start:],
                    "\n" + "".join(lines[number + 1 : number + 3]),
                    chance,
                )
            )
    return stories


def _story(kind: str, prefix: str, truth: str, suffix: str, chance: random.Random) -> Story:
    key = uuid4()
    offered = truth
    if kind in ("diverged", "dismissed", "ignored"):
        offered = truth[: max(2, len(truth) // 3)] + chance.choice(("self.value)", "None", "0]"))
    elif kind == "partially_accepted":
        offered = truth + " or default"
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    events = [
        Event.new(key, EventKind(name), ordinal, begin + timedelta(seconds=after_s), source=source,
                  **data)
        for name, ordinal, source, after_s, data in _plot(kind, offered, truth)
    ]  # fmt: skip
    outcome = fold(key, events)
    if outcome.kind.value != kind:
        raise RuntimeError(f"a story of {kind} folds to {outcome.kind.value}")
    ids = [chance.randrange(4096) for _ in range(max(2, len(offered) // 4))]
    candidate = {
        "candidate_index": 0,
        "text": offered,
        "token_ids": json.dumps(ids, separators=(",", ":")),
        "log_probs": json.dumps([round(-chance.expovariate(2), 3) for _ in ids]),
        "finish_reason": "stop",
    }
    values = outcome_values(outcome)
    return Story(
        kind,
        _told_once(prefix, suffix, len(prefix) // 4, chance),
        (candidate,),
        tuple(
            (e.kind.value, e.ordinal, e.source, (e.occurred_at - begin).total_seconds(),
             json.dumps(e.data.model_dump(exclude_none=True), separators=(",", ":")))
            for e in events
        ),
        values,
        (outcome.last_event_at - begin).total_seconds() if outcome.last_event_at else None,
        tuple(search.words_of(offered, outcome.settled_text, prefix[-400:])) or ("nothing",),
    )  # fmt: skip


def _told_once(prefix: str, suffix: str, num_tokens: int, chance: random.Random) -> dict[str, Any]:
    """Return the columns of a completion that are the same whenever it is told."""
    prompt_ids = [chance.randrange(4096) for _ in range(min(num_tokens, 60))]
    return {
        "schema_version": 1,
        "client_version": "1.139.1",
        "prefix": prefix,
        "suffix": suffix,
        "line": prefix.count("\n"),
        "mode": "line",
        "trigger": "automatic",
        "num_candidates": 1,
        "max_new_tokens": 48,
        "temperature": 0.0,
        "model": "starter",
        "model_sha256": MODEL_SHA256,
        "arm": "live",
        "prompt_ids": json.dumps(prompt_ids, separators=(",", ":")),
        "healed": "",
        "num_cached_tokens": 0,
        "show": True,
        "propensity": 1.0,
        "barred": False,
        "barred_reason": None,
    }


Plot = list[tuple[str, int, str, float, dict[str, Any]]]


def _plot(kind: str, offered: str, truth: str) -> Plot:
    """Return what happens: kind, ordinal, source, seconds after, data."""
    shown: Plot = [("shown", 0, "inferred", 0.1, {"text": offered})]
    settled = {"text": truth, "reaches_suffix": True, "prefix_intact": True}
    ends: Plot = [("settled", 0, "inferred", 14.0, settled)]
    lost: Plot = [("lost", 0, "inferred", 900.0, {"reason": "closed"})]
    seen = {"visible_ms": 1200}
    if kind in ("accepted", "partially_accepted"):
        taken = {"visible_ms": 900} | (
            {"accepted_length": len(truth), "unit": "word"} if kind != "accepted" else {}
        )
        check = {"text": truth, "edit_distance": 0.0, "retained_characters": len(truth)}
        checks: Plot = [
            ("persisted", n, "inferred", after_s + 0.9, check | {"after_seconds": after_s})
            for n, after_s in enumerate((30, 120, 300, 600, 880))
        ]
        return [*shown, (kind, 0, "explicit", 0.9, taken), *ends, *checks, *lost]
    if kind == "typed_through":
        return [*shown, (kind, 0, "inferred", 2.4, seen), *ends, *lost]
    if kind == "diverged":
        again = ("shown", 1, "inferred", 0.8, {"text": offered})
        return [*shown, again, (kind, 0, "inferred", 2.0, seen | {"text": truth}), *ends, *lost]
    if kind == "dismissed":
        return [*shown, (kind, 0, "explicit", 1.5, seen), *ends, *lost]
    if kind == "ignored":
        return [*shown, ("lost", 0, "inferred", 900.0, {"reason": "moved away"} | seen)]
    early: Plot = [("shown", 0, "inferred", 0.1, {"text": offered, "reason": "superseded"})]
    return [*early, *lost]


def drawn(weights: dict[str, int], chance: random.Random) -> str:
    """Return one of the keys, as often as its weight says."""
    return chance.choices(list(weights), list(weights.values()))[0]
