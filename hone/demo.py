"""Turns one command into the whole loop, seen: type, learn overnight, gate, swap, compare.

Everything is real and happens in a temporary folder: a host with the starter model, a language
server over stdio, source files that the starter was never trained on, a night of training. Every
figure it prints was measured in that run.
"""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from feedback_store import runs
from feedback_store.database import Database, default_url
from feedback_store.runs import TrainingRun
from hone import demo_report, processes
from hone.demo_traffic import Question, Traffic, ask_all, health_of
from hone.demo_typist import Script, Typist, script_of
from hone.errors import HoneError, UsageError
from hone.night import reporting
from trainer.replay.lsp_client import LspClient

UNSEEN = ("rich", "click", "starlette", "fastapi", "alembic", "argparse", "shutil")
NUM_TRAIN_FILES, PLACES_PER_TRAIN_FILE = 20, 11
NUM_HELD_OUT_FILES, PLACES_PER_HELD_OUT_FILE = 10, 17
MIN_PAIRS = 80
SEED = 11
BEGIN_MS = 1_790_000_000_000  # where the typist's virtual clock starts
PROMOTER = "Ada (hone demo)"
DELIVERY_SECONDS = 60.0
SWAP_SECONDS = 10.0


@dataclass(frozen=True)
class Place:
    """Where everything of one demo lies and listens."""

    folder: Path
    url: str
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"


def run(keep: Path | None = None) -> int:
    """Run the demo; 0 when everything worked and no request failed.

    `keep` names a new or empty folder that stays, to look around in afterwards.
    """
    console = Console(highlight=False)
    begun = time.perf_counter()
    with _folder(keep) as folder:
        port = _free_port()
        place = Place(folder, f"http://127.0.0.1:{port}", port)
        num_failed = asyncio.run(_demo(place, console))
        took = f"\nDone in {time.perf_counter() - begun:.0f} s"
        if keep is None:
            console.print(f"{took}; the folder is gone again.")
        else:
            console.print(f"{took}. Look around: hone serve --data {place.data}, then /admin.")
    return 0 if num_failed == 0 else 1


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="hone-demo-") as name:
            yield Path(name)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UsageError(f"{keep} is not an empty folder: name one for the demo to fill")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()


async def _demo(place: Place, console: Console) -> int:
    """Play the whole circle; return how many requests failed."""
    scripts = _scripts(place)
    with _host(place):
        health = await _await_health(place)
        demo_report.introduce(console, health, scripts, MIN_PAIRS)
        await _type_a_day(place, scripts, console)
        demo_report.tell_events(console, place.data)
        questions = _questions(place, scripts)
        before = await ask_all(place.url, questions)
        async with _traffic(place) as traffic:
            night = await _night(place, console)
            demo_report.tell_night(console, night, place.data)
            sha256 = await _promote(place, night, console)
            await _await_swap(place, sha256)
            await traffic.some_more()
        after = await ask_all(place.url, questions)
        demo_report.compare(console, questions, before, after)
        demo_report.tell_traffic(console, traffic)
        return traffic.num_failed


def _scripts(place: Place) -> list[Script]:
    """Copy real source files into the workspace and plan where to type in them.

    Held-out files are visited more densely, so that the gate has something to measure.
    """
    from trainer.dataset import split_of

    wanted = {"train": NUM_TRAIN_FILES, "held_out": NUM_HELD_OUT_FILES, "dev": 3}
    num_places = {"train": PLACES_PER_TRAIN_FILE, "held_out": PLACES_PER_HELD_OUT_FILE, "dev": 8}
    scripts = []
    for name, source in _unseen_files():
        split = split_of(f"unknown:{name}")
        if wanted[split] == 0:
            continue
        copy = place.workspace / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        script = script_of(copy, num_places[split], SEED)
        if len(script.places) >= 6:
            wanted[split] -= 1
            scripts.append(script)
    return scripts


def _unseen_files() -> Iterator[tuple[str, Path]]:
    """Yield installed source files that the starter has never seen, packages taking turns."""
    found: list[list[tuple[str, Path]]] = []
    for package in UNSEEN:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
        found.append(
            [
                (f.relative_to(origin.parent.parent).as_posix() if len(files) > 1 else f.name, f)
                for f in files
                if 5_000 < f.stat().st_size < 60_000
            ]
        )
    for number in range(max(map(len, found), default=0)):
        yield from (files[number] for files in found if number < len(files))


async def _type_a_day(place: Place, scripts: list[Script], console: Console) -> None:
    """Type every script through a real language server and wait until all is delivered."""
    command = [sys.executable, "-m", "hone", "lsp", "--url", place.url, "--clock", "client"]
    client = await LspClient.start([*command, "--data", str(place.data)], env=_environment())
    await client.initialize(root=place.workspace, record=True, name="hone-demo")
    await client.wait_for("hone/status", lambda status: status["state"] == "ready")
    typist = Typist(client, BEGIN_MS, clock=time.perf_counter)
    total = sum(len(script.places) for script in scripts)
    with reporting(show=True) as progress:
        for script in scripts:
            await typist.play(script, lambda: progress("typing", typist.num_visited, total))
    await _await_delivery(place)
    await client.shutdown()
    demo_report.tell_typing(console, typist)


async def _await_delivery(place: Place) -> None:
    """Wait until the store has acknowledged everything that was recorded."""
    async with asyncio.timeout(DELIVERY_SECONDS):
        while any(file.stat().st_size for file in (place.data / "outbox").glob("*.jsonl")):
            await asyncio.sleep(0.2)


async def _night(place: Place, console: Console) -> TrainingRun:
    """Run `hone train` as the schedule would; return the record it leaves in the store."""
    console.rule("[bold]The night")
    arguments = ["train", "--data", str(place.data), "--min-pairs", str(MIN_PAIRS)]
    arguments += ["--epochs", "1"]  # a night passes twice; somebody is waiting here
    arguments += ["--without-evidence"]  # a day's positions are too few for the gate
    code = await _hone(*arguments, HONE_TRAIN__NUM_THREADS=str(os.cpu_count() or 1))
    if code not in (0, 3):
        raise HoneError(f"the night failed with exit code {code}")
    database = Database.open(default_url(place.data))
    try:
        return next(iter(runs.list_runs(database, 1)))
    finally:
        database.close()


async def _promote(place: Place, night: TrainingRun, console: Console) -> str:
    """Return the adapter that shall serve; where the gate said no, a named person decides."""
    if night.adapter is None:
        raise HoneError(f"the night made no adapter: {night.decision.get('reasons')}")
    if night.exit_code == 0:
        console.print("The gate promoted it; the running host picks it up by itself.")
        return night.adapter
    console.print(
        f"The gate said no, and in production that stands. To show the swap, {PROMOTER} "
        "promotes it by hand now; the registry records who and why."
    )
    reason = "to show the swap, against the gate's advice"
    arguments = ["--by", PROMOTER, "--reason", reason, "--data", str(place.data)]
    if await _hone("adapters", "promote", night.adapter, *arguments) != 0:
        raise HoneError(f"adapter {night.adapter} could not be promoted")
    return night.adapter


async def _hone(*arguments: str, **environment: str) -> int:
    """Run the front door itself, on this terminal; return its exit code."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hone", *arguments),
        env={**os.environ, **_environment(), **environment},
    )
    return await child.wait()


async def _await_swap(place: Place, sha256: str) -> None:
    async with asyncio.timeout(SWAP_SECONDS):
        while (await health_of(place.url))["adapter"] != sha256:
            await asyncio.sleep(0.1)


def _questions(place: Place, scripts: list[Script]) -> list[Question]:
    """Return prompts in held-out files, with what stands there really."""
    from trainer.dataset import split_of

    return [
        Question.at(script, spot)
        for script in scripts
        if split_of(f"unknown:{script.path.relative_to(place.workspace).as_posix()}") == "held_out"
        for spot in script.places[::4]
    ]


@contextmanager
def _host(place: Place) -> Iterator[None]:
    arguments = ["serve", "--port", str(place.port), "--data", str(place.data)]
    host = processes.spawn([*arguments, "--model", "starter"], _environment())
    try:
        yield
    finally:
        processes.stop(host)


async def _await_health(place: Place) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            return await health_of(place.url)
        except OSError:
            await asyncio.sleep(0.2)
    raise HoneError("the host did not come up within 120 s")


@asynccontextmanager
async def _traffic(place: Place) -> AsyncIterator[Traffic]:
    traffic = Traffic(place.url)
    traffic.start()
    try:
        yield traffic
    finally:
        await traffic.stop()


def _environment() -> dict[str, str]:
    """Return what keeps the demo's processes from a user's own settings and from any hub."""
    return {"HF_HUB_OFFLINE": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
