"""The host as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(place: Any) -> Iterator[None]:
    """Run `hone serve` on the data of a place, at its address."""
    port = place.url.rsplit(":", 1)[-1]
    command = [sys.executable, "-m", "hone", "serve", "--port", port, "--model", "starter"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with (place.data / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data", str(place.data)], env=environment, stdout=log, stderr=log
        )
        try:
            _wait_until_up(place.url, process)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_until_up(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, "the host ended while starting"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the host did not start within 180 s")
