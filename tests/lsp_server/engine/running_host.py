"""A real `hone serve` for tests, and waiting for what it does."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

START_SECONDS = 180
WAIT_SECONDS = 60


@dataclass
class RunningHost:
    data: Path
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def host_on(data: Path, *arguments: str, port: int = 0, **settings: str) -> Iterator[RunningHost]:
    """Run a host while the block lasts; `settings` are variables of its environment."""
    port = port or free_port()
    command = [sys.executable, "-m", "hone", "serve", "--port", str(port), "--data", str(data)]
    process = subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2", **settings},
        stderr=subprocess.DEVNULL,
    )
    host = RunningHost(data, port, process)
    try:
        wait_until_up(host)
        yield host
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=WAIT_SECONDS)


def wait_until_up(host: RunningHost) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert host.process.poll() is None, "the host ended while starting"
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{host.url}/health", trust_env=False)
            return
    pytest.fail("the host did not come up")


async def until(condition: Any) -> Any:
    """Wait for `condition()` (plain or async) to be truthy and return it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("the condition did not come true")
