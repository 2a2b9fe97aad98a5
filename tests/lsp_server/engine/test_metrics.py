"""What a host tells about itself: figures at /metrics, and log lines that name their request."""

import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from feedback_store import runs
from feedback_store.database import Database, default_url
from feedback_store.registry import Registry
from feedback_store.schemas import Event, EventKind
from lsp_server.engine.base import Base
from lsp_server.engine.host import HostConfig, build_app
from lsp_server.engine.tracing import ACCESS_LOG, WithRequestId

TOKEN = "a token of eight or more"
SECRET = "ghp_" + "wJ8rXutnF3MIqK7MDeNGb2PxRfiCYzk5HvQ0"


class Host:
    def __init__(self, client: httpx.AsyncClient, database: Database, registry: Registry) -> None:
        self.client, self.database, self.registry = client, database, registry

    async def complete(self, **rest: Any) -> httpx.Response:
        question = {
            "completion_id": str(uuid4()),
            "document_id": "d",
            "record": True,
            "prefix": "for index in ran",
            "requested_at": datetime.now(UTC).isoformat(),
        }
        return await self.client.post("/v1/hone/completions", json=question | rest)

    async def figures(self) -> dict[str, float]:
        answer = await self.client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        lines = re.findall(r"^(hone_\S+) (\S+)$", answer.text, re.MULTILINE)
        return {name: float(value) for name, value in lines}


@pytest.fixture
async def host(base: Base, tmp_path: Path) -> Any:
    database = Database.open(default_url(tmp_path))
    runs.start(database, "night-1", settings={}, log_path=tmp_path / "night.log")
    config = HostConfig(data=tmp_path, token=TOKEN)
    app = build_app(config, database, base)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8750", headers=headers
        ) as client,
    ):
        yield Host(client, database, Registry(database, config.adapters))
    database.close()


def event(text: str) -> dict[str, Any]:
    one = Event.new(uuid4(), EventKind.SHOWN, 0, datetime.now(UTC), text=text)
    return one.model_dump(mode="json", exclude_none=True)


async def test_what_happens_is_counted(host: Host) -> None:
    assert (await host.complete()).status_code == 200
    assert (await host.complete(prefix=7)).status_code == 422
    events = [event("x = 1"), event(f"key = '{SECRET}'"), {"kind": "nonsense"}]
    assert (await host.client.post("/v1/events", json={"events": events})).status_code == 200
    told = await host.figures()
    route = 'method="POST",route="/v1/hone/completions"'
    assert told[f'hone_requests_total{{{route},status="200"}}'] == 1
    assert told[f'hone_requests_total{{{route},status="422"}}'] == 1
    assert told['hone_request_seconds_count{route="/v1/events"}'] == 1
    for stage in ("queue", "prompt", "prefill", "decode", "engine"):
        assert told[f'hone_completion_stage_seconds_count{{stage="{stage}"}}'] == 1
    assert told['hone_tokens_total{kind="prompt"}'] > 3
    assert told['hone_tokens_total{kind="generated"}'] > 0
    assert told['hone_events_total{status="stored"}'] == 1
    assert told['hone_events_total{status="refused"}'] == 2
    assert told['hone_scan_hits{kind="github-token"}'] == 1
    assert told["hone_store_up"] == 1
    assert told["hone_store_bytes"] > 4096
    assert told['hone_serving_info{adapter="none",model="starter"}'] == 1
    assert told['hone_night_result{status="running"}'] == 1
    assert told["hone_swaps_total"] == 0
    assert "hone_recorder_queue" in told


async def test_it_takes_a_token_that_opens_everything(host: Host) -> None:
    answer = await host.client.get("/metrics", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    told = await host.figures()
    assert told['hone_requests_total{method="GET",route="other",status="401"}'] == 1


async def test_an_answer_and_its_log_lines_name_the_request(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(WithRequestId())
    caplog.set_level(logging.INFO, ACCESS_LOG)
    given = await host.client.post(
        "/v1/events", json={"events": [event("x")]}, headers={"X-Request-ID": "proxy-7.a"}
    )
    assert given.headers["x-request-id"] == "proxy-7.a"
    hostile = {"X-Request-ID": "a b<script>"}
    made = await host.client.get("/admin/login", headers=hostile)
    assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])
    refused = await host.client.get("/nowhere", headers={"Authorization": ""})
    assert refused.status_code == 401
    assert len(refused.headers["x-request-id"]) == 32
    records = [record for record in caplog.records if record.name == ACCESS_LOG]
    assert [record.__dict__["request_id"] for record in records] == [
        answer.headers["x-request-id"] for answer in (given, made, refused)
    ]
    assert records[0].getMessage().startswith("POST /v1/events 200 ")
    assert "x = 1" not in caplog.text


async def test_nothing_is_said_about_machines_that_ask_often(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, ACCESS_LOG)
    await host.client.get("/health")
    await host.figures()
    assert [record for record in caplog.records if record.name == ACCESS_LOG] == []
