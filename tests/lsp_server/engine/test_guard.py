"""Who may pass: loopback names, own origin, JSON bodies, and the token where one is set."""

from collections.abc import Mapping

import httpx
import pytest
from fastapi import FastAPI

from lsp_server.engine.guard import Guard

TOKEN = "a-token-of-some-length"


def _ok() -> str:
    return "ok"


async def check(
    expected: int,
    headers: Mapping[str, str],
    *,
    method: str = "GET",
    path: str = "/admin",
    bound: str = "127.0.0.1",
    token: str | None = None,
) -> None:
    app = FastAPI()
    for name in ("/admin", "/health"):
        app.add_api_route(name, _ok, methods=["GET", "POST"])
    transport = httpx.ASGITransport(Guard(app, bound, token))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8750") as client:
        answer = await client.request(method, path, headers=headers)
    assert answer.status_code == expected


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
async def test_only_loopback_names_reach_a_loopback_host(host: str, expected: int) -> None:
    await check(expected, {"Host": host})


async def test_a_host_on_the_network_is_protected_by_its_token() -> None:
    headers = {"Host": "gpu-box.lan:8750", "Authorization": f"Bearer {TOKEN}"}
    await check(200, headers, bound="0.0.0.0", token=TOKEN)
    await check(401, {"Host": "gpu-box.lan:8750"}, bound="0.0.0.0", token=TOKEN)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [("http://127.0.0.1:8750", 200), ("http://evil.example", 403), ("null", 403)],
)
async def test_only_our_own_pages_may_ask(origin: str, expected: int) -> None:
    await check(expected, {"Origin": origin})


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
async def test_a_body_is_json(kind: str, expected: int) -> None:
    await check(expected, {"Content-Type": kind}, method="POST")


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
async def test_a_token_is_asked_of_everything_but_health(authorization: str, expected: int) -> None:
    await check(expected, {"Authorization": authorization}, token=TOKEN)
    await check(200, {}, path="/health", token=TOKEN)
