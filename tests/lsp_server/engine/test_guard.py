"""Who may pass: loopback names, own origin, JSON bodies, and tokens meant for what is asked."""

import sqlite3
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback_store import access
from feedback_store.access import Token, TokenScope
from feedback_store.audit import Signed
from feedback_store.database import Database, default_url
from feedback_store.entrance import Entrance
from feedback_store.seals import Seals
from lsp_server.engine.areas import content_types
from lsp_server.engine.guard import Guard

KEY = b"k" * 32
TOKEN = "a-token-of-some-length"
NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
PATHS = (
    *("/admin", "/health", "/v1/hone/completions", "/v1/events", "/v1/adapters/abc"),
    *("/admin/review", "/admin/adapters"),
)


def _ok() -> str:
    return "ok"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(default_url(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def door(database: Database) -> Iterator["Door"]:
    made = Door(database)
    yield made
    made.close()


@dataclass
class Door:
    """Guards over one database; clocks stand still until a test moves them."""

    database: Database
    seconds: float = 1000.0
    today: datetime = NOON
    entrances: list[Entrance] = field(default_factory=list)

    def entrance(self, token: str | None) -> Entrance:
        made = Entrance(
            self.database, token, Seals(KEY), clock=lambda: self.seconds, now=lambda: self.today
        )
        self.entrances.append(made)
        return made

    def close(self) -> None:
        for entrance in self.entrances:
            entrance.close()

    def user(self, *scopes: TokenScope, name: str = "ada") -> tuple[str, Token]:
        day = timedelta(days=1)
        return access.issue(self.database, name, scopes, lifetime=day, now=NOON, by="root")

    def client(
        self, *, bound: str = "127.0.0.1", token: str | None = None, per_minute: int = 6000
    ) -> httpx.AsyncClient:
        app = FastAPI()
        for name in PATHS:
            app.add_api_route(name, _ok, methods=["GET", "POST"])
        guard = Guard(app, bound, self.entrance(token), per_minute)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1:8750"
        )

    async def check(
        self,
        expected: int,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        path: str = "/admin",
        **about: Any,
    ) -> httpx.Response:
        async with self.client(**about) as client:
            answer = await client.request(method, path, headers=headers)
        assert answer.status_code == expected, answer.text
        return answer


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8750", 200),
        ("localhost", 200),
        ("[::1]:8750", 200),
        ("evil.example:8750", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
async def test_only_loopback_names_reach_a_loopback_host(
    door: Door, host: str, expected: int
) -> None:
    await door.check(expected, {"Host": host})


async def test_a_host_on_the_network_is_protected_by_its_token(door: Door) -> None:
    headers = {"Host": "gpu-box.lan:8750", "Authorization": f"Bearer {TOKEN}"}
    await door.check(200, headers, bound="0.0.0.0", token=TOKEN)
    await door.check(401, {"Host": "gpu-box.lan:8750"}, bound="0.0.0.0", token=TOKEN)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:8750", 200),
        ("http://evil.example", 403),
        ("http://127.0.0.1:8750.evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
    ],
)
async def test_only_our_own_pages_may_ask(door: Door, origin: str, expected: int) -> None:
    await door.check(expected, {"Origin": origin})


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
async def test_a_body_is_json(door: Door, kind: str, expected: int) -> None:
    await door.check(expected, {"Content-Type": kind}, method="POST", path="/v1/events")


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("application/x-tar", 1_000, 200),
        ("application/x-tar", 2 * 1024**3, 200),
        ("application/x-tar", 2 * 1024**3 + 1, 413),
        ("application/json", 1_000, 415),
    ],
)
async def test_an_adapter_is_a_tar_file_and_may_be_large(
    door: Door, kind: str, size: int, expected: int
) -> None:
    about = {"Content-Type": kind, "Content-Length": str(size)}
    await door.check(expected, about, method="POST", path="/v1/adapters/abc")


@pytest.mark.parametrize(
    ("kind", "origin", "expected"),
    [
        ("application/x-www-form-urlencoded", {"Origin": "http://127.0.0.1:8750"}, 200),
        ("application/x-www-form-urlencoded", {}, 403),
        ("application/x-www-form-urlencoded", {"Origin": "null"}, 403),
        ("application/json", {}, 200),
        ("multipart/form-data", {"Origin": "http://127.0.0.1:8750"}, 415),
    ],
)
async def test_pages_take_forms_that_say_where_they_come_from(
    door: Door, kind: str, origin: dict[str, str], expected: int
) -> None:
    await door.check(
        expected, {"Content-Type": kind} | origin, method="POST", path="/admin/adapters"
    )


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        ("Bearer wrong", 401),
        (TOKEN, 401),
        ("Basic !!!", 401),
        (httpx.BasicAuth("me", TOKEN)._auth_header, 200),
        (httpx.BasicAuth("me", "wrong")._auth_header, 401),
    ],
)
async def test_a_token_is_asked_of_everything_but_health(
    door: Door, authorization: str, expected: int
) -> None:
    await door.check(expected, {"Authorization": authorization}, token=TOKEN)
    await door.check(200, {}, path="/health", token=TOKEN)


PERMITTED = {
    TokenScope.EDITOR: {("POST", "/v1/hone/completions"), ("POST", "/v1/events")},
    TokenScope.REVIEWER: {("GET", "/admin"), ("GET", "/admin/review"), ("POST", "/admin/review"),
                          ("GET", "/admin/adapters")},
    TokenScope.TRAINER: {("GET", "/v1/adapters/abc"), ("POST", "/v1/adapters/abc")},
    TokenScope.ADMIN: {(method, path) for method in ("GET", "POST") for path in PATHS},
}  # fmt: skip


@pytest.mark.parametrize("scope", TokenScope)
async def test_a_token_opens_what_its_scope_says(door: Door, scope: TokenScope) -> None:
    secret, _ = door.user(scope)
    async with door.client() as client:
        for method, path in {*PERMITTED[scope], ("POST", "/v1/events"), ("POST", "/admin/adapters"),
                             ("GET", "/admin"), ("GET", "/docs")}:  # fmt: skip
            kind = {"Content-Type": content_types(path)[-1]}
            answer = await client.request(method, path, headers=bearer(secret) | kind)
            opens = (method, path) in PERMITTED[scope] or scope is TokenScope.ADMIN
            assert answer.status_code == (200 if opens else 403), (method, path)
    if scope is TokenScope.EDITOR:
        refused = await door.check(403, bearer(secret))
        told = refused.json()["detail"]
        assert told == "a token with the scope reviewer is needed here, this one has: editor"


async def test_the_configured_token_opens_everything_beside_users(door: Door) -> None:
    secret, _ = door.user(TokenScope.EDITOR)
    for path in PATHS:
        await door.check(200, bearer(TOKEN), path=path, token=TOKEN)
    await door.check(200, bearer(secret), path="/v1/events", method="POST", token=TOKEN)
    await door.check(403, bearer(secret), token=TOKEN)


async def test_loopback_is_open_until_the_first_user_is_made(door: Door) -> None:
    async with door.client() as client:
        assert (await client.get("/admin")).status_code == 200
        secret, _ = door.user(TokenScope.ADMIN)
        door.seconds += 5.1
        assert (await client.get("/admin")).status_code == 401
        assert (await client.get("/admin", headers=bearer(secret))).status_code == 200
        assert (await client.get("/health")).status_code == 200
        door.today += timedelta(days=2)  # An expired token must not open the door to everybody.
        door.seconds += 5.1
        for headers in ({}, bearer(secret)):
            assert (await client.get("/admin", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "wrong",
    ["hone_" + "A" * 43, "hone_" + "A" * 44, "hone_", "\xe9" * 48, "' OR 1=1 --", "x" * 9000, ""],
)
async def test_what_is_no_token_of_ours_is_refused(door: Door, wrong: str) -> None:
    door.user(TokenScope.ADMIN)
    await door.check(401, {"Authorization": f"Bearer {wrong}".encode("latin-1")})  # type: ignore[dict-item]
    await door.check(401, {"Authorization": httpx.BasicAuth("ada", wrong)._auth_header})
    await door.check(401, {"Authorization": httpx.BasicAuth("ada", f"a\0{wrong}")._auth_header})


async def test_an_expired_token_stops_at_once_and_a_revoked_one_within_seconds(door: Door) -> None:
    first, token = door.user(TokenScope.ADMIN)
    second, _ = door.user(TokenScope.ADMIN)
    async with door.client() as client:

        async def status(secret: str) -> int:
            return (await client.get("/admin", headers=bearer(secret))).status_code

        assert (await status(first), await status(second)) == (200, 200)
        access.revoke(door.database, token.token_id, Signed("eve", "left"), now=NOON)
        door.seconds += 4.9
        assert await status(first) == 200
        door.seconds += 0.2
        assert (await status(first), await status(second)) == (401, 200)
        door.today += timedelta(days=1)
        assert await status(second) == 401


async def test_a_token_is_looked_up_once_in_a_while(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = door.user(TokenScope.ADMIN)
    looked_up, find = [], access.find
    monkeypatch.setattr(access, "find", lambda *a: looked_up.append(a) or find(*a))
    async with door.client() as client:
        for _ in range(20):
            assert (await client.get("/admin", headers=bearer(secret))).status_code == 200
        assert len(looked_up) == 1
        door.seconds += 6
        await client.get("/admin", headers=bearer(secret))
    assert len(looked_up) == 2


async def test_who_asks_too_often_waits_and_others_do_not(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = door.user(TokenScope.ADMIN)
    second, _ = door.user(TokenScope.ADMIN)
    monkeypatch.setattr("lsp_server.engine.guard.time.monotonic", lambda: 7.0)
    async with door.client(per_minute=60, token=TOKEN) as client:
        for _ in range(60):
            assert (await client.get("/admin", headers=bearer(first))).status_code == 200
        answer = await client.get("/admin", headers=bearer(first))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert answer.json() == {"detail": "too many requests: wait 1.0 s"}
        for other in (second, TOKEN):
            assert (await client.get("/admin", headers=bearer(other))).status_code == 200
        assert (await client.get("/health", headers=bearer(first))).status_code == 200


async def test_without_any_token_nobody_is_counted(door: Door) -> None:
    async with door.client(per_minute=60) as client:
        for _ in range(100):
            assert (await client.get("/admin")).status_code == 200


async def test_a_broken_store_is_said_plainly_and_open_doors_stay_open(door: Door) -> None:
    secret, _ = door.user(TokenScope.ADMIN)
    closed = door.client()
    assert door.database.path is not None
    with sqlite3.connect(door.database.path) as connection:
        connection.execute("DROP TABLE tokens")
        answer = await closed.get("/admin", headers=bearer(secret))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "no such table: tokens" in answer.json()["detail"]
        connection.execute("DELETE FROM users")
        connection.commit()
        opened = door.client()
        connection.execute("DROP TABLE users")
        connection.commit()
    connection.close()
    door.seconds += 6
    assert (await opened.get("/admin")).status_code == 200


async def test_the_last_use_is_noted_off_the_path(door: Door) -> None:
    secret, token = door.user(TokenScope.ADMIN)
    await door.check(200, bearer(secret))
    door.close()
    found = access.find_numbered(door.database, token.token_id)
    assert found is not None
    assert found.last_used_at == NOON


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.dictionaries(
        st.sampled_from(["authorization", "cookie", "origin", "host", "content-type",
                         "content-length", "accept"]),
        st.binary(max_size=60)
        | st.sampled_from([b"Basic ", b"Basic \xff==", b"Bearer ", b"hone_session", b"127.0.0.1"]),
    ),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(["/admin", "/admin/login", "/v1/events"]) | st.text(),
)  # fmt: skip
async def test_no_header_is_too_strange_to_be_refused(
    door: Door, headers: dict[str, bytes], method: str, path: str
) -> None:
    door.user(TokenScope.ADMIN)
    statuses = []

    async def send(message: MutableMapping[str, Any]) -> None:
        statuses.append(message.get("status"))

    async def app(*_: Any) -> None:
        statuses.append(200)

    raw = [(name.encode(), value) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    await Guard(app, "127.0.0.1", door.entrance(None))(scope, app, send)
    is_open = path.startswith(("/health", "/admin/log", "/admin/static"))
    assert statuses[0] in {303, 401, 403, 413, 415, 421, 429} or is_open
