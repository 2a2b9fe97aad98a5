"""Turns a host's address into steady requests, and into answers to fixed questions.

The demo's proof that a swap disturbs nobody: clients go on asking while the adapter changes, and
every answer and failure is counted. It knows nothing of editors, stores or training.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

import httpx

from hone.demo_typist import Place, Script, line_start

PAUSE_SECONDS = 0.8  # the night trains on the same two cores
NUM_CLIENTS = 2
PREFIX_CHARACTERS, SUFFIX_CHARACTERS = 4000, 1000


@dataclass(frozen=True)
class Question:
    """One place in a file: what stands around it and what really stands there."""

    name: str
    prefix: str
    suffix: str
    truth: str

    @classmethod
    def at(cls, script: Script, place: Place) -> Self:
        """Ask for the rest of the line at a script's place."""
        start = line_start(script.text, place.line) + place.column
        end = script.text.index("\n", start)
        return cls(
            name=f"{script.path.name}:{place.line + 1}",
            prefix=script.text[max(0, start - PREFIX_CHARACTERS) : start],
            suffix=script.text[end : end + SUFFIX_CHARACTERS],
            truth=script.text[start:end],
        )


@dataclass
class Traffic:
    """Clients that ask without end; counts answers by adapter, and failures."""

    url: str
    answered: Counter[str | None] = field(default_factory=Counter)
    num_failed: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Begin asking."""
        self._tasks = [asyncio.create_task(self._ask_on(n)) for n in range(NUM_CLIENTS)]

    async def some_more(self, num_answers: int = 12) -> None:
        """Return when that many more answers have come."""
        wanted = self.answered.total() + num_answers
        async with asyncio.timeout(60):
            while self.answered.total() + self.num_failed < wanted:
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stop asking; requests under way are not counted."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask_on(self, number: int) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as client:
            count = 0
            while True:
                count += 1
                prefix = f"def step_{number}_{count}(values):\n    total = sum("
                question = Question("traffic", prefix, "\n    return total\n", "")
                try:
                    answer = await ask(client, question)
                    self.answered[answer["adapter"]] += 1
                except (httpx.HTTPError, KeyError):
                    self.num_failed += 1
                await asyncio.sleep(PAUSE_SECONDS)


async def ask(client: httpx.AsyncClient, question: Question) -> dict[str, Any]:
    """Return the host's answer to one question; httpx.HTTPError when there is none."""
    response = await client.post(
        "/v1/hone/completions",
        json={
            "completion_id": str(uuid4()),
            "document_id": str(uuid4()),
            "language": "python",
            "prefix": question.prefix,
            "suffix": question.suffix,
            "requested_at": datetime.now(UTC).isoformat(),
        },
    )
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


async def ask_all(url: str, questions: Sequence[Question]) -> list[str]:
    """Return the first candidate's text for every question, in order."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        answers = [await ask(client, question) for question in questions]
    return [str(answer["candidates"][0]["text"]).rstrip() for answer in answers]


async def health_of(url: str) -> dict[str, Any]:
    """Return what the host says of itself; OSError while nothing answers."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=5, trust_env=False) as client:
            health: dict[str, Any] = (await client.get("/health")).json()
            return health
    except httpx.TransportError as error:
        raise ConnectionError(str(error)) from error
