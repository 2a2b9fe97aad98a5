"""A real server process for a real client, and a host that answers by script.

The scripted host listens on a real socket and does what a healthy host never does.
"""

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trainer.replay.lsp_client import InlineItem, LspClient

Json = dict[str, Any]
HEALTH = {"status": "ok", "version": "0", "model": "scripted", "adapter": None, "device": "cpu"}
TIMINGS = dict.fromkeys(("queue_ms", "prompt_ms", "prefill_ms", "decode_ms", "engine_ms"), 0.0)


@dataclass(frozen=True)
class Received:
    """One request as the host got it; `body` is unpacked JSON."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What to send back; bytes go out as they are."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def answer_to(request: Json, *texts: str, adapter: str | None = None) -> Json:
    """Return a well-formed answer to a completion request."""
    candidates = [
        {"index": n, "text": text, "finish_reason": "stop", "sum_log_prob": -1.0, "num_tokens": 1}
        for n, text in enumerate(texts)
    ]
    return {
        "completion_id": request["completion_id"],
        "model": "scripted",
        "adapter": adapter,
        "candidates": candidates,
        "num_prompt_tokens": 1,
        "num_cached_tokens": 0,
        "timings": TIMINGS,
    }


class ScriptedHost:
    """Answers /health, stores every event, and completes by `complete`; all may be replaced."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.events: list[Json] = []
        self.num_disconnected = 0
        self.texts: tuple[str, ...] = ("pass",)
        self.adapter: str | None = None
        self.complete: Callable[[Received], Awaitable[Answer]] = self._complete
        self.take_events: Callable[[Received], Answer] = self._take_events
        self.status: Callable[[Received], Answer] = lambda _: Answer({"detail": "?"}, 404)
        self.health: Callable[[], Answer] = lambda: Answer({**HEALTH, "adapter": self.adapter})
        self.news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def questions(self) -> list[Json]:
        return [r.body for r in self.received if r.path == "/v1/hone/completions"]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    async def until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s), self.news:
            await self.news.wait_for(condition)

    async def _complete(self, received: Received) -> Answer:
        return Answer(answer_to(received.body, *self.texts, adapter=self.adapter))

    def _take_events(self, received: Received) -> Answer:
        events = received.body["events"]
        self.events += events
        items = [{"event_id": e["event_id"], "status": "stored", "reason": None} for e in events]
        return Answer({"items": items})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while received := await _read(reader):
                await self._note(lambda r=received: self.received.append(r))
                work = asyncio.ensure_future(self._answer(received))
                gone = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    work.cancel()
                    await self._note(self._disconnected)
                    break
                gone.cancel()
                await asyncio.wait({gone})
                writer.write(_response(work.result()))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side is gone, or the test is over
        finally:
            writer.close()

    async def _answer(self, received: Received) -> Answer:
        if received.path == "/health":
            return self.health()
        if received.path.startswith("/v1/hone/status"):
            return self.status(received)
        if received.path == "/v1/events":
            answer = self.take_events(received)
            await self._note(lambda: None)
            return answer
        return await self.complete(received)

    def _disconnected(self) -> None:
        self.num_disconnected += 1

    async def _note(self, change: Callable[[], None]) -> None:
        async with self.news:
            change()
            self.news.notify_all()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode().strip().split("\r\n")
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    if headers.get("content-encoding") == "gzip":
        raw = gzip.decompress(raw)
    method, path, _ = first.split(" ")
    return Received(method, path, headers, json.loads(raw) if raw else None)


def _response(answer: Answer) -> bytes:
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    lines = [f"HTTP/1.1 {answer.status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture
async def scripted_host() -> AsyncIterator[ScriptedHost]:
    host = ScriptedHost()
    await host.start()
    yield host
    await host.stop()


StartServer = Callable[..., Awaitable[LspClient]]


@pytest.fixture
async def start_server(tmp_path: Path) -> AsyncIterator[StartServer]:
    """Start servers that end with the test: `start_server(url, *arguments)`."""
    clients: list[LspClient] = []

    async def start(url: str, *arguments: str) -> LspClient:
        data = ["--data", str(tmp_path / "data")]
        command = [sys.executable, "-m", "lsp_server.editor", "--url", url, *data, *arguments]
        clients.append(await LspClient.start(command))
        return clients[-1]

    yield start
    for client in clients:
        await client.kill()


@pytest.fixture
async def client(scripted_host: ScriptedHost, start_server: StartServer) -> LspClient:
    """An initialised client whose server asks the scripted host, which is up."""
    client = await start_server(scripted_host.url)
    await client.initialize()
    await client.wait_for("hone/status", lambda status: status["state"] == "ready")
    return client


Ask = Callable[..., Awaitable[list[InlineItem]]]


@pytest.fixture
def ask(client: LspClient) -> Ask:
    """Open `marked` (the caret is `<|>`) as a new document, and ask there."""

    async def ask_at(marked: str, uri: str = "file:///project/a.py", **options: Any) -> Any:
        text, offset = marked.replace("<|>", ""), marked.index("<|>")
        await client.open(uri, text, options.pop("language", "python"))
        return await client.complete(uri, offset, **options)

    return ask_at
