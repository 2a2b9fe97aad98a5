"""Turns a data folder into the real Hone that a replay plays against: host, language server, night.

Everything is a child process with a port and a folder of its own; settings of the user's never
reach it, and a live host is never touched. It knows nothing of typists, exams or arms.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from trainer.errors import ReplayError
from trainer.replay.lsp_client import LspClient, LspError, ServerGone

START_SECONDS = 180.0
STOP_SECONDS = 15.0
DELIVERY_SECONDS = 120.0
ANSWER_MS = 60_000
EXIT_PROMOTED, EXIT_KEPT = 0, 3


@dataclass(frozen=True)
class System:
    """How the child processes of a replay are run."""

    model: str
    device: str
    num_threads: int
    min_pairs: int
    without_evidence: bool = False  # `--quick` lets people see that all of it works

    @asynccontextmanager
    async def host(self, data: Path) -> AsyncIterator[str]:
        """Run `hone serve` on a folder; yields its URL, stops it at the end."""
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        child = await self._spawn(data, "serve", "--port", str(port), "--supervised")
        try:
            await _await_health(url, child)
            yield url
        finally:
            await _stop(child)

    @asynccontextmanager
    async def editor(self, data: Path, url: str, workspace: Path) -> AsyncIterator[LspClient]:
        """Run `hone lsp` on a virtual clock; at the end all that was recorded is delivered."""
        # What lies around the folder of a replay must not decide what is completed in it.
        (workspace / ".git").mkdir(parents=True, exist_ok=True)
        command = [*_HONE, "lsp", "--url", url, "--clock", "client", "--data", str(data)]
        environment = _environment(_settings_file(self, data))
        client = await LspClient.start(command, env=environment, inherit=False, cwd=data)
        try:
            await client.initialize(root=workspace, record=True, name="hone-replay")
            await client.wait_for("hone/status", lambda status: status["state"] == "ready")
            yield client
            await _await_delivery(data)
            await client.shutdown()
        except (LspError, ServerGone) as error:
            said = f"; its last words: {client.stderr[-1]}" if client.stderr else ""
            raise ReplayError(f"the language server failed: {error}{said}") from error
        finally:
            await client.kill()

    async def night(self, data: Path, seed: int) -> dict[str, Any]:
        """Run `hone train` and return its result; ReplayError when it failed."""
        arguments = ("train", "--json", "--supervised", "--seed", str(seed))
        child = await self._spawn(data, *arguments, stdout=True)
        assert child.stdout is not None
        try:
            output = await child.stdout.read()  # `communicate` would close its stdin: it would end
            await child.wait()
        finally:
            await _stop(child)
        result = _result_of(output)
        if result is None or child.returncode not in (EXIT_PROMOTED, EXIT_KEPT):
            why = result["reasons"][0] if result else "see the messages above"
            raise ReplayError(f"the night failed with exit code {child.returncode}: {why}")
        return result

    async def _spawn(
        self, data: Path, *arguments: str, stdout: bool = False
    ) -> asyncio.subprocess.Process:
        data.mkdir(parents=True, exist_ok=True)
        return await asyncio.create_subprocess_exec(
            *(*_HONE, *arguments, "--data", str(data)),
            stdin=asyncio.subprocess.PIPE,  # never written: the host ends when it does
            stdout=asyncio.subprocess.PIPE if stdout else asyncio.subprocess.DEVNULL,
            env=_environment(_settings_file(self, data)),
            cwd=data,
            # Ctrl-C in the terminal reaches the replay alone, which stops its children in order.
            start_new_session=os.name == "posix",
        )


_HONE = (sys.executable, "-m", "hone")


def _settings_file(system: System, data: Path) -> Path:
    """Write the hone.toml of the child processes, which leaves the user's own unread."""
    data.mkdir(parents=True, exist_ok=True)
    path = data / "hone.toml"
    path.write_text(
        f"model = {json.dumps(system.model)}\n"
        f"device = {json.dumps(system.device)}\n"
        f"[engine]\nnum_threads = {system.num_threads}\nshow_filter = false\n"
        f"[train]\nnum_threads = {system.num_threads}\nmin_pairs = {system.min_pairs}\n"
        f"without_evidence = {str(system.without_evidence).lower()}\n"
        # Time is virtual here: a busy machine must not look like a host that does not answer.
        f'[editor]\ntimeout_ms = {ANSWER_MS}\n[night]\nat = "off"\n',
        encoding="utf-8",
    )
    return path


def _environment(settings: Path) -> dict[str, str]:
    # Settings are read whatever the case of their variables.
    mine = {n: value for n, value in os.environ.items() if not n.upper().startswith("HONE_")}
    # The workspace of a replay belongs to no repository, wherever its folder lies: files are told
    # apart by their paths alone, so that the same ones are held out on every machine.
    nowhere = str(settings.absolute().parent.parent)
    return mine | {"HONE_CONFIG": str(settings), "GIT_CEILING_DIRECTORIES": nowhere}


def _result_of(output: bytes) -> dict[str, Any] | None:
    """Return the last line that a night printed as its result; None when it is none."""
    lines = output.decode(errors="replace").strip().splitlines()
    try:
        result = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return result if isinstance(result, dict) and result.get("reasons") else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _await_health(url: str, child: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with httpx.AsyncClient(base_url=url, timeout=5, trust_env=False) as client:
        while time.monotonic() < deadline:
            if child.returncode is not None:
                raise ReplayError(f"the host ended with exit code {child.returncode} as it started")
            try:
                (await client.get("/health")).raise_for_status()
                return
            except httpx.HTTPError:
                await asyncio.sleep(0.2)
    raise ReplayError(f"the host did not come up within {START_SECONDS:.0f} s")


async def _await_delivery(data: Path) -> None:
    """Wait until the store has acknowledged everything that was recorded."""
    try:
        async with asyncio.timeout(DELIVERY_SECONDS):
            while any(file.stat().st_size for file in (data / "outbox").glob("*.jsonl")):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ReplayError(
            f"some feedback was not delivered within {DELIVERY_SECONDS:.0f} s: see {data}/outbox"
        ) from None


async def _stop(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), STOP_SECONDS)
        except TimeoutError:
            child.kill()
            await child.wait()
    if child.stdin is not None:
        child.stdin.close()
