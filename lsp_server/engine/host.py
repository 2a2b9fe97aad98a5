"""Turns a configuration into the host: one FastAPI app of completions, events and admin.

Start-up reads like the drawing: database, base, engine, registry follower, recorder. It knows
nothing of how any of them works.
"""

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from feedback_store import adapter_routes, admin, owed_folds, privacy, rollups
from feedback_store import api as store_api
from feedback_store.access import has_users
from feedback_store.database import Database, default_url
from feedback_store.entrance import Entrance
from feedback_store.errors import StoreError
from feedback_store.privacy import Retention
from feedback_store.registry import Registry
from feedback_store.seals import Seals, read_key
from lsp_server.engine import api, status
from lsp_server.engine.adapter_source import AdapterSource
from lsp_server.engine.base import Base, load_base
from lsp_server.engine.engine import EngineConfig, LocalEngine
from lsp_server.engine.errors import EngineError
from lsp_server.engine.follower import RegistryFollower
from lsp_server.engine.guard import LOOPBACK_NAMES, REFUSALS, Guard
from lsp_server.engine.metrics import Metrics, State
from lsp_server.engine.metrics import routes as metrics_routes
from lsp_server.engine.recorder import Recorder
from lsp_server.engine.rests import Rests
from lsp_server.engine.showing import Showing
from lsp_server.engine.tracing import Trace

RETENTION_SECONDS = 3600.0
FIGURES_SECONDS = 15.0
# A thread that comes back from the disk waits so long for one that computes: Python's own 5 ms, at
# every row read, made a batch of events wait half a second for the figures of the admin page.
SWITCH_SECONDS = 0.0005
OBJECTS_PER_COLLECTION = 10_000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HostConfig:
    """Everything a host needs to know; `data` holds database, adapters and logs."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8750
    model: str = "starter"
    database_url: str | None = None
    token: str | None = None
    device: str = "auto"
    num_threads: int | None = None
    max_batch: int = 16
    max_prompt_tokens: int | None = None
    requests_per_minute: int = 6000
    content: bool = True  # false: what is stored has no code in it
    show_filter: bool = True
    adapter_source: str | None = None  # another host, which sends what is not in our folder
    retention: Retention = field(default_factory=Retention)

    @property
    def adapters(self) -> Path:
        """Where registered adapters lie."""
        return self.data / "adapters"


def serve(config: HostConfig) -> None:
    """Serve until stopped. Raises StoreError or EngineError when it cannot start."""
    sys.setswitchinterval(SWITCH_SECONDS)
    database = Database.open(config.database_url or default_url(config.data))
    try:
        base = load_base(config.model, device=config.device, num_threads=config.num_threads)
        app = build_app(config, database, base)
        server = uvicorn.Config(
            app, host=config.host, port=config.port, log_config=None, access_log=False
        )
        settle()
        uvicorn.Server(server).run()
    finally:
        database.close()


def settle() -> None:
    """Take what is loaded by now, for good, out of the garbage collector's sight.

    Torch and the model are half a million objects. To walk them stops every thread for a quarter
    of a second, whenever enough was allocated: somebody's suggestion, or a page, would wait. Of
    what comes later little lives long and less refers to itself: looking after every 700 objects,
    as Python does, was a sixth of the time that a batch of events takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_PER_COLLECTION)


def build_app(config: HostConfig, database: Database, base: Base) -> FastAPI:
    """Return the app; its engine starts with it and stops with it."""
    _refuse_open_door(config, database)
    entrance = Entrance(database, config.token, Seals(read_key(config.data / "session.key")))
    registry = Registry(database, config.adapters)
    parts: list[api.Served] = []
    recorders: list[Recorder] = []
    metrics = Metrics(database, lambda: _state(parts[0], recorders[0]))

    def served() -> api.Served:
        return parts[0]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine = LocalEngine(base, EngineConfig(config.max_batch, config.max_prompt_tokens))
        recorder = Recorder(database, content=config.content)
        showing = Showing(database, base.sha256, enabled=config.show_filter)
        recorders.append(recorder)
        parts.append(
            api.Served(engine, base, showing, recorder.put, hone_version(), metrics.answered)
        )
        follower = RegistryFollower(
            engine, registry, base, metrics.swapped, _source(config, database, registry)
        )
        await engine.warm_up()
        await follower.sync()
        tasks = [
            asyncio.create_task(follower.run()),
            asyncio.create_task(showing.run()),
            asyncio.create_task(_keep_retention(database, config.retention)),
            asyncio.create_task(_keep_figures(database)),
        ]
        log.info("%s serves on %s at %s:%s", base.name, base.device, config.host, config.port)
        yield
        for task in tasks:
            task.cancel()
        await engine.close()
        await asyncio.to_thread(recorder.close)
        await asyncio.to_thread(entrance.close)

    app = FastAPI(title="Hone", version=hone_version(), lifespan=lifespan, responses=REFUSALS)
    app.include_router(api.routes(served))
    app.include_router(status.routes(served, database))
    app.include_router(store_api.routes(database, content=config.content, told=metrics.ingested))
    app.include_router(metrics_routes(metrics))
    app.include_router(adapter_routes.routes(registry, database, base.sha256))
    app.include_router(
        admin.routes(database, registry, lambda: _status(served()), entrance, config.data / "logs")
    )
    app.include_router(admin.review_routes(database, entrance))
    app.include_router(admin.sign_in_routes(entrance))
    app.add_middleware(
        Guard,
        host=config.host,
        entrance=entrance,
        requests_per_minute=config.requests_per_minute,
    )
    app.add_middleware(Trace, observe=metrics.requested)
    return app


def _refuse_open_door(config: HostConfig, database: Database) -> None:
    """Raise EngineError when other machines could reach a host that asks nobody for a token."""
    if config.host not in LOOPBACK_NAMES and not config.token and not has_users(database):
        raise EngineError(
            f"host {config.host!r} is reachable from other machines: set a token to bind there, "
            "or give users tokens with `hone users add`"
        )


def _source(config: HostConfig, database: Database, registry: Registry) -> AdapterSource | None:
    """Return where missing adapters come from; None on a host that is alone with its database."""
    if config.adapter_source is None and database.path is not None:
        return None
    return AdapterSource(registry, config.adapter_source, config.token)


def hone_version() -> str:
    """Return the installed version of Hone."""
    try:
        return version("hone")
    except PackageNotFoundError:
        return "0+source"


def _state(served: api.Served, recorder: Recorder) -> State:
    return State(served.base.name, served.engine.live_adapter, recorder.num_waiting)


def _status(served: api.Served) -> dict[str, Any]:
    return {
        "version": served.version,
        "model": served.base.name,
        "device": served.base.device,
        "adapter": served.engine.live_adapter,
    }


async def _keep_figures(database: Database) -> None:
    """Bring outcomes, figures and the search index up to date, every quarter of a minute."""
    stopping, owed = threading.Event(), None
    try:
        while True:
            rest = Rests(stopping.wait)
            try:
                owed = await asyncio.to_thread(owed_folds.fold_left_over, database, owed, rest)
                await asyncio.to_thread(rollups.refresh, database, rest)
            except StoreError:
                log.exception("the figures of the admin page could not be brought up to date")
            await asyncio.sleep(FIGURES_SECONDS)
    finally:
        stopping.set()  # a thread at work raises Stopped then, which nobody waits for


async def _keep_retention(database: Database, retention: Retention) -> None:
    """Enforce age and size caps, at start and every hour."""
    while True:
        try:
            await asyncio.to_thread(privacy.enforce, database, retention, datetime.now(UTC))
        except StoreError:
            log.exception("retention could not be enforced")
        await asyncio.sleep(RETENTION_SECONDS)
