"""Measures every admin page over HTTP, with a million completions in the store, on both databases.

    python benchmarks/run_admin.py                          # both, writes results/admin.json
    python benchmarks/run_admin.py --completions 20000      # smaller: prints only
    python benchmarks/run_admin.py --engine sqlite --runs 10
    python benchmarks/run_admin.py --postgresql URL         # a store that is filled already

SQLite's store is made once by `store_at_scale.py` and kept in build/; PostgreSQL is Debian's own
with its default settings, started here and filled anew, which takes longest. The pages are the real
ones behind the host's own guard, in a process that has loaded what a host loads, asked for by a
client with an admin's token, one after the other; only the model is left out. Server time is taken
by the server from the first byte of a request to the last of its answer; the client's whole time
stands beside, and so does processor time, which a busy machine does not stretch.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from facts import RESULTS, facts, summary, write  # isort: skip  # first: it sets what torch reads

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "feedback_store"))

import httpx
import uvicorn
from fastapi import FastAPI
from postgres_server import serving
from sqlalchemy import func, select
from store_at_scale import fill, make_pairs

from feedback_store import access, admin, rollups
from feedback_store.access import TokenScope
from feedback_store.database import Database, default_url
from feedback_store.entrance import Entrance
from feedback_store.figures import store_figures
from feedback_store.models import (
    AdapterRow,
    CompletionRow,
    EventRow,
    OutcomeRow,
    TrainingRunRow,
)
from feedback_store.registry import Registry
from feedback_store.seals import Seals
from lsp_server.engine.guard import Guard
from lsp_server.engine.host import settle

GOAL_MS = 150.0
NUM_COMPLETIONS = 1_000_000
ENGINES = ("sqlite", "postgresql")
KEPT = Path(__file__).parents[1] / "build" / "admin-at-scale"
_SIZES = (CompletionRow, EventRow, OutcomeRow, TrainingRunRow, AdapterRow)


def main() -> None:
    """Measure, print a table for each database, and write `results/admin.json` at full size.

    A database that is not measured now stays there as it was.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--completions", type=int, default=NUM_COMPLETIONS)
    parser.add_argument("--engine", action="append", choices=ENGINES, help="this one only")
    parser.add_argument("--postgresql", metavar="URL", help="filled by store_at_scale.py already")
    parser.add_argument("--runs", type=int, default=40, help="of each page")
    options = parser.parse_args()
    told = {engine: measure_engine(engine, options) for engine in options.engine or ENGINES}
    for engine, one in told.items():
        _print(engine, one)
    if options.completions == NUM_COMPLETIONS:
        print(write("admin", _measured_before() | told, {"goal_ms": GOAL_MS}))


def _measured_before() -> dict[str, Any]:
    """Return what is known of every database, each with the facts of its own run."""
    path = RESULTS / "admin.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {engine: known[engine] for engine in ENGINES if engine in known}


def measure_engine(engine: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what every page took on one database, and how large that is."""
    about, store = facts(), filled(engine, options.completions, options.postgresql)
    with store as database, TemporaryDirectory() as folder:
        secret = _token(database)
        server = _Server(database, Path(folder))
        settle()
        try:
            pages = measure(server, secret, _paths(database), options.runs)
        finally:
            server.stop()
        slowest = max(page["server_ms"]["p95"] for page in pages.values())
        counted = {"store": _sizes(database), "slowest_p95_ms": slowest, "pages": pages}
        return about | counted


@contextmanager
def filled(engine: str, num_completions: int, postgresql: str | None) -> Iterator[Database]:
    """Yield a store with so many completions, their pairs and their daily figures."""
    if engine == "postgresql" and postgresql:
        database = Database.open(postgresql)
        yield database
        database.close()
        return
    if engine == "postgresql":
        with serving() as server:
            database = Database.open(server.url(server.new()))
            _fill(database, num_completions)
            yield database
            database.close()
        return
    folder = KEPT / str(num_completions)
    whole = folder / "whole"
    if not whole.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("hone.db*"):
            left.unlink()
    database = Database.open(default_url(folder))
    if not whole.exists():
        _fill(database, num_completions)
        whole.touch()
    yield database
    database.close()


def _fill(database: Database, num_completions: int) -> None:
    begun = time.monotonic()
    fill(database, num_completions)
    make_pairs(database)
    rollups.rebuild(database)
    print(f"  filled in {time.monotonic() - begun:.0f} s", file=sys.stderr)


def _print(engine: str, told: dict[str, Any]) -> None:
    print(f"{engine}, {told['store']['completions']:,} completions (server ms, then processor ms)")
    print("     p50      p95      max      cpu  page")
    for name, page in told["pages"].items():
        waited, cpu = page["server_ms"], page["cpu_ms"]["p50"]
        row = (waited["p50"], waited["p95"], waited["max"], cpu)
        print(" ".join(f"{value:8.1f}" for value in row), f" {name}")
    print(f"slowest p95: {told['slowest_p95_ms']} ms (goal {GOAL_MS})")


def measure(
    server: "_Server", secret: str, paths: dict[str, str], num_runs: int
) -> dict[str, dict[str, Any]]:
    """Return server and client times of each page; the first round warms up and is left out."""
    headers = {"Authorization": f"Bearer {secret}", "Accept": "text/html"}
    server_ms: dict[str, list[float]] = {name: [] for name in paths}
    client_ms: dict[str, list[float]] = {name: [] for name in paths}
    cpu_ms: dict[str, list[float]] = {name: [] for name in paths}
    sizes: dict[str, int] = {}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        for number in range(num_runs + 1):
            for name, path in paths.items():
                begun = time.perf_counter()
                answer = client.get(path)
                took_ms = 1e3 * (time.perf_counter() - begun)
                answer.raise_for_status()
                sizes[name] = len(answer.content)
                if number:
                    client_ms[name].append(took_ms)
                    server_ms[name].append(float(answer.headers["x-server-ms"]))
                    cpu_ms[name].append(float(answer.headers["x-cpu-ms"]))
    return {
        name: {
            "path": path,
            "bytes": sizes[name],
            "server_ms": summary(server_ms[name], 1),
            "client_ms": summary(client_ms[name], 1),
            "cpu_ms": summary(cpu_ms[name], 1),
        }
        for name, path in paths.items()
    }


def _paths(database: Database) -> dict[str, str]:
    """Return what is asked for; ids come from the store itself."""
    with database.reading() as session:
        last = session.scalar(select(func.max(CompletionRow.served_at)))
        if last is None:
            raise SystemExit("the store is empty: name more completions")
        one = session.scalars(
            select(OutcomeRow.completion_id).where(OutcomeRow.kind == "accepted").limit(1)
        ).one()
        night = session.scalars(select(TrainingRunRow.run_id).limit(1)).one()
        adapter = session.scalars(select(AdapterRow.sha256).limit(1)).one()
        repository = session.scalars(select(CompletionRow.repository).limit(1)).one()
    until = last.date()
    lists = {
        "all": "",
        "language": "language=rust",
        "outcome": "outcome=dismissed",
        "outcome and language": "outcome=dismissed&language=sql",
        "client and language": "client=Helix&language=sql",
        "adapter": f"adapter={adapter}",
        "repository": f"repository={repository}",
        "days of the past": f"since={until - timedelta(days=200)}&until={until - timedelta(190)}",
        "a frequent word": "text=self",
        "several words": "text=self+return+none",
        "words and outcome": "text=self+value&outcome=dismissed",
        "words and language": "text=import&language=sql",
        "a word that nobody wrote": "text=zyzzyva",
        "how a word begins": "text=conn*",
        "far back": f"after={_middle(until)}",
    }
    return {
        "dashboard, 30 days": f"/admin?until={until}",
        "dashboard, 90 days by adapter": f"/admin?until={until}&days=90&by=adapter",
        "dashboard, a year by language": f"/admin?until={until}&days=365",
        "dashboard, a year by client": f"/admin?until={until}&days=365&by=client",
        **{f"completions, {name}": f"/admin/completions?{query}" for name, query in lists.items()},
        "one completion": f"/admin/completions/{one}",
        "queue": "/admin/review",
        "nights": "/admin/nights",
        "one night": f"/admin/nights/{night}",
        "adapters": "/admin/adapters",
        "one adapter": f"/admin/adapters/{adapter}",
        "promote, first step": f"/admin/adapters/{adapter}/promote",
        "audit log": "/admin/audit",
    }


def _middle(until: date) -> str:
    day = until - timedelta(days=180)
    return f"{day}T12:00:00%2B00:00_80000000-0000-4000-8000-000000000000"


def _token(database: Database) -> str:
    """Return a token of an administrator made for this run."""
    scopes, now = {TokenScope.ADMIN}, datetime.now(UTC)
    secret, _ = access.issue(
        database, "benchmark", scopes, lifetime=timedelta(hours=2), now=now, by="benchmark"
    )
    return secret


def _sizes(database: Database) -> dict[str, Any]:
    with database.reading() as session:
        counts = {
            table.__tablename__: session.scalar(select(func.count()).select_from(table))
            for table in _SIZES
        }
    return {"bytes": store_figures(database).num_bytes, **counts}


Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Timed:
    """Says in a header how long the app took; an answer is held back until it is whole."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, held = time.perf_counter(), list[MutableMapping[str, Any]]()
        cpu_begun = time.process_time()

        async def hold(message: MutableMapping[str, Any]) -> None:
            held.append(message)

        await self._app(scope, receive, hold)
        told = f"{1e3 * (time.perf_counter() - begun):.2f}".encode()
        cpu = f"{1e3 * (time.process_time() - cpu_begun):.2f}".encode()
        headers = held[0].get("headers", ())
        held[0]["headers"] = [*headers, (b"x-server-ms", told), (b"x-cpu-ms", cpu)]
        for message in held:
            await send(message)


class _Server:
    """The pages in a thread of this process, on a free port."""

    def __init__(self, database: Database, folder: Path) -> None:
        entrance = Entrance(database, None, Seals(os.urandom(32)))
        status = {"model": "none", "adapter": None}
        app = FastAPI()
        registry = Registry(database, folder / "adapters")
        app.include_router(admin.routes(database, registry, lambda: status, entrance))
        app.include_router(admin.review_routes(database, entrance))
        app.include_router(admin.sign_in_routes(entrance))
        app.add_middleware(
            Guard, host="127.0.0.1", entrance=entrance, requests_per_minute=1_000_000
        )
        self._server = uvicorn.Server(
            uvicorn.Config(_Timed(app), port=0, log_level="warning", access_log=False)
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))
        self._thread.start()
        while not self._server.started:
            time.sleep(0.05)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


if __name__ == "__main__":
    main()
