"""Turns `hone ...` into a real child process with none of this machine's settings."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return an environment in which Hone finds only what the test put into `home`."""
    clean = {k: v for k, v in os.environ.items() if not k.upper().startswith("HONE_")}
    return clean | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "share"),
        "OMP_NUM_THREADS": "1",
        **variables,
    }


def run(
    home: Path, *arguments: str, timeout_s: float = 180, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `hone ARGUMENTS` in `home` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hone", *arguments],
        cwd=home,
        env=environment(home, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def start(home: Path, *arguments: str, output: Path, **variables: str) -> "subprocess.Popen[bytes]":
    """Start `hone ARGUMENTS` in `home`; stdout and stderr go to `output`."""
    with output.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "hone", *arguments],
            cwd=home,
            env=environment(home, **variables),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


def refused(result: "subprocess.CompletedProcess[str]", *parts: str) -> None:
    """Assert that a command refused to start with one line on stderr that holds `parts`."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert re.fullmatch(r"hone: [^\n]+\n", result.stderr), result.stderr
    for part in parts:
        assert part in result.stderr


def wait_for(condition: Callable[[], T], *, seconds: float, what: str) -> T:
    """Return the first true value of `condition`; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_running(process_id: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
