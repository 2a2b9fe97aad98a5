"""A store full of work on real code: what host and editors would have recorded in some days.

The true text of a line in the standard library is what a user settled on; what was offered is the
same with one name changed, or with something left out, so that every rule of the design occurs.
"""

import random
import re
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from feedback_store import events
from feedback_store.completions import ServedCandidate, ServedCompletion, record_completions
from feedback_store.database import Database, default_url
from feedback_store.schemas import CompletionRequest, Event, EventKind, Timings
from lsp_server.engine.base import Base

NAMESPACE = UUID(int=5)
USERS = ("quiet-heron", "amber-lynx", "slate-finch")
MANY, FEW = 24, 6
Story = Callable[[str, str], list[tuple[EventKind, float, dict[str, Any]]]]


@dataclass(frozen=True)
class Place:
    """A cursor in a real file, and what stands there."""

    path: str
    line: int
    prefix: str
    text: str
    suffix: str


def places(num_files: int, per_file: int) -> list[Place]:
    """Return places in the standard library of this Python, the same ones on every run."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [p for p in sorted(root.glob("*.py")) if 12_000 < p.stat().st_size < 70_000]
    return [place for file in files[:num_files] for place in _in_file(file, per_file)]


def _in_file(file: Path, count: int) -> list[Place]:
    lines = file.read_text(encoding="utf-8").split("\n")
    call = re.compile(r"\s+\S.*\w+\.\w+\(.+")
    wanted = [i for i, line in enumerate(lines) if i > 15 and call.match(line) and len(line) < 90]
    generator = random.Random(file.name)
    found = []
    for number in sorted(generator.sample(wanted, min(count, len(wanted)))):
        line = lines[number]
        cursor = line.index(".") - len(re.split(r"\W", line[: line.index(".")])[-1])
        prefix = "\n".join([*lines[max(0, number - 30) : number], line[:cursor]])
        suffix = "\n" + "\n".join(lines[number + 1 : number + 9])
        found.append(Place(f"lib/{file.name}", number, prefix, line[cursor:].rstrip(), suffix))
    return found


def fill(
    data: Path, base: Base, *, num_files: int = MANY, per_file: int = 8, evil: str = ""
) -> list[UUID]:
    """Fill a new store; return the ids of its completions, in the order served.

    `evil` stands in the code, before the cursor and after it, and in whatever else is told.
    """
    data.mkdir(parents=True, exist_ok=True)
    database = Database.open(default_url(data))
    work = places(num_files, per_file)
    about: dict[str, Any] = {"repository": "r" * 40, "client": "Visual Studio Code"}
    if evil:
        work = [_with(place, evil) for place in work]
        about = {"repository": evil, "client": evil, "client_version": evil, "language": evil}
    begun = datetime.now(UTC) - timedelta(hours=30)
    served, told = [], []
    for number, place in enumerate(work):
        offered, story = _STORIES[number % len(_STORIES)]
        suggestion = offered(place.text)
        at = begun + timedelta(minutes=4 * number)
        one = _served(base, number, place, suggestion, at, about)
        served.append(one)
        told += _events(one, story(suggestion, place.text))
    record_completions(database, served)
    for start in range(0, len(told), 400):
        report = events.append(database, told[start : start + 400])
        assert {item.status for item in report.items} == {"stored"}
    database.close()
    return [one.request.completion_id for one in served]


def _with(place: Place, evil: str) -> Place:
    """Return the place with `evil` in everything that somebody wrote."""
    above, _, line = place.prefix.rpartition("\n")
    return replace(
        place,
        path=f"lib/{evil}/{place.path}",
        prefix=f"{above}\n# {evil}\n{line}",
        text=f"{place.text}  # {evil}",
        suffix=f"\n# {evil}{place.suffix}",
    )


def _served(
    base: Base,
    number: int,
    place: Place,
    suggestion: str,
    at: datetime,
    about: dict[str, Any],
) -> ServedCompletion:
    prompt = base.prompter.build(place.prefix, place.suffix, max_prompt_tokens=400)
    ids = base.prompter.continuation_ids(prompt.healed, suggestion)
    sure = (-0.05, -0.6, -1.4)[number % 3]
    request = CompletionRequest(
        completion_id=uuid5(NAMESPACE, f"{place.path}:{place.line}"),
        document_id=place.path,
        record=True,
        path=place.path,
        user=USERS[number % len(USERS)],
        prefix=place.prefix,
        suffix=place.suffix,
        line=place.line,
        max_new_tokens=24,
        requested_at=at,
        **{"language": "python", "client_version": "1.139.1"} | about,
    )
    return ServedCompletion(
        request=request,
        served_at=at,
        model=base.name,
        model_sha256=base.sha256,
        adapter=None,
        arm="live",
        prompt_ids=prompt.ids,
        healed=prompt.healed,
        num_cached_tokens=0,
        candidates=(ServedCandidate(0, suggestion, ids, (sure,) * len(ids), "end"),),
        show=True,
        propensity=1.0,
        timings=Timings(queue_ms=0.1, prompt_ms=0.4, prefill_ms=6, decode_ms=14, engine_ms=21),
    )


def _events(one: ServedCompletion, story: list[tuple[EventKind, float, dict[str, Any]]]) -> Any:
    key, text = one.request.completion_id, one.candidates[0].text
    ordinals: dict[EventKind, int] = {}
    for kind, after, data in [(EventKind.SHOWN, 0.0, {"text": text}), *story]:
        ordinal = ordinals.get(kind, 0)
        ordinals[kind] = ordinal + 1
        at = one.served_at + timedelta(seconds=after)
        yield Event.new(key, kind, ordinal, at, **data).model_dump(mode="json", exclude_none=True)


def _renamed(text: str) -> str:
    """Return the text with another method called."""
    return re.sub(r"\.(\w+)\(", r".get_\1(", text, count=1)


def _shortened(text: str) -> str:
    """Return the text without its arguments."""
    return re.sub(r"\(.*", "()", text)


def _same(text: str) -> str:
    return text


def _settled(text: str, after: float) -> tuple[EventKind, float, dict[str, Any]]:
    data = {"text": text, "reaches_suffix": True, "prefix_intact": True}
    return EventKind.SETTLED, after, data


def _typed_instead(suggestion: str, text: str) -> Any:
    return [(EventKind.DIVERGED, 1.4, {"visible_ms": 1400}), _settled(text, 9.0)]


def _hardly_seen(suggestion: str, text: str) -> Any:
    return [(EventKind.DIVERGED, 0.5, {"visible_ms": 520}), _settled(text, 8.0)]


def _edited(suggestion: str, text: str) -> Any:
    check = {"text": text, "after_seconds": 30, "edit_distance": 0.2, "retained_characters": 9}
    return [
        (EventKind.ACCEPTED, 1.1, {"visible_ms": 1100}),
        _settled(text, 12.0),
        (EventKind.PERSISTED, 31.0, check),
    ]


def _kept(suggestion: str, text: str) -> Any:
    check = {"after_seconds": 600, "edit_distance": 0.0, "retained_characters": len(text)}
    return [
        (EventKind.ACCEPTED, 0.9, {"visible_ms": 900}),
        _settled(text, 10.0),
        (EventKind.PERSISTED, 601.0, {"text": text, **check}),
    ]


def _rated(suggestion: str, text: str) -> Any:
    said = {"rating": "down", "comment": "there is no such <b>method</b>", "correction": text}
    return [*_typed_instead(suggestion, text), (EventKind.RATED, 20.0, said)]


_STORIES: tuple[tuple[Callable[[str], str], Story], ...] = (
    (_renamed, _typed_instead),
    (_shortened, _edited),
    (_same, _kept),
    (_renamed, _hardly_seen),
    (_renamed, _edited),
    (_shortened, _typed_instead),
    (_renamed, _rated),
)
