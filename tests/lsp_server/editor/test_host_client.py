"""The host client over a real socket: answers, faults, back-off, delivery and cancellation."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from feedback_store.schemas import CompletionRequest
from lsp_server.editor import host_client
from lsp_server.editor.host_client import Backoff, HostClient, HostState

REQUEST_TIMEOUT_MS = 400


@dataclass
class Seen:
    """Every state the client told of."""

    states: list[HostState] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, state: HostState) -> None:
        self.states.append(state)
        self.changed.set()

    async def until(self, name: str) -> HostState:
        async with asyncio.timeout(20):
            while not self.states or self.states[-1].state != name:
                self.changed.clear()
                await self.changed.wait()
        return self.states[-1]


@pytest.fixture
async def seen() -> Seen:
    return Seen()


@pytest.fixture
async def http(scripted_host, seen: Seen) -> AsyncIterator[HostClient]:
    http = HostClient(lambda: scripted_host.url, "secret", REQUEST_TIMEOUT_MS, on_change=seen)
    http.open()
    await seen.until("ready")
    yield http
    await http.close()


def question() -> CompletionRequest:
    return CompletionRequest(
        completion_id=uuid4(), document_id="d", prefix="x = ", requested_at=datetime.now(UTC)
    )


def reply(host, body: object, status: int = 200, **headers: str) -> None:
    """Make every completion get this answer."""
    kind = type(host.health())

    async def answer(_: object) -> object:
        return kind(body, status, headers)

    host.complete = answer


async def test_an_answer_arrives_and_names_what_serves(http, scripted_host, seen) -> None:
    scripted_host.texts, scripted_host.adapter = ("1", "2"), "ab" * 32
    answer = await http.complete(question())
    assert [c.text for c in answer.candidates] == ["1", "2"]
    assert seen.states[-1] == HostState(
        "ready", "scripted", "ab" * 32, version="0", url=scripted_host.url
    )
    assert scripted_host.received[-1].headers["authorization"] == "Bearer secret"
    assert scripted_host.received[-1].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"detail": "broken"}, 500, "status 500"),
        ({"detail": "who?"}, 401, "refused the token"),
        (b"<html>", 200, "cannot be read"),
        ({"completion_id": "x"}, 200, "cannot be read"),
        ([], 200, "cannot be read"),
    ],
)
async def test_a_faulty_answer_is_none_and_one_log_line(
    http, scripted_host, seen, caplog, body, status, reason
) -> None:
    reply(scripted_host, body, status)
    with caplog.at_level(logging.WARNING, "lsp_server"):
        assert [await http.complete(question()) for _ in range(5)] == [None] * 5
    assert reason in seen.states[-1].reason
    assert seen.states[-1].state == "offline"
    assert len(caplog.records) == 1
    assert len(scripted_host.questions) == 1, "the others wait for the back-off to pass"


async def test_an_answer_to_another_question_is_refused(http, scripted_host, seen) -> None:
    first = question()
    await http.complete(first)
    answer = await scripted_host.complete(scripted_host.received[-1])
    reply(scripted_host, answer.body)
    assert await http.complete(question()) is None
    assert "another question" in seen.states[-1].reason


async def test_a_slow_host_costs_the_time_limit_only_once(http, scripted_host, seen) -> None:
    async def never(_: object) -> object:
        await asyncio.Event().wait()

    scripted_host.complete = never
    async with asyncio.timeout(2):
        assert [await http.complete(question()) for _ in range(3)] == [None] * 3
    assert f"within {REQUEST_TIMEOUT_MS} ms" in seen.states[-1].reason
    assert seen.states[-1].trouble == "slow"
    assert len(scripted_host.questions) == 1


async def test_a_host_that_fails_completions_recovers_by_one_that_works(
    http, scripted_host, seen, monkeypatch
) -> None:
    good = scripted_host.complete
    reply(scripted_host, b"", 500)
    assert await http.complete(question()) is None
    scripted_host.complete = good
    async with asyncio.timeout(5):
        while await http.complete(question()) is None:
            await asyncio.sleep(0.02)
    assert seen.states[-1].state == "ready"


async def test_a_host_that_dies_and_returns_is_noticed_without_asking(
    http, scripted_host, seen, monkeypatch
) -> None:
    await scripted_host.stop()
    await http._client.aclose()  # its kept connections outlive a stopped listener
    http._watcher.cancel()
    monkeypatch.setattr(host_client, "READY_POLL_S", 0.05)
    http.open()
    offline = await seen.until("offline")
    assert "is `hone serve` running?" in offline.reason
    assert offline.trouble == "unreachable"
    assert await http.complete(question()) is None
    await scripted_host.start()
    await seen.until("ready")
    assert await http.complete(question()) is not None


async def test_a_swap_is_noticed_without_asking(http, scripted_host, seen, monkeypatch) -> None:
    monkeypatch.setattr(host_client, "READY_POLL_S", 0.01)
    http._watcher.cancel()
    http.open()
    scripted_host.adapter = "cd" * 32
    async with asyncio.timeout(10):
        while seen.states[-1].adapter != "cd" * 32:
            seen.changed.clear()
            await seen.changed.wait()


LIVE = {
    "sha256": "ab" * 32,
    "number": 12,
    "since": "2026-11-20T03:10:00Z",
    "promoted_by": "gate",
    "matched_change": 0.08,
    "of_a_later_version": 1,
}


async def test_what_serves_and_how_the_day_goes_is_asked_once_in_a_while(
    scripted_host, seen, monkeypatch
) -> None:
    kind = type(scripted_host.health())
    told = {"version": "0", "model": "scripted", "adapter": LIVE}
    today = {"num_shown": 7, "num_accepted": 3}
    scripted_host.adapter = LIVE["sha256"]
    scripted_host.status = lambda _: kind({**told, "today": today})
    monkeypatch.setattr(host_client, "READY_POLL_S", 0.01)
    about = {"user": "u1", "since": "2026-11-20T00:00:00+01:00"}
    http = HostClient(lambda: scripted_host.url, None, 400, on_change=seen, about=lambda: about)
    http.open()
    state = await seen.until("ready")
    assert (state.live.number, state.live.matched_change) == (12, 0.08)
    assert (state.today.num_shown, state.today.num_accepted) == (7, 3)
    await scripted_host.until(lambda: len(scripted_host.received) > 10)
    asked = [r.path for r in scripted_host.received if "status" in r.path]
    assert asked == ["/v1/hone/status?user=u1&since=2026-11-20T00%3A00%3A00%2B01%3A00"]
    # Another adapter makes what is known of the last one worthless, whoever tells of it first.
    scripted_host.adapter, later = "cd" * 32, {**LIVE, "sha256": "cd" * 32, "number": 13}
    scripted_host.status = lambda _: kind({**told, "adapter": later})
    await http.complete(question())
    async with asyncio.timeout(10):
        while seen.states[-1].live is None:
            seen.changed.clear()
            await seen.changed.wait()
    assert seen.states[-1].live.number == 13
    assert all(s.live is None or s.live.sha256 == s.adapter for s in seen.states)
    await http.close()


async def test_a_wrong_token_is_known_before_anything_is_typed(
    scripted_host, seen, monkeypatch
) -> None:
    kind = type(scripted_host.health())
    scripted_host.status = lambda _: kind({"detail": "who?"}, 401)
    http = HostClient(lambda: scripted_host.url, "wrong", 400, on_change=seen)
    http.open()
    state = await seen.until("offline")
    assert (state.trouble, len(seen.states)) == ("refused", 1)
    await scripted_host.until(
        lambda: sum("status" in r.path for r in scripted_host.received) == 3, timeout_s=30
    )
    assert len(seen.states) == 1, "it is told once, not for each attempt"
    scripted_host.status = lambda _: kind({"version": "0", "model": "m", "adapter": None})
    assert (await seen.until("ready")).trouble == ""
    assert await http.complete(question()) is not None
    await http.close()


async def test_cancelling_closes_the_request(http, scripted_host) -> None:
    async def never(_: object) -> object:
        await asyncio.Event().wait()

    scripted_host.complete = never
    task = asyncio.create_task(http.complete(question()))
    await scripted_host.until(lambda: len(scripted_host.questions) == 1)
    task.cancel()
    await scripted_host.until(lambda: scripted_host.num_disconnected == 1)
    assert http.state.state == "ready", "taking a question back is no fault of the host"


async def test_events_are_delivered_and_packed_when_large(http, scripted_host) -> None:
    small = {"event_id": "1", "text": "x"}
    large = {"event_id": "2", "text": "y" * 50_000}
    assert (await http.deliver([small])).report.items[0].status == "stored"
    assert (await http.deliver([small, large])).report.items[1].event_id == "2"
    encodings = [r.headers.get("content-encoding") for r in scripted_host.received[-2:]]
    assert encodings == [None, "gzip"]
    assert scripted_host.events == [small, small, large]


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, {"Retry-After": "7"}, {"retry_after_s": 7.0}),
        (503, {}, {"retry_after_s": None}),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {"retry_after_s": None}),
        (413, {}, {"too_large": True}),
        (500, {}, {"reason": "the host answered status 500"}),
    ],
)
async def test_events_not_taken_must_be_sent_again(
    http, scripted_host, status, headers, expected
) -> None:
    kind = type(scripted_host.health())
    scripted_host.take_events = lambda _: kind({}, status, headers)
    delivery = await http.deliver([{"event_id": "1"}])
    assert delivery.report is None
    assert {name: getattr(delivery, name) for name in expected} == expected
    assert http.state.state == "ready"


def test_backoff_doubles_to_its_limit_and_forgets() -> None:
    backoff = Backoff(1.0, 5.0)
    assert [backoff.failed() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    assert not backoff.is_open
    assert backoff.failed(at_least_s=60.0) == 60.0
    backoff.succeeded()
    assert backoff.is_open
    assert backoff.failed() == 1.0
