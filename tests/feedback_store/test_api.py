"""`POST /v1/events`: a report for every item, and limits before anything is parsed."""

import gzip
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from store_material import event, shown, wire

from feedback_store import api
from feedback_store.database import Database
from feedback_store.schemas import IngestReport


@pytest.fixture
def client(database: Database) -> TestClient:
    app = FastAPI()
    app.include_router(api.routes(database))
    return TestClient(app)


def check(client: TestClient, content: Any, status: int, **headers: str) -> Any:
    """Post bytes, or an object as JSON; return the answer."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = client.post("/v1/events", content=body, headers=names)
    assert response.status_code == status, response.text
    return response.json()


def test_every_item_is_reported(client: TestClient) -> None:
    good = wire(shown(uuid4()))
    answer = check(client, {"events": [good, {"event_id": "x"}, good, 7]}, 200)
    report = IngestReport.model_validate(answer)
    statuses = [item.status for item in report.items]
    assert statuses == ["stored", "refused", "duplicate", "refused"]
    assert [item.event_id for item in report.items] == [
        good["event_id"],
        "x",
        good["event_id"],
        None,
    ]
    assert check(client, {"events": []}, 200) == {"items": []}


def test_bodies_may_be_packed(client: TestClient) -> None:
    body = gzip.compress(json.dumps({"events": [wire(shown(uuid4()))]}).encode())
    assert check(client, body, 200, Content_Encoding="gzip")["items"][0]["status"] == "stored"
    check(client, body[:-9], 400, Content_Encoding="gzip")
    check(client, body + b"more", 400, Content_Encoding="gzip")
    check(client, b"not gzip", 400, Content_Encoding="gzip")
    check(client, body, 415, Content_Encoding="br")


def test_what_is_no_batch_is_refused_as_a_whole(client: TestClient) -> None:
    for body in (b"", b"{", b"\xff", b"[" * 100_000, [], {}, {"events": {}}, {"events": [], "x": 1},
                 {"events": [{}] * 501}):  # fmt: skip
        check(client, body, 422)


def test_bodies_have_a_limit_also_once_unpacked(client: TestClient) -> None:
    check(client, b" " * (api.MAX_BODY_BYTES + 1), 413)
    bomb = gzip.compress(b" " * (50 * 1024 * 1024))
    check(client, bomb, 413, Content_Encoding="gzip")
    large = [wire(event(uuid4(), "shown", text="x" * 7000)) for _ in range(500)]
    assert {i["status"] for i in check(client, {"events": large}, 200)["items"]} == {"stored"}


def test_a_broken_database_asks_to_try_again(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/hone.db")
    app = FastAPI()
    app.include_router(api.routes(database))
    with database.maintaining() as cursor:
        cursor.execute("DROP TABLE events")
    with TestClient(app) as client:
        answer = client.post("/v1/events", json={"events": [wire(shown(uuid4()))]})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "no such table: events" in answer.json()["detail"]
    database.close()
