"""A host on any port of this machine is found by the editors of its data folder, and left again."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from commands import environment, free_port, run, start, wait_for

from hone.preflight import health_of
from trainer.replay.lsp_client import LspClient

DEFAULT = "http://127.0.0.1:8750"


@dataclass
class Host:
    """A `hone serve` with nothing said but its port."""

    home: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        output = self.home / "host.log"
        self.process = start(self.home, "serve", "--port", str(self.port), output=output)
        wait_for(lambda: health_of(self.url), seconds=120, what="the host is up")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(30)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    host.start()
    yield host
    host.kill()


async def editor(home: Path, *arguments: str) -> LspClient:
    """Start `hone lsp` as an editor would that knows nothing of hosts."""
    command = [sys.executable, "-m", "hone", "lsp", *arguments]
    client = await LspClient.start(command, env=environment(home), cwd=home, inherit=False)
    await client.initialize()
    return client


async def status(client: LspClient, url: str, *states: str) -> dict[str, Any]:
    """Wait until the server asks `url`, with one of the states."""
    return await client.wait_for(
        "hone/status", lambda told: told["url"] == url and told["state"] in states, timeout_s=60
    )


async def test_it_is_found_at_any_port_and_followed(host: Host, tmp_path: Path) -> None:
    client = await editor(tmp_path)
    try:
        told = await status(client, host.url, "ready")
        assert told["model"] == "starter"
        host.kill()  # without a word: its file stays
        await status(client, DEFAULT, "offline", "ready", "starting")
        host.port = free_port()
        host.start()
        await status(client, host.url, "ready")
    finally:
        await client.kill()


async def test_a_configured_address_goes_first(host: Host, tmp_path: Path) -> None:
    configured = f"http://127.0.0.1:{free_port()}"
    client = await editor(tmp_path, "--url", configured)
    try:
        await status(client, configured, "offline")
        assert all(told["url"] == configured for told in _statuses(client))
    finally:
        await client.kill()


def test_the_doctor_finds_it_too(host: Host, tmp_path: Path) -> None:
    assert f"{host.url} serves starter" in run(tmp_path, "doctor").stdout


def _statuses(client: LspClient) -> list[dict[str, Any]]:
    return [params for method, params in client.notifications if method == "hone/status"]
