"""Turns what a client tells of its own accord into events, beside what is inferred.

An explicit word about what was inferred already is not told twice. Works for completions that are
no longer, or never were, under way: the store knows more of them. This module knows nothing of LSP
messages and never raises over a client's mistake.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from feedback_store.schemas import EventKind
from lsp_server.editor.inference import Inference, Unit
from lsp_server.editor.tracked import Journal, Tracked

MAX_REASON_CHARACTERS = 200
MAX_COMMENT_CHARACTERS = 2_000
MAX_LENGTH_UNITS = 2**31 - 1
MAX_CANDIDATES = 64


@dataclass(frozen=True)
class Notice:
    """One notification; `data` as the client sent it, hence of any shape."""

    kind: str
    candidate_index: int
    data: Mapping[str, object]
    now_ms: int


class Notices:
    """Takes notifications; every method says False when one made no sense."""

    def __init__(self, inference: Inference, journal: Journal) -> None:
        self._inference = inference
        self._journal = journal
        self._takers: dict[str, Callable[[Notice, Tracked, str | None], bool]] = {
            "hidden": self._hidden,
            EventKind.SHOWN: self._shown,
            EventKind.DISMISSED: self._dismissed,
            EventKind.CYCLED: self._cycled,
            EventKind.RATED: self._rated,
            EventKind.ACCEPTED: self._accepted,
            EventKind.PARTIALLY_ACCEPTED: self._partially_accepted,
        }

    def take(self, notice: Notice, tracked: Tracked, document: str | None) -> bool:
        """Hear a notification; `document` is None when the completion is not under way."""
        taker = self._takers.get(notice.kind)
        if taker is None or not 0 <= notice.candidate_index < MAX_CANDIDATES:
            return False
        return taker(notice, tracked, document)

    def _hidden(self, notice: Notice, tracked: Tracked, document: str | None) -> bool:
        tracked.hide(notice.now_ms)
        # A list of completions took its place: what is typed then answers the list.
        if notice.data.get("reason") == "popup_open" and not tracked.is_told_taken:
            tracked.reason = tracked.reason or "superseded"
        return True

    def _shown(self, notice: Notice, tracked: Tracked, document: str | None) -> bool:
        if document is None or notice.candidate_index >= len(tracked.texts):
            return False
        if tracked.is_accepted or tracked.is_typed:
            return False
        tracked.index = notice.candidate_index
        tracked.show(self._journal, notice.now_ms, "explicit")
        tracked.tell_candidate(self._journal, notice.now_ms, "explicit")
        return True

    def _dismissed(self, notice: Notice, tracked: Tracked, document: str | None) -> bool:
        if tracked.is_told_taken or tracked.is_dismissed:
            return False
        tracked.hide(notice.now_ms)
        tracked.is_dismissed = True
        reason = notice.data.get("reason")
        self._journal.add(
            tracked,
            EventKind.DISMISSED,
            notice.now_ms,
            source="explicit",
            visible_ms=tracked.seen_ms(notice.now_ms),
            reason=self._text(reason, MAX_REASON_CHARACTERS) if isinstance(reason, str) else None,
        )
        return True

    def _cycled(self, notice: Notice, tracked: Tracked, document: str | None) -> bool:
        if tracked.is_told_taken:
            return False
        if notice.candidate_index < len(tracked.texts):
            tracked.index = notice.candidate_index
            tracked.tell_candidate(self._journal, notice.now_ms, "explicit")
            return True
        if not tracked.texts and notice.candidate_index != tracked.index:
            tracked.index = notice.candidate_index
            self._journal.add(tracked, EventKind.CYCLED, notice.now_ms, source="explicit")
            return True
        return False

    def _rated(self, notice: Notice, tracked: Tracked, document: str | None) -> bool:
        rating = notice.data.get("rating")
        if rating not in ("up", "down"):
            return False
        texts = {"comment": MAX_COMMENT_CHARACTERS, "correction": None}
        given = {name: notice.data.get(name) for name in texts}
        self._journal.add(
            tracked,
            EventKind.RATED,
            notice.now_ms,
            source="explicit",
            rating=rating,
            **{
                name: self._text(text, texts[name])
                for name, text in given.items()
                if isinstance(text, str)
            },
        )
        return True

    def _accepted(self, notice: Notice, tracked: Tracked, document: str | None) -> bool:
        index, now_ms = notice.candidate_index, notice.now_ms
        if document is not None:
            self._inference.accept(tracked, index, document, now_ms, "explicit")
        elif not tracked.is_accepted:
            tracked.is_accepted, tracked.index = True, index
            visible_ms = tracked.seen_ms(now_ms)
            self._journal.add(
                tracked, EventKind.ACCEPTED, now_ms, source="explicit", visible_ms=visible_ms
            )
        return True

    def _partially_accepted(self, notice: Notice, tracked: Tracked, document: str | None) -> bool:
        length, unit = notice.data.get("accepted_length"), _unit(notice.data.get("unit"))
        if not isinstance(length, int) or not 0 < length <= MAX_LENGTH_UNITS:
            return False
        if document is not None and tracked.texts:
            self._inference.accept_part(tracked, length, unit, document, notice.now_ms)
        elif length > tracked.accepted_length and not tracked.is_accepted:
            tracked.accepted_length = length
            self._journal.add(
                tracked,
                EventKind.PARTIALLY_ACCEPTED,
                notice.now_ms,
                source="explicit",
                accepted_length=length,
                unit=unit or "other",
                visible_ms=tracked.seen_ms(notice.now_ms),
            )
        return True

    def _text(self, text: str, limit: int | None) -> str:
        if limit is None:
            return self._journal.text_after("", text)
        return self._journal.text_after("", text, limit)


def _unit(value: object) -> Unit | None:
    units: tuple[Unit, ...] = ("word", "line", "other")
    return next((unit for unit in units if unit == value), None)
