"""Users before a real host on the network: no shared token, each lets in what it is for."""

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from commands import free_port, refused, run, start, wait_for

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Door:
    """A running host that has users and no token of its own."""

    home: Path
    url: str
    editor: str
    reviewer: str

    def ask(self, secret: str) -> httpx.Response:
        question = {
            "completion_id": str(uuid4()),
            "document_id": "d",
            "language": "python",
            "path": "a.py",
            "prefix": "for index in ran",
            "suffix": "\n",
            "requested_at": datetime.now(UTC).isoformat(),
        }
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.post(
            f"{self.url}/v1/hone/completions",
            json=question,
            headers=headers,
            timeout=60,
            trust_env=False,
        )


def add(home: Path, name: str, scope: str) -> str:
    result = run(home, "users", "add", name, "--scope", scope, "--json", "--data", "data")
    assert result.returncode == 0, result.stderr
    return str(json.loads(result.stdout)["token"])


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    home = tmp_path_factory.mktemp("door")
    port = free_port()
    serve = ("serve", "--host", "0.0.0.0", "--port", str(port), "--data", "data")
    refused(run(home, *serve), "0.0.0.0", "hone users add")
    made = Door(
        home, f"http://127.0.0.1:{port}", add(home, "ada", "editor"), add(home, "rae", "reviewer")
    )
    process = start(home, *serve, output=home / "out.txt", HF_HUB_OFFLINE="1")
    try:
        wait_for(lambda: is_up(made.url), seconds=120, what="the host answers")
        yield made
    finally:
        process.terminate()
        process.wait(60)


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_an_editor_completes_and_sees_no_pages(door: Door) -> None:
    answer = door.ask(door.editor)
    assert answer.status_code == 200
    assert answer.json()["candidates"]
    headers = {"Authorization": f"Bearer {door.editor}"}
    assert httpx.get(f"{door.url}/admin", headers=headers, trust_env=False).status_code == 403
    assert (door.ask(door.reviewer).status_code, door.ask("wrong").status_code) == (403, 401)


def test_a_reviewer_logs_in_and_sees_the_pages(door: Door) -> None:
    browser = httpx.Client(base_url=door.url, headers={"Accept": "text/html"}, trust_env=False)
    with browser:
        assert browser.get("/admin").headers["location"] == "/admin/login"
        form = re.findall(r'name="form" value="([^"]+)"', browser.get("/admin/login").text)[0]
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": door.url}
        fields = urlencode({"token": door.reviewer, "form": form})
        answer = browser.post("/admin/login", content=fields, headers=headers)
        assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
        assert ">rae</a>" in browser.get("/admin").text
    if os.name == "posix":
        assert (door.home / "data" / "session.key").stat().st_mode & 0o777 == 0o600


def test_a_revoked_token_stops_working_within_seconds(door: Door) -> None:
    secret = add(door.home, "eve", "editor")
    wait_for(lambda: door.ask(secret).status_code == 200, seconds=10, what="the new token works")
    listed = run(door.home, "users", "tokens", "eve", "--json", "--data", "data").stdout
    number = str(json.loads(listed)[0]["token_id"])
    assert run(door.home, "users", "revoke", number, "--data", "data").returncode == 0
    begun = time.monotonic()
    wait_for(lambda: door.ask(secret).status_code == 401, seconds=10, what="the token is refused")
    assert time.monotonic() - begun < 8
    assert door.ask(door.editor).status_code == 200


def test_no_token_is_written_anywhere(door: Door) -> None:
    door.ask(door.editor)
    for file in [door.home / "out.txt", *(door.home / "data").rglob("*")]:
        if file.is_file():
            content = file.read_bytes()
            assert door.editor.encode() not in content, file
            assert door.reviewer.encode() not in content, file
