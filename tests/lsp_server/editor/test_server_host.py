"""The language server with the real host: starter model, real store, kill -9 and return."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trainer.replay.lsp_client import LspClient

URI = "file:///project/a.py"
SOURCE = '''\
import os


def read_lines(path):
    """Return the lines of the file."""
    with open(path) as file:
        <|>


def write_lines(path, lines):
    with open(path, "w") as file:
        file.writelines(lines)
'''


@dataclass
class RealHost:
    """A `hone serve` of its own, on a free port with a fresh data folder."""

    data: Path
    port: int = field(default_factory=lambda: _free_port())
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "hone", "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--data", str(self.data), "--model", "starter"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        wait_until(self.is_healthy, 90)

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        if self.process:
            self.process.send_signal(with_signal)
            self.process.wait(30)

    def is_healthy(self) -> bool:
        assert self.process.poll() is None, "the host ended"
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as response:
                return json.load(response)["status"] == "ok"
        except OSError:
            return False

    def rows(self, query: str) -> list[tuple]:
        with sqlite3.connect(f"file:{self.data}/hone.db?mode=ro", uri=True) as database:
            return database.execute(query).fetchall()


def wait_until(condition, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Iterator[RealHost]:
    host = RealHost(tmp_path_factory.mktemp("host"))
    host.start()
    yield host
    host.stop()


@pytest.fixture
async def client(host, start_server) -> LspClient:
    client = await start_server(host.url, "--clock", "client", "--timeout-ms", "20000")
    await client.initialize(record=True)
    await client.tick(1_780_000_000_000)
    await client.wait_for("hone/status", lambda status: status["state"] == "ready")
    return client


async def ask(client: LspClient, marked: str = SOURCE):
    await client.open(URI, marked.replace("<|>", ""))
    return await client.complete(URI, marked.index("<|>"))


async def test_status_names_the_model_and_no_adapter(client) -> None:
    status = await client.wait_for("hone/status", lambda status: status["state"] == "ready")
    assert (status["model"], status["adapter"]) == ("starter", None)


async def test_a_suggestion_is_accepted_and_becomes_an_outcome(client, host) -> None:
    (item,) = await ask(client)
    assert item.text.strip()
    await client.tick(1_780_000_001_000)
    await client.accept(URI, item)
    await client.tick(1_780_000_700_000)
    await client.close(URI)
    assert await client.shutdown() == 0

    def outcome() -> list[tuple]:
        key = item.completion_id.replace("-", "")
        return host.rows(
            "select kind, visible_ms, accepted_length from outcomes"
            f" where replace(completion_id, '-', '') = '{key}'"
        )

    wait_until(lambda: bool(outcome()) and outcome()[0][0] == "accepted")
    assert outcome() == [("accepted", 1_000, len(item.text))]


async def test_control_tokens_in_the_source_are_just_text(client) -> None:
    text = 'SEPARATOR = "<|fim_middle|><|fim_prefix|><|endoftext|>"\nfor name in names:\n    <|>\n'
    assert not any("<|" in item.text for item in await ask(client, text))


async def test_typing_on_is_served_without_errors(client) -> None:
    await client.open(URI, "def area(width, height):\n    ")
    caret = len(client.texts[URI])
    for character in "return width * height":
        caret = await client.insert(URI, caret, character)
        for item in await client.complete(URI, caret):
            assert item.start == item.end == caret
    assert not any("ERROR" in line or "Traceback" in line for line in client.stderr)


async def test_a_killed_host_costs_suggestions_until_it_returns_and_no_feedback(
    start_server, tmp_path
) -> None:
    host = RealHost(tmp_path / "host")
    host.start()
    client = await start_server(host.url)
    await client.initialize(record=True)
    (item,) = await ask(client)
    host.stop(signal.SIGKILL)
    await client.wait_for("hone/status", lambda status: status["state"] == "offline")
    assert await client.complete(URI, item.start) is not None
    await client.accept(URI, item)
    host.start()
    try:
        query = "select count(*) from events where kind = 'accepted'"
        wait_until(lambda: host.rows(query) == [(1,)])
        assert {name for name, _ in client.notifications} == {"hone/status"}
        assert len([line for line in client.stderr if "is offline" in line]) == 1
    finally:
        host.stop()
