"""Turns events into events without code that fold to the same outcome.

With `content = "off"` no text may be stored, yet an outcome compares texts: what was offered with
what then stood there. So each text gives way to letters of which only the number means anything:
as long as the text was, as far from the suggestion, and its beginning exactly if the text was.
Suggestions are remembered for a while, in memory only; where one is forgotten, or a restart lost
it, a text that would have to be compared with it is left out. Knows nothing of databases.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from feedback_store.edit_distance import edit_distance, trimmed
from feedback_store.schemas import Event, EventKind

MAX_REMEMBERED = 20_000  # completions, at most some kilobytes each
_OFFERS = (EventKind.SHOWN, EventKind.CYCLED)
_WIDE_FIRST, _WIDE = "\U0001d41a\U0001d431"  # stand for characters of two UTF-16 units


class StandIns:
    """Puts stand-ins in the place of texts. Thread-safe."""

    def __init__(self) -> None:
        self._offers: OrderedDict[UUID, dict[int, str]] = OrderedDict()
        self._guard = threading.Lock()

    def without_code(self, events: Sequence[Event]) -> list[Event]:
        """Return `events`, in their order, with nothing of any text in them."""
        with self._guard:
            for event in events:
                if event.kind in _OFFERS and event.data.text is not None:
                    self._remember(event)
            offers = {one.completion_id: self._offers.get(one.completion_id) for one in events}
        return [_without_code(event, offers[event.completion_id] or {}) for event in events]

    def _remember(self, event: Event) -> None:
        offers = self._offers.setdefault(event.completion_id, {})
        offers.setdefault(event.candidate_index, event.data.text or "")
        self._offers.move_to_end(event.completion_id)
        if len(self._offers) > MAX_REMEMBERED:
            self._offers.popitem(last=False)


def stand_in(suggestion: str) -> str:
    """Return what stands for a suggestion: as long, in characters and in UTF-16 units."""
    body = trimmed(suggestion)
    num_wide = sum(ord(character) > 0xFFFF for character in body)
    first = "a" if num_wide < len(body) else _WIDE_FIRST  # found nowhere else in it
    letters = first + ("x" * (len(body) - num_wide) + _WIDE * num_wide)[1:] if body else ""
    return letters + suggestion[len(suggestion.rstrip()) :]


def stand_in_beside(text: str, suggestion: str) -> str:
    """Return what stands for a text that `suggestion` is compared with.

    Its edit distance from `stand_in(suggestion)` is that of the two texts.
    """
    body, offered = trimmed(text), trimmed(stand_in(suggestion))
    if trimmed(suggestion).startswith(body):
        return offered[: len(body)]
    longer = max(len(body), len(offered))
    num_shared = longer - round(edit_distance(text, suggestion) * longer)
    return "y" * (len(body) - num_shared) + offered[len(offered) - num_shared :]


def _without_code(event: Event, offers: dict[int, str]) -> Event:
    data = event.data
    texts: dict[str, Any] = {"text": None, "comment": None, "correction": None}
    if data.text is not None and event.kind in _OFFERS:
        texts["text"] = stand_in(data.text)
    elif data.text is not None:
        suggestion = offers.get(event.candidate_index, next(iter(offers.values()), None))
        if suggestion is not None:
            texts["text"] = stand_in_beside(data.text, suggestion)
    return event.model_copy(update={"data": data.model_copy(update=texts)})
