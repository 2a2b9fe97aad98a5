"""Adapters go to other machines by their id, whole or not at all."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from store_material import BASE_SHA256, sealed

from feedback_store import adapter_files, adapter_routes
from feedback_store.database import Database
from feedback_store.registry import Registry


@pytest.fixture
def registry(database: Database, tmp_path: Path) -> Registry:
    return Registry(database, tmp_path / "adapters")


@pytest.fixture
def client(registry: Registry, database: Database) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(adapter_routes.routes(registry, database, BASE_SHA256))
    with TestClient(app) as opened:
        yield opened


def registered(registry: Registry, folder: Path, *lineage: UUID, value: float = 0.5) -> str:
    sha256 = sealed(folder, lineage=lineage, value=value)
    registry.register(folder, base_sha256=BASE_SHA256, run_id="night-1", metrics={})
    return sha256


def test_an_adapter_arrives_as_it_was_sealed(
    client: TestClient, registry: Registry, tmp_path: Path
) -> None:
    sha256 = registered(registry, tmp_path / "made")
    registry.promote(sha256, by="ada", reason="test")
    (told,) = client.get("/v1/adapters").json()
    assert (told["sha256"], told["state"], told["base_sha256"]) == (sha256, "live", BASE_SHA256)
    answer = client.get(f"/v1/adapters/{sha256}")
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        tar.extractall(tmp_path / "there", filter="data")
    assert adapter_files.check(tmp_path / "there" / sha256, base_sha256=BASE_SHA256)
    assert adapter_files.adapter_id(tmp_path / "there" / sha256) == sha256


def test_what_must_not_serve_does_not_leave(
    client: TestClient, registry: Registry, database: Database, tmp_path: Path
) -> None:
    key = uuid4()
    barred = registered(registry, tmp_path / "barred", key)
    broken = registered(registry, tmp_path / "broken", value=0.25)
    with database.session() as session:
        registry.bar_trained_on(session, [key], by="erasure", reason="asked to")
    weights = tmp_path / "adapters" / broken / "adapter_model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes()[:-1])
    assert client.get(f"/v1/adapters/{barred}").status_code == 409
    assert client.get(f"/v1/adapters/{broken}").status_code == 409
    assert client.get(f"/v1/adapters/{'0' * 64}").status_code == 404
    assert client.get("/v1/adapters/..%2f..%2fhone.db").status_code in (404, 422)
    assert [told["sha256"] for told in client.get("/v1/adapters").json()] == [broken]
