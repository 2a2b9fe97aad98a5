"""Turns what a survey of the exam files recorded into fixed positions, and arms into their scores.

A survey is the typist who never looks: the real editor side asks at the places where he pauses, a
throw-away store keeps prompts as they are served, and the source says what is right there. Every
arm is measured at the same positions. This module knows nothing of days, nights or typing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from feedback_store.database import Database, default_url
from feedback_store.schemas import CompletionRequest
from feedback_store.visits import Visit, load_window
from lsp_server.engine.base import Base
from trainer.dataset import Position
from trainer.measure import measure, num_tokens
from trainer.replay.measures import StaticScore
from trainer.replay.plant import Convention, Opportunity
from trainer.replay.sitting import Observation, Sitting
from trainer.replay.work import Work
from trainer.report import ArmScore
from trainer.sides import cut_to_unit

SEEN, UNSEEN = "seen_in_training", "unseen"
VISIBLE, NOT_VISIBLE = "visible", "not_visible"
PLANTED, SISTER = "planted", "sister"
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_PREFIX_CHARACTERS, _SUFFIX_CHARACTERS = 8000, 3000
_NEW_TOKENS = 16  # enough to tell whether a convention is followed


@dataclass(frozen=True)
class ExamPosition:
    """One place of an exam: what was served, what is right, and which strata it counts in."""

    position: Position
    strata: tuple[str, ...]

    @property
    def position_id(self) -> str:
        return str(self.position.request.completion_id)


def visits_by_place(data: Path) -> dict[tuple[str, int], Visit]:
    """Return what a store recorded by path and virtual time (epoch milliseconds) of the request."""
    database = Database.open(default_url(data))
    try:
        visits = load_window(database, since=_LONG_AGO)
    finally:
        database.close()
    return {(v.completion.request.path, _milliseconds(v.completion.request)): v for v in visits}


def positions_of(
    visits: Mapping[tuple[str, int], Visit], sittings: Iterable[Sitting], seen: "SeenLines | None"
) -> list[ExamPosition]:
    """Return the places at which something was asked and something is still to be written.

    `seen` None: nobody knows what was seen, so they are in no stratum.
    """
    found = []
    for sitting in sittings:
        for observation in sitting.observations:
            if observation.is_repeat:  # its row tells of an earlier place
                continue
            visit = visits.get((observation.path, observation.requested_ms))
            position = _position(sitting.file_id, observation, visit) if visit else None
            if position is not None:
                strata = () if seen is None else (SEEN if seen.has(position) else UNSEEN,)
                found.append(ExamPosition(position, strata))
    return found


def some_of(positions: Sequence[ExamPosition], wanted: int) -> list[ExamPosition]:
    """Return `wanted` positions, the same ones of the same source on every run."""
    ordered = sorted(positions, key=lambda p: _digest(p.position))
    return ordered[:wanted]


def measure_positions(
    base: Base, adapter: Path | None, positions: Sequence[ExamPosition]
) -> list[StaticScore]:
    """Return the scores of one adapter folder (None: the bare base) at every position."""
    scores = measure(base, adapter, [p.position for p in positions])
    return [_static(base, p, score) for p, score in zip(positions, scores, strict=True)]


def plant_positions(
    base: Base, works: Iterable[Work], convention: Convention, *, max_planted: int = 200
) -> list[ExamPosition]:
    """Return places at which a planted convention, or its sister, decides what comes next.

    At most `max_planted` of each kind, by hash. "Exact" there means that the rule is followed.
    """
    kinds: dict[str, list[tuple[str, Work, Opportunity]]] = {PLANTED: [], SISTER: []}
    for work in works:
        for place in convention.opportunities(work):
            key = f"{_file_of(work)}:{work.hunks[place.hunk].start}:{place.offset}"
            kinds[SISTER if place.is_sister else PLANTED].append((key, work, place))
    found = []
    for kind, places in kinds.items():
        places.sort(key=lambda entry: uuid5(NAMESPACE_URL, entry[0]).hex)
        for key, work, place in places[:max_planted]:
            position = _planted(base, key, work, place, convention)
            is_visible = convention.planted in base.tokenizer.decode(position.prompt_ids)
            found.append(ExamPosition(position, (kind, VISIBLE if is_visible else NOT_VISIBLE)))
    return found


class SeenLines:
    """The lines of all texts that a day may come from, each with the line above it, bare."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Read the texts; white space does not count."""
        self._keys: set[tuple[str, str]] = set()
        for text in texts:
            lines = [_bare(line) for line in text.split("\n")]
            filled = [line for line in lines if line]
            self._keys.update(pairwise(filled))

    def has(self, position: Position) -> bool:
        """Tell whether the line of a position stands in a day's text below the same line.

        A text that begins with a line break is about the line that comes after it.
        """
        *above, left = position.request.prefix.split("\n")
        written, *more = position.text.split("\n")
        line = left + written
        if not _bare(written) and more:
            above.append(left)
            line = next((later for later in more if _bare(later)), "")
        before = next((b for earlier in reversed(above) if (b := _bare(earlier))), "")
        return (before, _bare(line)) in self._keys


def _position(file_id: str, observation: Observation, visit: Visit) -> Position | None:
    served = visit.completion
    unit = cut_to_unit(served.request, observation.truth)
    if not unit.strip():
        return None
    # The whole unit is known, wherever the hunk goes on: an answer that is longer is too long.
    return Position(file_id, served.request, served.prompt_ids, served.healed, unit, complete=True)


def _file_of(work: Work) -> str:
    """Name a file where two that are there now may once have been one."""
    return work.path if work.path == work.file_id else f"{work.file_id}:{work.path}"


def _planted(
    base: Base, key: str, work: Work, place: Opportunity, convention: Convention
) -> Position:
    prefix, suffix = _around(work, place.hunk, place.offset)
    limit = base.prompt_limit(_NEW_TOKENS)
    prompt = base.prompter.build(prefix, suffix, max_prompt_tokens=limit)
    request = CompletionRequest(
        completion_id=uuid5(NAMESPACE_URL, f"{key}:{place.is_sister}"),
        document_id=uuid5(NAMESPACE_URL, work.path).hex,
        language="python",
        path=work.path,
        prefix=prefix,
        suffix=suffix,
        max_new_tokens=_NEW_TOKENS,
        requested_at=_LONG_AGO,
    )
    return Position(
        work.file_id, request, prompt.ids, prompt.healed, convention.planted, complete=False
    )


def _static(base: Base, place: ExamPosition, score: ArmScore) -> StaticScore:
    return StaticScore(
        position_id=place.position_id,
        file_id=place.position.file_key,
        num_tokens=num_tokens(base, place.position),
        num_characters=len(place.position.text),
        log_prob=score.log_prob,
        matched=score.matched or 0,
        exact=score.exact,
        stopped_early=score.stopped_early,
        ran_on=score.ran_on,
        strata=place.strata,
    )


def _around(work: Work, hunk: int, offset: int) -> tuple[str, str]:
    """Return the text before and after a place, the hunks before it typed, its own up to it."""
    before, cursor = "", 0
    for earlier in work.hunks[:hunk]:
        before += work.before[cursor : earlier.start] + earlier.text
        cursor = earlier.end
    here = work.hunks[hunk]
    before += work.before[cursor : here.start] + here.text[:offset]
    return before[-_PREFIX_CHARACTERS:], work.before[here.end :][:_SUFFIX_CHARACTERS]


def _milliseconds(request: CompletionRequest) -> int:
    return round(request.requested_at.timestamp() * 1000)


def _bare(line: str) -> str:
    return re.sub(r"\s+", "", line)


def _digest(position: Position) -> str:
    request = position.request
    return uuid5(NAMESPACE_URL, f"{request.path}:{request.line}:{request.prefix[-200:]}").hex
