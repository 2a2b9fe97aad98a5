"""Turns facts about one answered completion into feedback events, each told once.

`Tracked` holds what is known of a completion: where it was offered, how long it was visible, what
was taken of it. `Journal` numbers and redacts events. Neither decides what an edit means, and
neither reads a clock.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from feedback_store.schemas import MAX_EVENT_TEXT_CHARACTERS, Event, EventKind, Mode
from lsp_server.editor.line_diff import split_lines
from lsp_server.editor.matching import (
    Fit,
    Match,
    edit_distance,
    match,
    num_shared,
    retained_characters,
    utf16_length,
)
from lsp_server.editor.regions import Place, Taken

MAX_SETTLED_CHARACTERS = 4_000
MAX_HEAD_CHARACTERS = 400  # of the line before a text: a secret's name stands there
MAX_KEY_CHARACTERS = 16_000  # how far above a text a private key may begin
MAX_STRAY_CHARACTERS = 64  # auto-closed brackets and the like beside a suggestion

Source = Literal["inferred", "explicit"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MS = 4_102_444_800_000  # the year 2100: later times are a client's mistake
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")  # in UTF-8; NUL: in some databases


@dataclass(frozen=True)
class Answered:
    """The host answered: what is offered at `anchor`, an offset at the time of the question.

    `texts` hold each candidate's suggestion, () when nothing was offered. `served_prefix_tail`
    and `suffix_head` are raw text of the document (not redacted) beside the anchor and beside the
    replaced range. A re-offer may give the whole texts at the first anchor or what is left of
    them at the caret.
    """

    completion_id: UUID
    uri: str
    anchor: int
    replace_length: int
    texts: tuple[str, ...]
    served_prefix_tail: str  # at most 256 characters
    suffix_head: str  # at most 64 characters
    mode: Mode = Mode.LINE
    popup_open: bool = False
    mid_identifier: bool = False
    explicit_shown: bool = False  # the client tells with hone/shown when it is on screen
    reoffer: bool = False
    index: int = 0  # of the candidate that is on screen first
    typed_length: int = 0  # characters already inserted at the anchor when it was asked for
    is_unasked: bool = False  # nobody waits for it any more: it settles, and changes nothing else


@dataclass(frozen=True)
class Claim:
    """A suggestion stands there whole, but how it came there is not decided yet.

    `due_ms` None: typed, and only the next key tells whether its last word was complete.
    """

    at_ms: int
    due_ms: int | None


class Journal:
    """Collects events in order; every text in them goes through `redact`."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._events: list[Event] = []
        self._last_ms = 0

    def add(
        self,
        tracked: "Tracked",
        kind: EventKind,
        at_ms: int,
        *,
        source: Source = "inferred",
        **data: object,
    ) -> None:
        """Append the next event of `kind`; a `text` must have come from `text_after`."""
        ordinal = tracked.num_events.get(kind, 0)
        self._last_ms = max(self._last_ms, min(at_ms, _MAX_MS))
        event = Event.new(
            tracked.completion_id,
            kind,
            ordinal,
            _EPOCH + timedelta(milliseconds=self._last_ms),
            candidate_index=tracked.index,
            source=source,
            **{name: value for name, value in data.items() if value is not None},
        )
        tracked.num_events[kind] = ordinal + 1
        self._events.append(event)

    def take(self) -> list[Event]:
        """Return the events since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def text_after(self, head: str, text: str, limit: int = MAX_EVENT_TEXT_CHARACTERS) -> str:
        """Return `text` redacted together with the line before it, cut at `limit` characters."""
        head, text = (_UNSENDABLE.sub("\ufffd", one) for one in (head, text))
        whole = self._redact(head + text)
        if not whole.startswith(head):
            # A secret stands in the head alone, or began there; as in the prompt, what is left of
            # it belongs to the head.
            head = self._redact(head)
        start = len(head) if whole.startswith(head) else num_shared(head, whole)
        return whole[start : start + limit]


@dataclass(slots=True, eq=False)
class Tracked:
    """One completion under way. `place` moves with every edit, `taken` once text was taken."""

    answered: Answered
    place: Place
    texts: tuple[str, ...]
    replaced: str  # what stood in the replaced range
    num_events: dict[EventKind, int] = field(default_factory=dict)
    index: int = 0  # the candidate on screen, or taken
    told_index: int = 0  # the candidate whose text was told last
    # What is on screen.
    is_shown: bool = False
    is_live: bool = False
    offered_from: int = 0  # characters already there when it was last offered
    visible_ms: int = 0
    visible_since_ms: int | None = None
    reason: str | None = None  # why nobody can have read it
    is_dismissed: bool = False
    is_undone: bool = False
    # What was taken.
    taken: Taken | None = None
    taken_at_ms: int = 0
    taken_text: str = ""
    before: str = ""  # text of the place before it was taken
    claim: Claim | None = None
    awaited: int | None = None  # the client told of so many characters that are not there yet
    is_accepted: bool = False
    is_typed: bool = False
    accepted_length: int = 0  # UTF-16 units of a partial accept
    num_checks: int = 0
    # What settles.
    order: int = 0  # of being tracked
    quiet_from_ms: int = 0
    is_settled: bool = False
    is_dormant: bool = False  # settled by itself, but still the place where somebody may type
    settled_data: tuple[object, ...] = ()
    diverged_text: str | None = None
    reformatted: bool = False
    maybe_formatted_ms: int | None = None

    @property
    def completion_id(self) -> UUID:
        """The completion's id."""
        return self.answered.completion_id

    @property
    def text(self) -> str:
        """The suggestion on screen, whole."""
        return self.texts[self.index] if self.index < len(self.texts) else ""

    @property
    def is_told_taken(self) -> bool:
        """Tell whether an event said that something of it was taken."""
        return self.is_accepted or self.is_typed or self.accepted_length > 0

    @property
    def is_undecided(self) -> bool:
        """Tell whether the next change at its place decides what was done with it."""
        return self.claim is not None or self.awaited is not None

    @property
    def first_reason(self) -> str | None:
        """Why nobody can have read it, as far as its request tells."""
        if self.answered.popup_open:
            return "popup_open"
        return "mid_identifier" if self.answered.mid_identifier else None

    def found(self, document: str) -> str:
        """Return what stands at the place, as far as it can matter for a comparison."""
        longest = max(map(len, self.texts), default=0)
        limit = self.place.start + longest + len(self.replaced) + MAX_STRAY_CHARACTERS
        return document[self.place.start : min(self.place.end, limit)]

    def match(self, document: str, index: int | None = None) -> Match:
        """Compare what stands at the place with a candidate; by default the one on screen."""
        text = self.text if index is None else self.texts[index]
        return match(self.found(document), text, self.replaced)

    def best(self, document: str) -> tuple[int, Match]:
        """Return the candidate that fits best, the one on screen first, and how it fits."""
        best = (self.index, self.match(document))
        for index in range(len(self.texts)):
            if best[1].fit is not Fit.OTHER:
                break
            best = (index, self.match(document, index))
        return best if best[1].fit is not Fit.OTHER else (self.index, self.match(document))

    def visible_at(self, now_ms: int) -> int:
        """Return for how long it has been visible, all offers together."""
        since = self.visible_since_ms
        return self.visible_ms + (max(0, now_ms - since) if since is not None else 0)

    def seen_ms(self, now_ms: int) -> int | None:
        """Return visible time for an event: None for what was never shown."""
        return min(self.visible_at(now_ms), 2**31 - 1) if self.is_shown else None

    def show(self, journal: Journal, now_ms: int, source: Source) -> None:
        """It is on screen now; told as `shown` the first time."""
        self.is_live, self.is_dismissed, self.is_undone = True, False, False
        if self.visible_since_ms is None:
            self.visible_since_ms = now_ms
        if not self.is_shown:
            self.is_shown, self.told_index = True, self.index
            text = journal.text_after(self._head_as_served(), self.text)
            journal.add(self, EventKind.SHOWN, now_ms, source=source, text=text, reason=self.reason)

    def hide(self, now_ms: int) -> None:
        """It is no longer on screen."""
        self.visible_ms, self.visible_since_ms = self.visible_at(now_ms), None
        self.is_live = False

    def tell_candidate(self, journal: Journal, now_ms: int, source: Source = "inferred") -> None:
        """Tell the text of the candidate on screen, if another was told last."""
        if self.index != self.told_index:
            self.told_index = self.index
            text = journal.text_after(self._head_as_served(), self.text)
            journal.add(self, EventKind.CYCLED, now_ms, source=source, text=text)

    def take(self, document: str, length: int, now_ms: int) -> None:
        """The first `length` characters of the suggestion stand at the place from now on."""
        end = min(self.place.start + length, self.place.end)
        self.taken = Taken(self.place.start, end)
        self.taken_text = document[self.place.start : end]
        self.taken_at_ms, self.num_checks, self.awaited = now_ms, 0, None

    def release(self) -> None:
        """Nothing is taken any more: the place is open again."""
        self.taken, self.claim, self.awaited = None, None, None
        self.is_accepted, self.is_typed, self.accepted_length = False, False, 0
        self.is_settled = False

    def return_to(self, answered: Answered, document: str) -> bool:
        """Take it up where it is offered again after it had ended; False if that does not fit."""
        if not answered.texts or not self.texts or answered.uri != self.answered.uri:
            return False
        if not self._is_left(answered, self.index) and self._is_left(answered, answered.index):
            self.index = answered.index
        left = answered.texts[min(self.index, len(answered.texts) - 1)]
        num_typed = len(self.text) - len(left) if self.text.endswith(left) else 0
        start = answered.anchor - num_typed
        end = answered.anchor + max(0, answered.replace_length)
        if start < 0 or end > len(document):
            return False
        found = match(document[start:end], self.text, self.replaced)
        if found.fit is not Fit.ALONG or found.num_typed >= len(self.text):
            return False
        self.place = Place(start, end)
        self.reason, self.is_dormant, self.reformatted = self.first_reason, False, False
        self.release()
        return True

    def _is_left(self, answered: Answered, index: int) -> bool:
        texts = answered.texts
        return index < min(len(self.texts), len(texts)) and self.texts[index].endswith(texts[index])

    def settle(self, journal: Journal, document: str, now_ms: int) -> None:
        """Tell the text that stands there now, unless exactly that was told before."""
        self.is_settled = True
        start, end, reaches = self._settled_range(document)
        # Redaction sees more than is told, so that no secret is cut in half before it is found.
        text = document[start : min(end, start + 2 * MAX_SETTLED_CHARACTERS)]
        text = journal.text_after(_head(document, start), text, MAX_SETTLED_CHARACTERS)
        intact = start == self.place.start and self._prefix_intact(document)
        data = (text, reaches, intact, self.reformatted, self.reason)
        if data == self.settled_data:
            return
        self.settled_data = data
        journal.add(
            self,
            EventKind.SETTLED,
            now_ms,
            text=text,
            reaches_suffix=reaches,
            prefix_intact=intact,
            reformatted=self.reformatted,
            visible_ms=self.seen_ms(now_ms),
            reason=self.reason,
        )

    def persist(
        self, journal: Journal, document: str, now_ms: int, after_s: int, reason: str | None = None
    ) -> None:
        """Tell what is left of the taken text."""
        if self.taken is None:
            return
        start, end = self.taken.start, self.taken.end
        now = document[start : min(end, start + 2 * MAX_SETTLED_CHARACTERS)]
        journal.add(
            self,
            EventKind.PERSISTED,
            now_ms,
            text=journal.text_after(_head(document, start), now, MAX_SETTLED_CHARACTERS),
            after_seconds=after_s,
            edit_distance=edit_distance(self.taken_text, now),
            retained_characters=retained_characters(self.taken_text, now),
            reaches_suffix=self._reaches_suffix(document, end),
            reformatted=self.reformatted,
            reason=reason,
        )

    def typed_text(self, document: str) -> str:
        """Return the text from the anchor to where the served suffix begins, cut generously."""
        start, end = self.place.start, self._typed_end(document)
        return document[start : min(end, start + 2 * MAX_SETTLED_CHARACTERS)]

    def full_length(self) -> int:
        """Return the UTF-16 length of the suggestion on screen."""
        return utf16_length(self.text)

    def head(self, document: str) -> str:
        """Return the part of the anchor's line that stands before it."""
        return _head(document, self.place.start)

    def _head_as_served(self) -> str:
        tail = self.answered.served_prefix_tail
        return tail[max(tail.rfind("\n"), tail.rfind("\r")) + 1 :]

    def _settled_range(self, document: str) -> tuple[int, int, bool]:
        """Return start and end of the settled text, and whether the served suffix follows it."""
        if self.taken is not None and (self.is_accepted or self.is_typed):
            start, end = self.taken.start, self.taken.end
            reaches = self._reaches_suffix(document, end)
        else:
            start, end = self.place.start, self._typed_end(document)
            reaches = self._reaches_suffix(document, end)
        return start, end, reaches and end - start <= MAX_SETTLED_CHARACTERS

    def _typed_end(self, document: str) -> int:
        """Return where the served suffix begins: it holds what accepting would have replaced."""
        end = self.place.end - len(self.replaced)
        is_there = end >= self.place.start and document.startswith(self.replaced, end)
        return end if is_there else self.place.end

    def _reaches_suffix(self, document: str, end: int) -> bool:
        """Tell whether the served suffix follows; what changed in its later lines is no matter."""
        between = document[end : min(self.place.end, end + len(self.replaced) + 1)]
        if between not in ("", self.replaced):
            return False
        head = _first_line(self.answered.suffix_head)
        end = self.place.end
        return document.startswith(head, end) if head else end == len(document)

    def _prefix_intact(self, document: str) -> bool:
        tail, start = self.answered.served_prefix_tail, self.place.start
        return len(tail) <= start and document.startswith(tail, start - len(tail))


def _first_line(text: str) -> str:
    """Return the first line with its line break."""
    return next(iter(split_lines(text)), "")


def _head(document: str, start: int) -> str:
    # Lines of a private key are known for one by the line above them all.
    key = document.rfind("PRIVATE KEY", max(0, start - MAX_KEY_CHARACTERS), start)
    end = key if key >= 0 else start
    low = max(0, end - MAX_HEAD_CHARACTERS)
    begin = max(document.rfind("\n", low, end), document.rfind("\r", low, end)) + 1
    return document[max(begin, low) : start]
