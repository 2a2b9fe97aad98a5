"""Logging in with a browser: the form, the cookie, and everything that must not work."""

import html
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from feedback_store import access, admin, audit
from feedback_store.access import Token, TokenScope
from feedback_store.audit import Signed
from feedback_store.database import Database, default_url
from feedback_store.entrance import Entrance
from feedback_store.registry import Registry
from feedback_store.seals import Seals
from lsp_server.engine.guard import Guard

KEY = b"k" * 32
NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
HOME = "http://127.0.0.1:8750"
SHARED = "the-shared-token"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
EVIL = "<script>alert(1)</script>"


class House:
    """The real pages behind the real guard; the day does not move by itself."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(default_url(folder))
        self.registry = Registry(self.database, folder / "adapters")
        self.today, self.seconds = NOON, 0.0
        self.entrances: list[Entrance] = []

    def app(self, shared: str | None = SHARED, key: bytes = KEY) -> Guard:
        entrance = Entrance(
            self.database,
            shared,
            Seals(key),
            clock=lambda: self.seconds,
            now=lambda: self.today,
        )
        self.entrances.append(entrance)
        app = FastAPI()
        app.include_router(
            admin.routes(self.database, self.registry, lambda: {"model": "m"}, entrance)
        )
        app.include_router(admin.sign_in_routes(entrance))
        return Guard(app, "127.0.0.1", entrance)

    def browser(self, app: Guard | None = None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app or self.app())
        return httpx.AsyncClient(transport=transport, base_url=HOME, headers=BROWSER)

    def user(self, *scopes: TokenScope, name: str = "ada") -> tuple[str, Token]:
        day = timedelta(days=1)
        return access.issue(self.database, name, scopes, lifetime=day, now=NOON, by="root")

    def close(self) -> None:
        for entrance in self.entrances:
            entrance.close()
        self.database.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest_asyncio.fixture
async def browser(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.browser() as client:
        yield client


async def form_of(browser: httpx.AsyncClient) -> str:
    page = await browser.get("/admin/login")
    return re.findall(r'name="form" value="([^"]+)"', page.text)[0]


async def post(
    browser: httpx.AsyncClient, path: str = "/admin/login", origin: str | None = HOME, **fields: str
) -> httpx.Response:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    headers |= {"Origin": origin} if origin else {}
    return await browser.post(path, content=urlencode(fields), headers=headers)


async def log_in(browser: httpx.AsyncClient, secret: str) -> httpx.Response:
    return await post(browser, token=secret, form=await form_of(browser))


async def test_a_browser_is_led_to_the_form_and_back(
    browser: httpx.AsyncClient, house: House
) -> None:
    secret, _ = house.user(TokenScope.REVIEWER)
    led = await browser.get("/admin")
    assert (led.status_code, led.headers["location"]) == (303, "/admin/login")
    answer = await log_in(browser, secret)
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
    page = await browser.get("/admin")
    assert page.status_code == 200
    assert 'href="/admin/login">ada</a>' in page.text
    assert secret not in page.text + str(answer.headers)
    entry = audit.entries(house.database, 1)[0]
    assert (entry.who, entry.action, entry.subject) == ("ada", "logged in", "admin page")


async def test_the_cookie_is_for_these_pages_alone(
    browser: httpx.AsyncClient, house: House
) -> None:
    secret, _ = house.user(TokenScope.ADMIN)
    told = (await log_in(browser, secret)).headers.get_list("set-cookie")
    (cookie,) = [one for one in told if one.startswith("hone_session=")]
    for part in ("HttpOnly", "SameSite=strict", "Path=/admin", "Max-Age=43200"):
        assert part in cookie
    assert "Secure" not in cookie  # Loopback has no TLS; over https it is set, see below.
    value = cookie.partition(";")[0]
    refused = await browser.get("/openapi.json", headers={"Cookie": value})
    assert refused.status_code == 401
    headers = {"Cookie": value, "Content-Type": "application/json"}
    assert (await browser.post("/v1/events", content="{}", headers=headers)).status_code == 401


async def test_over_https_the_cookie_is_secure(house: House) -> None:
    secret, _ = house.user(TokenScope.ADMIN)
    transport = httpx.ASGITransport(house.app())
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as browser:
        form = await form_of(browser)
        answer = await post(browser, origin="https://localhost", token=secret, form=form)
    assert all("Secure" in one for one in answer.headers.get_list("set-cookie"))


async def test_the_page_may_post_to_itself_and_nothing_else(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/admin/login")
    policy = page.headers["content-security-policy"]
    assert "form-action 'self'" in policy
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert "<script" not in page.text
    assert (await browser.get("/admin/static/admin.css")).status_code == 200


async def test_logging_out_ends_the_session_and_its_cookie(
    browser: httpx.AsyncClient, house: House
) -> None:
    secret, _ = house.user(TokenScope.ADMIN)
    await log_in(browser, secret)
    stolen = browser.cookies["hone_session"]
    page = await browser.get("/admin/login")
    assert "Logged in" in page.text
    assert (await post(browser, "/admin/logout", form="wrong")).status_code == 403
    assert (await browser.get("/admin")).status_code == 200
    (form,) = re.findall(r'name="form" value="([^"]+)"', page.text)
    out = await post(browser, "/admin/logout", form=form)
    assert (out.status_code, out.headers["location"]) == (303, "/admin/login")
    assert "hone_session" not in browser.cookies
    assert (await browser.get("/admin")).status_code == 303
    again = await browser.get("/admin", headers={"Cookie": f"hone_session={stolen}"})
    assert again.status_code == 303


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("null", 403), (None, 403), (HOME, 303)],
)
async def test_only_our_own_form_may_be_posted(
    browser: httpx.AsyncClient, origin: str | None, status: int
) -> None:
    form = await form_of(browser)
    answer = await post(browser, origin=origin, token=SHARED, form=form)
    assert answer.status_code == status
    out = await post(browser, "/admin/logout", origin=origin, form="")
    assert out.status_code == 403


async def test_a_form_fits_one_browser_for_an_hour(
    browser: httpx.AsyncClient, house: House
) -> None:
    async with house.browser() as other:
        foreign = await form_of(other)
    form = await form_of(browser)
    for wrong in (foreign, "", form[:-2] + "xx", "\0", EVIL):
        answer = await post(browser, token=SHARED, form=wrong)
        assert answer.status_code == 403
        assert "hone_session" not in browser.cookies
        assert EVIL not in answer.text
    assert (await post(browser, token=SHARED)).status_code == 403
    house.today += timedelta(hours=1, seconds=1)
    form = await form_of(browser)
    house.today += timedelta(hours=1, seconds=1)
    answer = await post(browser, token=SHARED, form=form)
    assert answer.status_code == 403
    assert "too old" in answer.text
    assert (await log_in(browser, SHARED)).status_code == 303


async def test_a_form_without_its_cookie_is_refused(house: House) -> None:
    async with house.browser() as browser:
        form = await form_of(browser)
        browser.cookies.clear()
        assert (await post(browser, token=SHARED, form=form)).status_code == 403


@pytest.mark.parametrize(
    "wrong", ["", "no", "hone_" + "A" * 43, "' OR 1=1 --", EVIL, "a\0b", "é" * 100, "x" * 5000]
)
async def test_a_wrong_token_logs_nobody_in(browser: httpx.AsyncClient, wrong: str) -> None:
    answer = await log_in(browser, wrong)
    assert answer.status_code == 403
    assert "unknown, expired or revoked" in answer.text
    assert "hone_session" not in browser.cookies
    assert wrong not in answer.text or len(wrong) < 3


@pytest.mark.parametrize("scope", [TokenScope.EDITOR, TokenScope.TRAINER])
async def test_a_token_for_something_else_logs_nobody_in(
    browser: httpx.AsyncClient, house: House, scope: TokenScope
) -> None:
    answer = await log_in(browser, house.user(scope)[0])
    assert answer.status_code == 403
    assert f"only: {scope}." in answer.text
    assert "hone_session" not in browser.cookies


async def test_a_session_ends_with_its_token_or_after_its_hours(
    browser: httpx.AsyncClient, house: House
) -> None:
    secret, token = house.user(TokenScope.REVIEWER)
    await log_in(browser, secret)
    access.revoke(house.database, token.token_id, Signed("eve", "left"), now=NOON)
    house.seconds += 5.1
    assert (await browser.get("/admin")).status_code == 303
    assert (await log_in(browser, secret)).status_code == 403
    await log_in(browser, house.user(TokenScope.REVIEWER)[0])
    house.today += timedelta(hours=12, seconds=-1)
    assert (await browser.get("/admin")).status_code == 200
    house.today += timedelta(seconds=1)
    assert (await browser.get("/admin")).status_code == 303


async def test_a_session_ends_when_the_shared_token_or_the_key_changes(house: House) -> None:
    async with house.browser() as browser:
        await log_in(browser, SHARED)
        assert "the host&#39;s own token" in (await browser.get("/admin")).text
        cookie = {"Cookie": f"hone_session={browser.cookies['hone_session']}"}
    for app, status in (
        (house.app(), 200),
        (house.app("another-token"), 303),
        (house.app(key=b"K" * 32), 303),
    ):
        async with house.browser(app) as browser:
            assert (await browser.get("/admin", headers=cookie)).status_code == status


@pytest.mark.parametrize("cookie", ["", "x", "a.b", '"', "é", EVIL, "hone_" + "A" * 43, ";;=;"])
async def test_a_cookie_of_others_is_worth_nothing(browser: httpx.AsyncClient, cookie: str) -> None:
    headers = {"Cookie": f"hone_session={cookie}".encode()}
    assert (await browser.get("/admin", headers=headers)).status_code == 303  # type: ignore[arg-type]
    assert (await browser.get("/admin/login", headers=headers)).status_code == 200  # type: ignore[arg-type]


async def test_names_are_only_text_on_the_page(browser: httpx.AsyncClient, house: House) -> None:
    await log_in(browser, house.user(TokenScope.ADMIN, name=EVIL)[0])
    for path in ("/admin", "/admin/login"):
        page = (await browser.get(path)).text
        assert EVIL not in page
        assert html.escape(EVIL) in page


async def test_the_password_of_old_still_works(browser: httpx.AsyncClient, house: House) -> None:
    secret, _ = house.user(TokenScope.REVIEWER)
    for password in (SHARED, secret):
        assert (await browser.get("/admin", auth=("me", password))).status_code == 200
    refused = await browser.get("/admin", auth=("me", "wrong"))
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic")
    for headers in ({"Accept": "*/*"}, {"Accept": "application/json"}):
        assert (await browser.get("/admin", headers=headers)).status_code == 401


async def test_where_nothing_is_asked_there_is_nothing_to_log_in_to(house: House) -> None:
    async with house.browser(house.app(shared=None)) as browser:
        for answer in (
            await browser.get("/admin/login"),
            await post(browser, "/admin/logout"),
        ):
            assert answer.status_code == 303
        assert (await browser.get("/admin")).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("token=x", "application/json", 415),
        ("{}", "application/json", 415),
        ("token=x", "multipart/form-data; boundary=x", 415),
        ("x" * 66000, "application/x-www-form-urlencoded", 413),
        ("a=1&" * 40, "application/x-www-form-urlencoded", 422),
        ("é", "application/x-www-form-urlencoded", 422),
        ("token=%00%ff&form=%ff", "application/x-www-form-urlencoded", 403),
        ("", "application/x-www-form-urlencoded", 403),
    ],
)
async def test_what_is_no_form_is_refused(
    browser: httpx.AsyncClient, body: str, kind: str, status: int
) -> None:
    headers = {"Content-Type": kind, "Origin": HOME}
    answer = await browser.post("/admin/login", content=body.encode(), headers=headers)
    assert answer.status_code == status


async def test_guessing_is_slow(browser: httpx.AsyncClient) -> None:
    statuses = [(await log_in(browser, "guess")).status_code for _ in range(40)]
    assert statuses[:30] == [403] * 30
    assert 429 in statuses[30:]
