"""The admin page: true figures, everything escaped, nothing from elsewhere."""

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from store_material import BASE_SHA256, event, sealed, served, shown, wire

from feedback_store import runs
from feedback_store.admin import routes
from feedback_store.admin.figures import read_figures
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.events import append
from feedback_store.registry import Registry

EVIL = "<script>alert('x')</script>"


@pytest.fixture
def registry(database: Database, tmp_path: Path) -> Registry:
    return Registry(database, tmp_path / "adapters")


@pytest.fixture
def client(database: Database, registry: Registry) -> TestClient:
    app = FastAPI()
    app.include_router(routes(database, registry, lambda: {"model": "starter", "adapter": None}))
    return TestClient(app)


def visit(database: Database, *events: Any, adapter: str | None = None, **rest: Any) -> None:
    """Record a completion and what happened to it: (kind, after seconds, data)."""
    one = served(adapter=adapter, **rest)
    key = one.request.completion_id
    record_completions(database, [one])
    happened = [event(key, kind, after_s, **data) for kind, after_s, data in events]
    append(database, [wire(item) for item in (shown(key), *happened)])


def fill(database: Database) -> None:
    check = {"text": "42", "after_seconds": 600, "edit_distance": 0.0, "retained_characters": 2}
    visit(database, ("accepted", 1, {}), ("persisted", 601, check), adapter="a" * 64)
    visit(database, ("accepted", 1, {}), adapter="a" * 64)
    visit(database, ("dismissed", 1, {"visible_ms": 900}))
    visit(database, ("typed_through", 1, {"visible_ms": 900}))
    visit(database)
    append(database, [wire(shown(uuid4()))])


def test_the_figures_are_those_of_the_outcomes(database: Database) -> None:
    fill(database)
    figures = read_figures(database)
    total = figures.total
    assert (total.served, total.shown, total.accepted, total.kept) == (5, 4, 2, 2)
    assert total.retained_characters == 2
    assert (total.shown_rate, total.acceptance_rate, total.kept_rate) == (0.8, 0.5, 0.5)
    by_adapter = dict(figures.by_adapter)
    assert by_adapter["a" * 64].accepted == 2
    assert by_adapter[None].shown == 2
    assert dict(figures.by_kind)["accepted"] == 2
    assert figures.num_waiting_events == 1
    assert len(figures.recent) == 5


def test_an_empty_store_has_a_page_too(client: TestClient) -> None:
    page = client.get("/admin")
    assert page.status_code == 200
    for text in ("the bare base serves", "None yet", "starter", "Nothing yet"):
        assert text in page.text


def test_the_page_shows_adapters_nights_and_completions(
    client: TestClient, database: Database, registry: Registry, tmp_path: Path
) -> None:
    fill(database)
    sha256 = sealed(tmp_path / "staged")
    registry.register(tmp_path / "staged", base_sha256=BASE_SHA256, run_id="night-1", metrics={})
    registry.promote(sha256, by="ada", reason="reads better")
    runs.start(database, "night-1", {}, "logs/night-1.log")
    decision = {"promote": False, "reasons": ["37 more positions needed"]}
    runs.finish(
        database, "night-1", status="kept", exit_code=3, metrics={}, decision=decision, adapter=None
    )
    page = client.get("/admin").text
    for text in (sha256[:12], "ada", "reads better", "37 more positions needed", "50.0%",
                 "package/module.py", "accepted, kept", "night-1.log", "Instead of",
                 "adapter promoted"):  # fmt: skip
        assert text in page, text


def test_whatever_is_stored_is_only_text_on_the_page(
    client: TestClient, database: Database, registry: Registry, tmp_path: Path
) -> None:
    visit(database, ("diverged", 1, {"text": EVIL, "visible_ms": 900}), path=EVIL, language=EVIL)
    runs.start(database, EVIL, {}, EVIL)
    runs.finish(
        database, EVIL, status=EVIL[:16], exit_code=1, metrics={}, adapter=None,
        decision={"reasons": EVIL},
    )  # fmt: skip
    sha256 = sealed(tmp_path / "staged", run_id=EVIL)
    registry.register(tmp_path / "staged", base_sha256=BASE_SHA256, run_id=EVIL, metrics={})
    registry.promote(sha256, by=EVIL, reason=EVIL)
    page = client.get("/admin").text
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(client: TestClient) -> None:
    page = client.get("/admin")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address.startswith(("/admin", "#")), address
    assert "<script>" not in page.text
    assert not re.search(r"\s(style|on\w+)=", page.text)
    style = client.get("/admin/static/admin.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in style.text
    assert "url(" not in style.text
    assert "@import" not in style.text


def test_the_page_only_reads(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/admin").status_code == 405


def test_a_broken_database_is_said_plainly(client: TestClient, database: Database) -> None:
    with database.maintaining() as cursor:
        cursor.execute("ALTER TABLE outcomes RENAME TO lost")
    page = client.get("/admin")
    assert page.status_code == 503
    assert "outcomes" in page.text
