"""The status route: what serves, and what one user did, behind the editors' door."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from feedback_store.database import Database, default_url
from feedback_store.registry import Registry
from feedback_store.schemas import HostStatus
from lsp_server.engine.base import Base
from lsp_server.engine.host import HostConfig, build_app

TOKEN = "a token of eight or more"


@dataclass
class Host:
    client: httpx.AsyncClient
    registry: Registry
    make_adapter: Callable[..., Any]

    async def status(self, **query: str) -> HostStatus:
        answer = await self.client.get("/v1/hone/status", params=query)
        assert answer.status_code == 200, answer.text
        return HostStatus.model_validate_json(answer.content)


@pytest.fixture
async def host(base: Base, tmp_path: Path, make_adapter: Callable[..., Any]) -> Any:
    database = Database.open(default_url(tmp_path))
    config = HostConfig(data=tmp_path, token=TOKEN)
    app = build_app(config, database, base)
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8750", headers=headers
        ) as client,
    ):
        yield Host(client, Registry(database, config.adapters), make_adapter)
    database.close()


async def test_the_base_serves_with_nothing_to_tell(host: Host) -> None:
    status = await host.status()
    assert status == HostStatus(version=version("hone"), model="starter", adapter=None)


async def test_a_promoted_adapter_is_told_once_it_serves(host: Host, base: Base) -> None:
    folder, sha256, _ = host.make_adapter()
    numbers = {"matched_live": 0.1, "matched_candidate": 0.11, "gain_nats": 0.05, "positions": 300}
    host.registry.register(folder, base_sha256=base.sha256, run_id="run-0", metrics=numbers)
    host.registry.promote(sha256, by="ada", reason="to see it")
    status = await host.status()
    while status.adapter is None:
        status = await host.status()
    assert (status.adapter.sha256, status.adapter.number) == (sha256, 1)
    assert status.adapter.matched_change == pytest.approx(0.1)
    assert status.adapter.promoted_by == "ada"


async def test_acceptance_is_told_to_who_asks_for_it(host: Host) -> None:
    midnight = datetime.now(UTC).replace(hour=0).isoformat()
    today = (await host.status(user="u1", since=midnight)).today
    assert today is not None
    assert (today.num_shown, today.num_accepted) == (0, 0)
    assert (await host.status(user="u1")).today is None


@pytest.mark.parametrize(
    "query", [{"user": "u" * 65}, {"since": "yesterday"}, {"since": "2026-11-20T00:00:00"}]
)
async def test_odd_questions_are_refused(host: Host, query: dict[str, str]) -> None:
    assert (await host.client.get("/v1/hone/status", params=query)).status_code == 422


async def test_without_the_token_nothing_is_told(host: Host) -> None:
    host.client.headers.pop("Authorization")
    assert (await host.client.get("/v1/hone/status")).status_code == 401
