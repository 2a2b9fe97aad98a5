"""The whole host as a stranger meets it: what its OpenAPI document says, and hostile bodies.

A real server on a socket, the real engine, the real store.
"""

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import select

from feedback_store.database import Database, default_url
from feedback_store.models import CompletionRow, EventRow
from feedback_store.schemas import Event, EventKind
from lsp_server.engine.base import Base
from lsp_server.engine.host import HostConfig, build_app

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
schemathesis.serializer.alias("application/x-tar", "application/octet-stream")
INJECTION = "'; DROP TABLE events; --\" \\ %s :x $1 {0}"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class App:
    url: str
    database: Database

    def post(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(self.url + path, content=body, headers=sent, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, base: Base) -> Iterator[App]:
    data = tmp_path_factory.mktemp("host")
    database = Database.open(default_url(data))
    made = build_app(HostConfig(data), database, base)
    server = uvicorn.Server(uvicorn.Config(made, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.02)
    (socket,) = server.servers[0].sockets
    yield App(f"http://127.0.0.1:{socket.getsockname()[1]}", database)
    server.should_exit = True
    thread.join(30)
    database.close()


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_it_answers_as_its_document_says(app: App, mode: schemathesis.GenerationMode) -> None:
    document = schemathesis.openapi.from_url(f"{app.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert {"/v1/events", "/v1/hone/completions"} <= {one.path for one in operations}
    for operation in operations:
        has_input = list(operation.body) or list(operation.iter_parameters())
        if mode is schemathesis.GenerationMode.NEGATIVE and not has_input:
            continue  # Nothing can be wrong with it.
        check_operation(operation.as_strategy(generation_mode=mode))


def check_operation(cases: Any) -> None:
    @settings(max_examples=12, suppress_health_check=list(HealthCheck), database=None)
    @given(cases)
    def answers(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("max_new_tokens"), int):
            case.body["max_new_tokens"] = min(case.body["max_new_tokens"], 2)
        case.call_and_validate(checks=list(CHECKS), timeout=60)

    answers()


def batch(*items: Any) -> bytes:
    return json.dumps({"events": items}).encode()


def shown() -> dict[str, Any]:
    made = Event.new(uuid4(), EventKind.SHOWN, 0, datetime.now(UTC), text="x")
    return made.model_dump(mode="json", exclude_none=True)


def nested(depth: int) -> bytes:
    return b'{"events": ' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("body", "headers", "statuses"),
    [
        (b"", {}, {422}),
        (b"{", {}, {422}),
        (b'{"events": [}', {}, {422}),
        (b"\xff\xfe{}", {}, {422}),
        (b'{"events": ["\xff"]}', {}, {422}),
        (b'{"events": [{"kind": "\\ud800"}]}', {}, {422}),
        (b'{"events": ["\xed\xa0\x80"]}', {}, {422}),  # a lone surrogate, as UTF-8 must not say it
        (b'{"events": [NaN]}', {}, {200, 422}),
        (b"null", {}, {422}),
        (b'"events"', {}, {422}),
        (b'{"events": 7}', {}, {422}),
        (b'{"events": [], "more": 1}', {}, {422}),
        (batch(*[{}] * 501), {}, {422}),
        (nested(50_000), {}, {422}),
        (nested(100), {}, {200}),
        (b"\0" * 100, {}, {422}),
        (b" " * 10_000_000, {}, {413}),
        (gzip.compress(b" " * 10_000_000, mtime=0), {"Content_Encoding": "gzip"}, {413}),
        (b"no gzip", {"Content_Encoding": "gzip"}, {400}),
        (gzip.compress(batch(), mtime=0)[:-4], {"Content_Encoding": "gzip"}, {400}),
        (batch(), {"Content_Encoding": "br"}, {415}),
        (batch(), {"Content_Type": "text/plain"}, {415}),
        (batch(), {"Origin": "https://elsewhere.example"}, {403}),
        (batch(), {"Host": "elsewhere.example"}, {421}),
    ],
)
def test_a_hostile_body_gets_a_plain_answer(
    app: App, body: bytes, headers: dict[str, str], statuses: set[int]
) -> None:
    for path in ("/v1/events", "/v1/hone/completions"):
        answer = app.post(path, body, **headers)
        expected = statuses | {415, 422} if path != "/v1/events" else statuses
        assert answer.status_code in expected, answer.text[:200]
        if answer.status_code != 200:
            assert answer.json()["detail"]
            assert "Traceback" not in answer.text
    assert app.post("/v1/events", batch(shown())).json()["items"][0]["status"] == "stored"


@pytest.mark.parametrize("value", [INJECTION, "a\0b", 7, 1.5, True, [], {}, None, 10**40])
def test_no_field_of_an_event_takes_what_is_not_meant_for_it(app: App, value: Any) -> None:
    good = shown()
    fields = [*good, "candidate_index", "source"]
    data = ["text", "reason", "comment", "correction", "unit", "rating", "visible_ms"]
    items = [good | {name: value} for name in fields]
    items += [good | {"data": {"text": "x", name: value}} for name in data]
    answer = app.post("/v1/events", batch(*items))
    assert answer.status_code == 200
    for item in answer.json()["items"]:
        assert item["status"] in ("stored", "duplicate", "refused")
        assert item["status"] != "refused" or item["reason"]
    with app.database.reading() as session:
        texts = {str(row) for row in session.scalars(select(EventRow.data))}
    assert not any("\0" in one for one in texts)


def test_sql_in_every_text_is_only_text(app: App) -> None:
    key = uuid4()
    texts = dict.fromkeys(
        ("document_id", "language", "path", "repository", "user", "client", "client_version"),
        INJECTION,
    )
    question = texts | {
        "completion_id": str(key),
        "record": True,
        "prefix": INJECTION,
        "suffix": INJECTION,
        "max_new_tokens": 1,
        "requested_at": datetime.now(UTC).isoformat(),
    }
    assert app.post("/v1/hone/completions", json.dumps(question).encode()).status_code == 200
    told = {"comment": INJECTION, "reason": INJECTION, "correction": INJECTION, "rating": "up"}
    event = Event.new(key, EventKind.RATED, 0, datetime.now(UTC), **told)
    item = event.model_dump(mode="json", exclude_none=True)
    assert app.post("/v1/events", batch(item)).json()["items"][0]["status"] == "stored"
    columns = (CompletionRow.prefix, CompletionRow.suffix, CompletionRow.path, CompletionRow.client)
    for _ in range(500):
        with app.database.reading() as session:
            row = session.execute(
                select(*columns).where(CompletionRow.completion_id == key)
            ).one_or_none()
        if row is not None:
            break
        threading.Event().wait(0.02)
    assert row is not None
    assert set(row) == {INJECTION}
    with app.database.reading() as session:
        data = session.scalar(select(EventRow.data).where(EventRow.completion_id == key))
    assert data == told


def test_text_with_a_nul_is_answered_and_not_recorded(app: App) -> None:
    key = uuid4()
    question = {
        "completion_id": str(key), "document_id": "d", "record": True, "prefix": "a\0b = ",
        "max_new_tokens": 1, "requested_at": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    assert app.post("/v1/hone/completions", json.dumps(question).encode()).status_code == 200
