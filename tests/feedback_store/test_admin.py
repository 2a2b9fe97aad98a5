"""The admin pages: helpful when empty, everything escaped, nothing from elsewhere, forms sealed."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from store_material import BASE_SHA256, event, sealed, served, shown, wire

from feedback_store import audit, rollups, runs
from feedback_store.admin import routes
from feedback_store.completions import ServedCandidate, record_completions
from feedback_store.database import Database
from feedback_store.entrance import Entrance
from feedback_store.events import append
from feedback_store.registry import Registry
from feedback_store.schemas import AdapterState
from feedback_store.seals import Seals

EVIL = "<script>alert('x')</script>"
HOME = "http://testserver"
PAGES = ("/admin", "/admin/completions", "/admin/nights", "/admin/adapters", "/admin/audit")
CHECK = {"text": "42", "after_seconds": 600, "edit_distance": 0.0, "retained_characters": 2}


@pytest.fixture
def registry(database: Database, tmp_path: Path) -> Registry:
    return Registry(database, tmp_path / "adapters")


@pytest.fixture
def client(database: Database, registry: Registry, tmp_path: Path) -> TestClient:
    entrance = Entrance(database, None, Seals(b"k" * 32))
    app = FastAPI()
    status = {"model": "starter", "adapter": None}
    app.include_router(routes(database, registry, lambda: status, entrance, tmp_path / "logs"))
    return TestClient(app, follow_redirects=False)


def visit(
    database: Database, *events: Any, days_ago: float = 0.0, candidate: str = "42", **rest: Any
) -> UUID:
    """Record a completion of lately and what happened to it: (kind, after seconds, data)."""
    served_at = datetime.now(UTC) - timedelta(days=days_ago)
    told = (ServedCandidate(0, candidate, (7, 8), (-0.1, -2.5), "stop"),)
    one = served(served_at=served_at, candidates=told, **rest)
    key = one.request.completion_id
    record_completions(database, [one])
    happened = [event(key, kind, after_s, **data) for kind, after_s, data in events]
    append(database, [wire(item) for item in (shown(key), *happened)])
    rollups.refresh(database)
    return key


def registered(registry: Registry, folder: Path, **rest: Any) -> str:
    """Register a small adapter as a candidate."""
    sha256 = sealed(folder, **rest)
    run_id = rest.get("run_id", "night-1")
    registry.register(folder, base_sha256=BASE_SHA256, run_id=run_id, metrics={"recipe": "sft"})
    return sha256


def test_pages_of_an_empty_store_say_what_to_do(client: TestClient) -> None:
    for path, words in zip(
        PAGES,
        ("Nothing has been recorded yet", "None yet", "hone train", "bare base", "Nothing yet"),
        strict=True,
    ):
        page = client.get(path)
        assert page.status_code == 200
        assert words in page.text, path


def test_the_dashboard_counts_what_happened(client: TestClient, database: Database) -> None:
    visit(database, ("accepted", 1, {}), ("persisted", 601, CHECK), adapter="a" * 64)
    visit(database, ("accepted", 1, {}), adapter="a" * 64)
    visit(database, ("dismissed", 1, {"visible_ms": 900}), language="go")
    visit(database)
    page = client.get("/admin").text
    assert "500" in page  # 2 retained characters of 4 completions
    assert "66.7%" in page  # accepted of shown
    for text in ("Too early to tell", "python", 'href="/admin/completions?language=go"', "<svg",
                 "starter", "dismissed 1"):  # fmt: skip
        assert text in page, text
    by_adapter = client.get("/admin?by=adapter&days=7").text
    assert "a" * 12 in by_adapter
    assert "base" in by_adapter


def test_the_dashboard_can_be_narrowed_to_one_slice(client: TestClient, database: Database) -> None:
    for days_ago in range(4):
        visit(database, ("accepted", 1, {}), days_ago=days_ago, client="neo vim")
        visit(database, ("dismissed", 1, {"visible_ms": 900}), days_ago=days_ago, language="go",
              adapter="a" * 64)  # fmt: skip
    everything = client.get("/admin").text
    assert "Only" not in everything
    (link,) = re.findall(r'href="([^"]+of=go)"', everything)
    go = client.get(link.replace("&amp;", "&")).text
    assert "Only language <strong>go</strong>" in go
    assert "dismissed 4" in go
    assert "accepted 4" not in go
    assert 'href="/admin/completions?outcome=dismissed&amp;language=go"' in go
    for stage in ("Waiting for a place", "Reading the prompt", "Writing tokens"):
        assert re.search(rf"{stage}</th>\s*<td class=\"n\">\s*[\d.]+ ms <span", go), stage
    other = f"by=adapter&of={'a' * 64}"
    for query in ("by=client&of=neo+vim", "by=adapter&of=base"):
        assert "accepted 4" in client.get(f"/admin?{query}").text, query
    assert "dismissed 4" in client.get(f"/admin?{other}").text
    assert "Nothing was recorded in this time" in client.get("/admin?of=cobol").text


def test_a_range_without_data_leads_to_the_newest(client: TestClient, database: Database) -> None:
    visit(database, ("accepted", 1, {}), days_ago=40)
    page = client.get("/admin?days=7").text
    day = (datetime.now(UTC) - timedelta(days=40)).date()
    assert "Nothing was recorded in this time" in page
    (link,) = re.findall(r'href="([^"]+)">Show that time', page)
    assert link.endswith(f"until={day}")
    assert "From asked to kept" in client.get(link.replace("&amp;", "&")).text


@pytest.mark.parametrize("query", ["days=x", "by=password", "until=2026-99-01", "until=0001-01-01",
                                   "days=365&until=0001-01-01", "until=9999-12-31",
                                   "of=", "of=%00", "by=adapter&of=+%00+"])  # fmt: skip
def test_a_strange_range_means_the_default(
    client: TestClient, database: Database, query: str
) -> None:
    visit(database)
    page = client.get(f"/admin?{query}")
    assert page.status_code == 200
    assert "Only" not in page.text


def test_whatever_is_stored_is_only_text_on_every_page(
    client: TestClient, database: Database, registry: Registry, tmp_path: Path
) -> None:
    key = visit(
        database, ("diverged", 1, {"text": EVIL, "visible_ms": 900}),
        ("rated", 2, {"rating": "up", "comment": EVIL, "correction": EVIL}), candidate=EVIL,
        path=EVIL, language=EVIL, client=EVIL, client_version=EVIL, repository=EVIL, user=EVIL,
        prefix=EVIL, suffix=EVIL, document_id=EVIL,
    )  # fmt: skip
    sha256 = registered(registry, tmp_path / "staged", run_id=EVIL, lineage=(key,))
    runs.start(database, EVIL, {EVIL: EVIL}, EVIL)
    runs.store_pairs(
        database,
        EVIL,
        [
            {
                "completion_id": key,
                "rule": "R1",
                "weight": 1.0,
                "chosen": EVIL,
                "rejected": EVIL,
                "held_out": False,
                "split": EVIL[:16],
            }
        ],
    )
    runs.finish(
        database, EVIL, status=EVIL[:16], exit_code=1, adapter=sha256,
        metrics={"curve": [{"step": n, EVIL: n} for n in range(3)], "counts": {"rules": {EVIL: 1}},
                 "candidates": [{"recipe": EVIL}], "choice": {"why": EVIL}},
        decision={"reasons": EVIL, "verdict": EVIL, "numbers": {EVIL: EVIL}},
    )  # fmt: skip
    registry.try_out(sha256, share=0.5, by=EVIL, reason=EVIL)
    registry.promote(sha256, by=EVIL, reason=EVIL)
    quoted = EVIL.replace("/", "%2F")
    for path in (*PAGES, f"/admin/completions/{key}", f"/admin/adapters/{sha256}",
                 "/admin?by=client", f"/admin?by=client&of={quoted}",
                 f"/admin/completions?text={quoted}&language={quoted}",
                 "/admin/adapters/rollback", f"/admin/adapters/{sha256}/promote"):  # fmt: skip
        page = client.get(path)
        assert page.status_code == 200, path
        assert "<script" not in page.text, path
    assert client.get(f"/admin/completions/{key}").text.count("&lt;script&gt;") >= 6


def test_a_night_of_any_shape_has_a_page(client: TestClient, database: Database) -> None:
    for number, (metrics, decision) in enumerate([
        ({}, {}),
        ({"curve": "none", "counts": [1], "candidates": {"a": 1}}, {"reasons": None}),
        ({"curve": [{"step": None}, {"loss": 1}, 7]}, {"positions_still_needed": "many"}),
        ({"curve": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5}], "seconds": {"train": 3}},
         {"reasons": ["too few"], "positions_still_needed": 37, "verdict": "not enough evidence"}),
    ]):  # fmt: skip
        runs.start(database, f"night-{number}", {"window_days": 90}, "logs/x.log")
        runs.finish(database, f"night-{number}", status="kept", exit_code=3, metrics=metrics,
                    decision=decision, adapter=None)  # fmt: skip
        assert client.get(f"/admin/nights/night-{number}").status_code == 200
    page = client.get("/admin/nights/night-3").text
    for text in ("<strong>37</strong> more held-out positions", "too few", "<svg", "loss"):
        assert text in page, text
    assert "37 more positions" in client.get("/admin/nights").text


def test_the_end_of_a_nights_log_is_shown_and_no_other_file(
    client: TestClient, database: Database, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "night-1.log").write_text("early\n" * 20_000 + "late\n")
    (tmp_path / "session.key").write_text("KEEP OUT")
    runs.start(database, "1", {}, logs / "night-1.log")
    runs.start(database, "2", {}, tmp_path / "session.key")
    page = client.get("/admin/nights/1").text
    assert "late" in page
    assert len(page) < 60_000
    assert "KEEP OUT" not in client.get("/admin/nights/2").text


def test_lists_go_on_where_they_ended(client: TestClient, database: Database) -> None:
    for number in range(32):
        runs.start(database, f"night-{number:02}", {}, "")
    first = client.get("/admin/nights").text
    (older,) = re.findall(r'href="([^"]+)" rel="next"', first)
    second = client.get(older).text
    nights = [re.findall(r"/admin/nights/(night-\d\d)", page) for page in (first, second)]
    assert [len(one) for one in nights] == [30, 2]
    assert sorted(nights[0] + nights[1]) == [f"night-{n:02}" for n in range(32)]


def form_of(client: TestClient, path: str) -> dict[str, str]:
    page = client.get(path)
    assert page.status_code == 200, page.text
    return {"form": re.findall(r'name="form" value="([^"]+)"', page.text)[0]}


def test_an_adapter_is_tried_out_promoted_and_rolled_back_with_a_reason(
    client: TestClient, database: Database, registry: Registry, tmp_path: Path
) -> None:
    sha256 = registered(registry, tmp_path / "staged")
    path = f"/admin/adapters/{sha256}"
    fields = form_of(client, f"{path}/canary") | {"reason": "a try", "share": "25"}
    assert client.post(f"{path}/canary", data=fields).status_code == 303
    assert (registry.get(sha256).state, registry.get(sha256).canary_share) == ("canary", 0.25)
    assert "25.0% of people" in client.get(path).text
    for deed, state in (("promote", "live"), ("reject", "rejected"), ("promote", "live")):
        fields = form_of(client, f"{path}/{deed}") | {"reason": f"because of {deed}"}
        answer = client.post(f"{path}/{deed}", data=fields)
        assert (answer.status_code, answer.headers["location"]) == (303, path)
        assert registry.get(sha256).state == state
    fields = form_of(client, "/admin/adapters/rollback") | {"reason": "it babbles", "to": ""}
    assert client.post("/admin/adapters/rollback", data=fields).status_code == 303
    assert registry.live() is None
    entry = audit.entries(database, 1)[0]
    assert (entry.action, entry.reason) == ("adapter rolled back", "it babbles")
    assert entry.who == "somebody at the admin page"
    assert "it babbles" in client.get("/admin/audit").text


def test_a_trial_can_be_ended(client: TestClient, registry: Registry, tmp_path: Path) -> None:
    sha256 = registered(registry, tmp_path / "staged")
    registry.try_out(sha256, share=0.1, by="ada", reason="a try")
    path = f"/admin/adapters/{sha256}/end-canary"
    assert client.post(path, data=form_of(client, path) | {"reason": "enough"}).status_code == 303
    assert registry.get(sha256).state is AdapterState.CANDIDATE
    again = client.post(path, data=form_of(client, path) | {"reason": "enough"})
    assert again.status_code == 409
    assert "nothing to end" in again.text


@pytest.mark.parametrize(
    ("deed", "fields", "status"),
    [
        ("promote", {"reason": " "}, 422),
        ("promote", {}, 422),
        ("canary", {"reason": "x", "share": "ten"}, 422),
        ("canary", {"reason": "x", "share": "100"}, 409),
        ("canary", {"reason": "x", "share": "nan"}, 409),
        ("promote", {"reason": "x", "form": "forged"}, 403),
        ("promote", {"reason": "x", "form": ""}, 403),
        ("explode", {"reason": "x"}, 404),
    ],
)
def test_a_change_that_is_not_meant_is_refused(
    client: TestClient, registry: Registry, tmp_path: Path, deed: str, fields: dict[str, str],
    status: int,
) -> None:  # fmt: skip
    sha256 = registered(registry, tmp_path / "staged")
    told = form_of(client, f"/admin/adapters/{sha256}/promote") | fields
    assert client.post(f"/admin/adapters/{sha256}/{deed}", data=told).status_code == status
    assert registry.get(sha256).state is AdapterState.CANDIDATE


def test_a_form_of_another_browser_is_refused(
    client: TestClient, registry: Registry, tmp_path: Path
) -> None:
    sha256 = registered(registry, tmp_path / "staged")
    fields = form_of(client, f"/admin/adapters/{sha256}/promote") | {"reason": "x"}
    client.cookies.clear()
    assert client.post(f"/admin/adapters/{sha256}/promote", data=fields).status_code == 403
    assert registry.live() is None


def test_files_are_verified_on_demand(
    client: TestClient, registry: Registry, tmp_path: Path
) -> None:
    sha256 = registered(registry, tmp_path / "staged")
    path = f"/admin/adapters/{sha256}"
    told = client.post(f"{path}/verify", data=form_of(client, path)).text
    assert "Every file is as it was sealed" in told
    weights = registry.get(sha256).path / "adapter_model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    told = client.post(f"{path}/verify", data=form_of(client, path)).text
    assert "adapter_model.safetensors" in told
    assert "Every file" not in told


def test_an_adapter_leads_to_what_made_it(
    client: TestClient, database: Database, registry: Registry, tmp_path: Path
) -> None:
    key = visit(database, ("accepted", 1, {}))
    sha256 = registered(registry, tmp_path / "staged", lineage=(key,))
    runs.start(database, "night-1", {}, "")
    runs.store_pairs(
        database,
        "night-1",
        [
            {
                "completion_id": key,
                "rule": "R5",
                "weight": 1.0,
                "chosen": "42",
                "rejected": None,
                "held_out": False,
                "split": "train",
            }
        ],
    )
    runs.finish(database, "night-1", status="kept", exit_code=3, metrics={}, decision={},
                adapter=sha256)  # fmt: skip
    page = client.get(f"/admin/adapters/{sha256}").text
    assert f"/admin/completions/{key}" in page
    assert "1 completions" in page
    of_completion = client.get(f"/admin/completions/{key}").text
    for text in ("/admin/nights/night-1", f"/admin/adapters/{sha256}", "R5"):
        assert text in of_completion, text


def test_who_finds_no_whole_word_is_offered_what_begins_so(
    client: TestClient, database: Database
) -> None:
    key = visit(database, path="src/retry_policy.py")
    nothing = client.get("/admin/completions?text=retr_(+poli.&language=python").text
    assert f"/admin/completions/{key}" not in nothing
    (offered,) = re.findall(r'href="([^"]*)">Words that begin so', nothing)
    page = client.get(unescape(offered)).text
    assert f"/admin/completions/{key}" in page
    for text in ("zyzzyva*", "(.)"):
        assert "Words that begin so" not in client.get(f"/admin/completions?text={text}").text


@pytest.mark.parametrize("path", ["/admin/completions/1", "/admin/nights/none", "/admin/adapters/x",
                                  "/admin/audit?before=-1", "/admin/static/..%2fpages.py",
                                  f"/admin/adapters/{'a' * 64}"])  # fmt: skip
def test_what_is_not_there_is_said_to_be(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(
    client: TestClient, database: Database, registry: Registry, tmp_path: Path
) -> None:
    key = visit(database, ("accepted", 1, {}))
    sha256 = registered(registry, tmp_path / "staged")
    for path in (*PAGES, f"/admin/completions/{key}", f"/admin/adapters/{sha256}"):
        page = client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', page.text):
            assert address.startswith(("/admin", "#")), address
        assert "<script>" not in page.text
        assert not re.search(r"\s(style|on\w+)=", page.text)
    style = client.get("/admin/static/admin.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in style.text
    assert "url(" not in style.text
    assert "@import" not in style.text


def test_a_broken_database_is_said_plainly(client: TestClient, database: Database) -> None:
    with database.maintaining() as cursor:
        cursor.execute("DROP TABLE daily_figures")
    page = client.get("/admin")
    assert page.status_code == 503
    assert "daily_figures" in page.text
