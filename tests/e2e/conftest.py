"""One real host for the whole session, and editors that type into a real language server.

A `Desk` holds one document, its caret and the simulated time. It sends what VS Code sends, in its
order, or what Neovim sends; the store is read directly.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select

from feedback_store.database import Database, default_url
from feedback_store.models import CompletionRow, EventRow, OutcomeRow, OwedFoldRow
from feedback_store.schemas import EventKind
from trainer.replay.lsp_client import InlineItem, LspClient, LspError, position_of, utf16_length

START_SECONDS = 90
WAIT_SECONDS = 30
NOON_MS = 1_780_000_000_000
KEY_MS = 100


@dataclass
class Host:
    """A `hone serve` process, and the database behind it."""

    data: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "hone", "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--data", str(self.data)],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the host ended while starting"
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.url}/health", trust_env=False)
                return
            time.sleep(0.05)
        pytest.fail("the host did not come up")

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=WAIT_SECONDS)

    def rows(self, table: type[Any], *conditions: Any) -> list[Any]:
        database = Database.open(default_url(self.data))
        try:
            with database.reading() as session:
                return list(session.execute(select(*table.__table__.columns).where(*conditions)))
        finally:
            database.close()

    async def outcome(self, completion_id: str) -> Any:
        """Return the outcome's row, as soon as completion and outcome are written."""
        await self._of(CompletionRow, completion_id)
        async with asyncio.timeout(WAIT_SECONDS):
            while self.rows(OwedFoldRow):
                await asyncio.sleep(0.05)
        return (await self._of(OutcomeRow, completion_id))[0]

    async def completion(self, completion_id: str) -> Any:
        return (await self._of(CompletionRow, completion_id))[0]

    def events(self, completion_id: str) -> list[Any]:
        rows = self.rows(EventRow, EventRow.completion_id == UUID(completion_id))
        kinds = [kind.value for kind in EventKind]
        return sorted(rows, key=lambda row: (row.occurred_at, kinds.index(row.kind), row.ordinal))

    async def _of(self, table: type[Any], completion_id: str) -> list[Any]:
        async with asyncio.timeout(WAIT_SECONDS):
            while not (rows := self.rows(table, table.completion_id == UUID(completion_id))):
                await asyncio.sleep(0.05)
        return rows


@dataclass
class Desk:
    """One document in one editor. `flush_keys`: how many keys one `didChange` carries."""

    client: LspClient
    host: Host
    uri: str
    runs_command: bool
    flush_keys: int
    caret: int = 0
    now_ms: int = NOON_MS
    seen: list[str] = field(default_factory=list)  # completions offered, in order

    @property
    def text(self) -> str:
        return self.client.texts[self.uri]

    async def open(self, marked: str) -> None:
        self.caret = marked.index("<|>")
        await self.client.tick(self.now_ms)
        await self.client.open(self.uri, marked.replace("<|>", ""))

    async def wait(self, ms: int) -> None:
        self.now_ms += ms
        await self.client.tick(self.now_ms)

    async def ask(self) -> list[InlineItem]:
        items = await self.client.complete(self.uri, self.caret)
        self.seen += [item.completion_id for item in items if item.completion_id not in self.seen]
        return items

    async def offer(self, read_ms: int = 700) -> InlineItem:
        """Ask, expect something to be offered, and look at it."""
        items = await self.ask()
        assert items, "the starter model offered nothing here"
        await self.wait(read_ms)
        return items[0]

    async def insert(self, text: str) -> None:
        self.caret = await self.client.insert(self.uri, self.caret, text)

    async def replace(self, start: int, end: int, text: str) -> None:
        await self.client.change(self.uri, start, end, text)
        self.caret = start + len(text)

    async def type(self, text: str, *, asking: bool = True) -> None:
        """Type; VS Code asks after every key, Neovim after every debounced diff."""
        for at in range(0, len(text), self.flush_keys):
            keys = text[at : at + self.flush_keys]
            await self.wait(KEY_MS * len(keys))
            await self.insert(keys)
            if asking:
                await self.ask()

    async def burst(self, text: str) -> None:
        """Type as VS Code does when answers come late: a question per key, the last one taken
        back in the same breath.
        """
        pending = 0
        for key in text:
            await self.wait(KEY_MS)
            await self.insert(key)
            if pending:
                await self.client.cancel(pending)
            newer = await self.send_question()
            if pending:
                with contextlib.suppress(LspError):
                    await self.client.answer_to(pending)
            pending = newer
        await self.client.answer_to(pending)

    async def send_question(self) -> int:
        return await self.client.send_request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": self.uri},
                "position": position_of(self.text, self.caret),
                "context": {"triggerKind": 2},
            },
        )

    async def accept(self, item: InlineItem) -> None:
        self.caret = await self.client.accept(self.uri, item, command=self.runs_command)

    async def accept_part(self, item: InlineItem, length: int) -> None:
        """Take the first `length` characters, as a client does that tells of it."""
        await self.replace(item.start, item.start, item.text[:length])
        await self.client.notify(
            "textDocument/didPartiallyAcceptCompletion",
            {"item": item.raw, "acceptedLength": utf16_length(item.text[:length])},
        )

    async def changes(self, *changes: tuple[int, int, str]) -> None:
        """Send several content changes in one message; offsets are of the text before them all,
        later places first, as VS Code does.
        """
        text, raw = self.text, []
        for start, end, inserted in sorted(changes, reverse=True):
            spot = {"start": position_of(text, start), "end": position_of(text, end)}
            raw.append({"range": spot, "text": inserted})
        for start, end, inserted in sorted(changes, reverse=True):
            text = text[:start] + inserted + text[end:]
        self.client.texts[self.uri] = text
        params = {"textDocument": {"uri": self.uri, "version": 10**6}, "contentChanges": raw}
        await self.client.notify("textDocument/didChange", params)

    async def close(self) -> None:
        await self.client.close(self.uri)

    async def told(self, completion_id: str) -> list[str]:
        """Wait until the store has all there is; return the events of a completion as words."""
        await self.delivered()
        return [told_as(row) for row in self.host.events(completion_id)]

    async def delivered(self) -> None:
        """Events arrive in order, so once this late one is there, everything before it is."""
        last = str(uuid4())
        about = {"completion_id": last, "candidate_index": 0}
        await self.client.notify("hone/rated", {**about, "rating": "up"})
        async with asyncio.timeout(WAIT_SECONDS):
            while not self.host.events(last):
                await asyncio.sleep(0.02)


def told_as(row: Any) -> str:
    """One event as words: what (`!` if explicit), which candidate, after how long, why."""
    words = [row.kind + ("!" if row.source == "explicit" else "")]
    words += [f"#{row.candidate_index}"] if row.candidate_index else []
    after, reason = row.data.get("after_seconds"), row.data.get("reason")
    words += [f"{after}s"] if after is not None else []
    words += [reason] if reason else []
    return " ".join(words)


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        running = Host(tmp_path_factory.mktemp("host"), probe.getsockname()[1])
    running.start()
    yield running
    running.stop()


StartDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def start_desk(host: Host, tmp_path: Path) -> AsyncIterator[StartDesk]:
    """Start editors: `start_desk("vscode" or "neovim", *arguments, record=True)`."""
    clients: list[LspClient] = []

    async def start(editor: str = "vscode", *arguments: str, **options: Any) -> Desk:
        command = [sys.executable, "-m", "hone", "lsp", "--url", host.url, "--clock", "client"]
        data, env = options.pop("data", tmp_path / "editor"), options.pop("env", {})
        client = await LspClient.start([*command, "--data", str(data), *arguments], env=env)
        clients.append(client)
        name = "Visual Studio Code" if editor == "vscode" else "vim-like"
        await client.initialize(**{"record": True, "name": name, **options})
        await client.wait_for("hone/status", lambda status: status["state"] == "ready")
        uri = f"file:///project/{uuid4().hex}.py"
        return Desk(client, host, uri, editor == "vscode", 1 if editor == "vscode" else 2)

    yield start
    for client in clients:
        await client.kill()
