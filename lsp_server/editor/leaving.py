"""Turns what leaves this process for the host into something a person can look at.

Whoever traces hears of everything before it leaves; what the store took is kept for a while, so
that people can be shown what was collected of them. Nothing is written to disk, and nothing is
kept of what is not recorded.
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from feedback_store.schemas import CompletionRequest

MAX_KEPT_CHARACTERS = 4_000_000
Record = dict[str, Any]


class Leaving:
    """What left in this session; `trace` hears of each record just before."""

    def __init__(self, trace: Callable[[Record], None] | None = None) -> None:
        """Keep nothing yet; without `trace` nobody hears anything."""
        self._trace = trace
        self._kept: deque[str] = deque()
        self._num_characters = 0
        self.num_forgotten = 0

    def completion(self, request: CompletionRequest) -> None:
        """A question is about to leave; it is recorded only where it says so."""
        if self._trace:
            self._trace(_completion(request))

    def events(self, events: Sequence[Record]) -> None:
        """A batch of feedback is about to leave."""
        if self._trace:
            for event in events:
                self._trace({"what": "event", **event})

    def answered(self, request: CompletionRequest) -> None:
        """The host answered a question, and has recorded it if it might."""
        if request.record:
            self._keep(_completion(request))

    def delivered(self, events: Sequence[Record]) -> None:
        """The store has a batch of feedback."""
        for event in events:
            self._keep({"what": "event", **event})

    def kept(self) -> list[Record]:
        """Return what the store took in this session, oldest first, as far as it is kept."""
        return [json.loads(line) for line in self._kept]

    def _keep(self, record: Record) -> None:
        line = json.dumps(record)
        self._kept.append(line)
        self._num_characters += len(line)
        while self._num_characters > MAX_KEPT_CHARACTERS:
            self._num_characters -= len(self._kept.popleft())
            self.num_forgotten += 1


def _completion(request: CompletionRequest) -> Record:
    return {"what": "completion", **request.model_dump(mode="json")}
