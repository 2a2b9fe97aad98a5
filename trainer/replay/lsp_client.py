"""Turns edits made by offset into LSP messages to a real server over stdio, as an editor would.

Positions travel as UTF-16, line breaks are \\n, \\r\\n and \\r. Replay, demo, benchmarks and tests
type with it; it knows nothing of what Hone does beyond its wire messages.
"""

import asyncio
import json
import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from lsp_server.editor.stdio import Frames, framed

Json = dict[str, Any]
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_MAX_STDERR_LINES = 2_000


class LspError(Exception):
    """The server answered a request with an error; `code` is the JSON-RPC code."""

    def __init__(self, error: Json) -> None:
        """Keep the code; the message becomes the exception's text."""
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code = int(error.get("code", 0))


class ServerGone(Exception):
    """The server process ended, or did not answer in time."""


@dataclass(frozen=True)
class InlineItem:
    """One offered item: `text` replaces the characters from `start` to `end` (code points)."""

    text: str
    start: int
    end: int
    completion_id: str
    candidate_index: int
    raw: Json = field(repr=False)


class LspClient:
    """An editor without a screen: it holds the texts, edits them and talks LSP about them."""

    def __init__(self, process: asyncio.subprocess.Process, *, timeout_s: float = 30.0) -> None:
        """Take over a started process; use `start` instead of calling this."""
        self.process = process
        self.texts: dict[str, str] = {}
        self.notifications: list[tuple[str, Any]] = []
        self.stderr: deque[str] = deque(maxlen=_MAX_STDERR_LINES)
        self._timeout_s = timeout_s
        self._versions: dict[str, int] = {}
        self._next_id = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._news = asyncio.Condition()
        self._readers = [
            asyncio.create_task(self._read_stdout()),
            asyncio.create_task(self._read_stderr()),
        ]

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float = 30.0,
        inherit: bool = True,
    ) -> Self:
        """Start the server's process; `env` is added to this environment, or is all if not."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 22,
            env={**(os.environ if inherit else {}), **(env or {})},
            cwd=cwd,
        )
        return cls(process, timeout_s=timeout_s)

    async def initialize(
        self,
        *,
        root: Path | None = None,
        record: bool = False,
        name: str = "hone-client",
        capabilities: Json | None = None,
        options: Json | None = None,
    ) -> Json:
        """Say hello and `initialized`; return the server's answer. `options` go beside `record`."""
        answer: Json = await self.request(
            "initialize",
            {
                "processId": os.getpid(),
                "clientInfo": {"name": name, "version": "1.0"},
                "rootUri": root.as_uri() if root else None,
                "workspaceFolders": [{"uri": root.as_uri(), "name": root.name}] if root else None,
                "capabilities": capabilities or {},
                "initializationOptions": {"hone": {"record": record, **(options or {})}},
            },
        )
        await self.notify("initialized", {})
        return answer

    async def open(self, uri: str, text: str, language: str = "python") -> None:
        """Open a document."""
        self.texts[uri], self._versions[uri] = text, 1
        document = {"uri": uri, "languageId": language, "version": 1, "text": text}
        await self.notify("textDocument/didOpen", {"textDocument": document})

    async def change(self, uri: str, start: int, end: int, inserted: str) -> None:
        """Replace the characters from `start` to `end` (code points) by `inserted`."""
        text = self.texts[uri]
        spot = {"start": position_of(text, start), "end": position_of(text, end)}
        self.texts[uri] = text[:start] + inserted + text[end:]
        await self._did_change(uri, {"range": spot, "text": inserted})

    async def insert(self, uri: str, offset: int, inserted: str) -> int:
        """Type or paste `inserted` in one change; return the caret behind it."""
        await self.change(uri, offset, offset, inserted)
        return offset + len(inserted)

    async def type(self, uri: str, offset: int, typed: str) -> int:
        """Type character by character, one change each; return the caret behind the last."""
        for character in typed:
            offset = await self.insert(uri, offset, character)
        return offset

    async def replace_all(self, uri: str, text: str) -> None:
        """Send the whole document again, as some clients and formatters do."""
        self.texts[uri] = text
        await self._did_change(uri, {"text": text})

    async def save(self, uri: str) -> None:
        """Tell the server that the document was saved."""
        await self.notify("textDocument/didSave", {"textDocument": {"uri": uri}})

    async def close(self, uri: str) -> None:
        """Close the document."""
        await self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        del self.texts[uri], self._versions[uri]

    async def complete(
        self,
        uri: str,
        offset: int,
        *,
        trigger: Literal["automatic", "invoked"] = "automatic",
        selected: tuple[int, int, str] | None = None,
    ) -> list[InlineItem]:
        """Ask for inline completions at `offset`; `selected` is the pop-up's (start, end, text)."""
        text = self.texts[uri]
        context: Json = {"triggerKind": 2 if trigger == "automatic" else 1}
        if selected:
            spot = {"start": position_of(text, selected[0]), "end": position_of(text, selected[1])}
            context["selectedCompletionInfo"] = {"range": spot, "text": selected[2]}
        params = {
            "textDocument": {"uri": uri},
            "position": position_of(text, offset),
            "context": context,
        }
        answer = await self.request("textDocument/inlineCompletion", params)
        raw_items = answer["items"] if isinstance(answer, dict) else answer or []
        return [_item_of(raw, text) for raw in raw_items]

    async def accept(self, uri: str, item: InlineItem, *, command: bool = True) -> int:
        """Insert the item as Tab does, then run its command; return the caret behind it."""
        await self.change(uri, item.start, item.end, item.text)
        if command:
            await self.execute(item.raw["command"]["command"], item.raw["command"]["arguments"])
        return item.start + len(item.text)

    async def execute(self, command: str, arguments: list[Any]) -> Any:
        """Run a server command."""
        params = {"command": command, "arguments": arguments}
        return await self.request("workspace/executeCommand", params)

    async def feedback(self, kind: str, item: InlineItem, **fields: Any) -> None:
        """Send `hone/<kind>` about an item, such as shown, hidden, dismissed, cycled or rated."""
        about = {"completion_id": item.completion_id, "candidate_index": item.candidate_index}
        await self.notify(f"hone/{kind}", {**about, **fields})

    async def tick(self, now_ms: int) -> None:
        """Set the server's clock (epoch milliseconds); only heard under `--clock client`."""
        await self.notify("hone/tick", {"now_ms": now_ms})

    async def request(self, method: str, params: Any) -> Any:
        """Send a request and return its result; LspError if refused, ServerGone if unanswered."""
        return await self.answer_to(await self.send_request(method, params))

    async def send_request(self, method: str, params: Any) -> int:
        """Send a request without waiting; return its id for `answer_to` and `cancel`."""
        self._next_id += 1
        self._waiting[self._next_id] = asyncio.get_running_loop().create_future()
        await self._send({"id": self._next_id, "method": method, "params": params})
        return self._next_id

    async def answer_to(self, request_id: int) -> Any:
        """Wait for the result of a request sent by `send_request`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._waiting[request_id]
        except TimeoutError:
            raise ServerGone(f"no answer within {self._timeout_s} s") from None
        finally:
            self._waiting.pop(request_id, None)

    async def cancel(self, request_id: int) -> None:
        """Take a request back, as editors do when the user types on."""
        await self.notify("$/cancelRequest", {"id": request_id})

    async def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        await self._send({"method": method, "params": params})

    async def send_bytes(self, data: bytes) -> None:
        """Write raw bytes to the server: for what no well-behaved client sends."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def wait_for(
        self, method: str, matches: Callable[[Any], bool] = lambda _: True, timeout_s: float = 30.0
    ) -> Any:
        """Wait until a notification of that method matched, now or earlier; return its params."""

        def found() -> list[Any]:
            return [p for name, p in self.notifications if name == method and matches(p)]

        async with self._news:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait_for(lambda: bool(found()))
            except TimeoutError:
                raise ServerGone(f"no {method} as expected within {timeout_s} s") from None
            return found()[-1]

    async def shutdown(self) -> int:
        """Say goodbye, wait for the process and return its exit status."""
        await self.request("shutdown", None)
        await self.notify("exit", None)
        try:
            async with asyncio.timeout(self._timeout_s):
                status = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            raise ServerGone(f"the server did not exit within {self._timeout_s} s") from None
        await asyncio.gather(*self._readers)
        return status

    async def kill(self) -> None:
        """End the process at once, if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(*self._readers)

    async def _did_change(self, uri: str, change: Json) -> None:
        self._versions[uri] += 1
        document = {"uri": uri, "version": self._versions[uri]}
        params = {"textDocument": document, "contentChanges": [change]}
        await self.notify("textDocument/didChange", params)

    async def _send(self, message: Json) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        try:
            await self.send_bytes(framed(body))
        except (BrokenPipeError, ConnectionResetError):
            raise ServerGone("the server closed its input") from None

    async def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        frames = Frames()
        while data := await self.process.stdout.read(1 << 16):
            for body in frames.feed(data):
                await self._receive(json.loads(body))
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ServerGone("the server ended"))
                future.exception()  # marked as seen: nobody may be waiting for it any more

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.stderr.append(line.decode(errors="replace").rstrip())

    async def _receive(self, message: Json) -> None:
        if "method" in message and "id" in message:
            # Requests of the server (registrations, settings) are answered with nothing.
            await self._send({"id": message["id"], "result": None})
        elif "method" in message:
            async with self._news:
                self.notifications.append((message["method"], message.get("params")))
                self._news.notify_all()
        elif (future := self._waiting.get(message["id"])) and not future.done():
            if "error" in message:
                future.set_exception(LspError(message["error"]))
                future.exception()
            else:
                future.set_result(message.get("result"))


def position_of(text: str, offset: int) -> dict[str, int]:
    """Return the LSP position (UTF-16) of an offset in code points."""
    line, line_start = 0, 0
    if "\r" in text:
        for found in _LINE_BREAK.finditer(text, 0, offset):
            line, line_start = line + 1, found.end()
    else:
        line, line_start = text.count("\n", 0, offset), text.rfind("\n", 0, offset) + 1
    return {"line": line, "character": utf16_length(text[line_start:offset])}


def offset_of(text: str, position: Mapping[str, int]) -> int:
    """Return the offset in code points of an LSP position (UTF-16)."""
    start, line = 0, 0
    if "\r" in text:
        breaks = _LINE_BREAK.finditer(text)
        while line < position["line"] and (found := next(breaks, None)):
            start, line = found.end(), line + 1
    else:
        while line < position["line"] and (end := text.find("\n", start)) >= 0:
            start, line = end + 1, line + 1
    rest = text[start : start + position["character"]].encode("utf-16-le", "surrogatepass")
    units = rest[: 2 * position["character"]]
    return start + len(units.decode("utf-16-le", "ignore"))


def utf16_length(text: str) -> int:
    """Return the length of `text` in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _item_of(raw: Json, text: str) -> InlineItem:
    arguments = raw["command"]["arguments"]
    return InlineItem(
        text=raw["insertText"],
        start=offset_of(text, raw["range"]["start"]),
        end=offset_of(text, raw["range"]["end"]),
        completion_id=arguments[0],
        candidate_index=arguments[1],
        raw=raw,
    )
