"""Turns the editor side's settings into one frozen, checked object.

This module knows nothing of files, environment variables or the command line: the front door
reads those and passes the result inwards.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lsp_server.editor.errors import ConfigError

MAX_CANDIDATES = 4


@dataclass(frozen=True)
class EditorConfig:
    """Settings of one language server process; wrong ones raise `ConfigError` when built."""

    data: Path  # holds outbox/, logs/ and the pseudonym, written only when recording is on
    url: str = "http://127.0.0.1:8750"
    find_host: bool = False  # a host that runs on `data` goes before `url`, whatever port it took
    token: str | None = None  # sent as a bearer token
    clock: Literal["system", "client"] = "system"  # client: time advances only by hone/tick
    debounce_ms: int = 0
    timeout_ms: int = 3500  # longest wait for one answer of the host
    exclude: tuple[str, ...] = ()  # patterns as in .gitignore, beside the built-in ones
    max_outbox_mb: int = 64
    num_candidates: int = 1
    temperature: float = 0.0  # of the candidates after the first

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the setting, its value and what to write instead."""
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigError(
                f"url is {self.url!r}: write http://HOST:PORT, such as http://127.0.0.1:8750"
            )
        if self.clock not in ("system", "client"):
            raise ConfigError(f"clock is {self.clock!r}: write system or client")
        _check_range("debounce_ms", self.debounce_ms, 0, 5_000)
        _check_range("timeout_ms", self.timeout_ms, 1, 60_000)
        _check_range("max_outbox_mb", self.max_outbox_mb, 1, 4_096)
        _check_range("num_candidates", self.num_candidates, 1, MAX_CANDIDATES)
        _check_range("temperature", self.temperature, 0.0, 2.0)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}: write a number from {low} to {high}")
