"""Hosts that share a database, but not a disk: what is live comes from the other one."""

import asyncio
import io
import shutil
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_host import RunningHost, free_port, host_on, until

sys.path.insert(0, str(Path(__file__).parents[2] / "feedback_store"))

from postgres_server import programs, serving

from feedback_store.database import Database, default_url
from feedback_store.registry import AdapterRecord, Registry
from lsp_server.engine.adapter_source import FIRST_PAUSE_S, AdapterSource
from lsp_server.engine.base import Base
from lsp_server.engine.errors import AdapterNotFetched

TOKEN = "a-token-of-some-length"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of what hosts share: PostgreSQL, as teams have it; SQLite where it is missing."""
    if programs() is None:
        yield default_url(tmp_path)
        return
    with serving() as server:
        yield server.url(server.new())


def lines(host: RunningHost, *words: str) -> list[str]:
    log = (host.data / "logs" / "host.log").read_text()
    return [line for line in log.splitlines() if all(word in line for word in words)]


async def test_a_host_fetches_what_is_live_from_another(
    url: str, tmp_path: Path, base: Base, make_adapter: Any
) -> None:
    database = Database.open(url)
    registry = Registry(database, tmp_path / "a" / "adapters")
    for seed in (1, 2):
        folder, _, _ = make_adapter(seed)
        registry.register(folder, base_sha256=base.sha256, run_id=f"run-{seed}", metrics={})
    first, second = (record.sha256 for record in sorted(registry.list(), key=lambda r: r.run_id))
    registry.promote(first, by="ada", reason="to see it travel")

    async def serves(host: RunningHost, sha256: str) -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            return bool((await client.get(f"{host.url}/health")).json()["adapter"] == sha256)

    port_of_a = free_port()
    source = f"http://127.0.0.1:{port_of_a}"
    b = host_on(
        *(tmp_path / "b", "--database-url", url),
        HONE_TOKEN=TOKEN,
        HONE_ENGINE__ADAPTER_SOURCE=source,
    )
    with b as host_b:
        await until(lambda: lines(host_b, first[:12], "what serves stays", source))
        a = host_on(tmp_path / "a", "--database-url", url, port=port_of_a, HONE_TOKEN=TOKEN)
        with a as host_a:
            await until(lambda: serves(host_b, first))
            assert await serves(host_a, first)
            assert registry.live().sha256 == first  # type: ignore[union-attr]
            assert len(lines(host_b, first[:12], "what serves stays")) == 1
            assert len(lines(host_b, first[:12], "was fetched from")) == 1
            registry.try_out(second, share=0.5, by="ada", reason="canaries travel too")
            await until(lambda: (host_b.data / "adapters" / second).exists())
            registry.promote(second, by="ada", reason="and serve")
            await until(lambda: serves(host_b, second))
    there = Registry(database, tmp_path / "b" / "adapters")
    for sha256 in (first, second):
        there.verify(sha256)
    assert {record.state for record in registry.list()} == {"live", "retired"}
    database.close()


async def test_a_host_that_has_nobody_to_ask_rejects_nothing_for_the_others(
    tmp_path: Path, base: Base, make_adapter: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path, base, make_adapter)
    source = AdapterSource(shelf.there, None)
    assert source.want(shelf.missing)
    assert source.want(shelf.missing)
    assert caplog.text.count("engine.adapter_source names no host") == 1
    shelf.missing.path.mkdir()
    assert not source.want(shelf.missing)  # What is broken here is nobody else's matter.
    shelf.database.close()


class Shelf:
    """An adapter that is listed and lies in one folder, and the registry of another folder."""

    def __init__(self, folder: Path, base: Base, make_adapter: Any) -> None:
        self.database = Database.open(default_url(folder))
        self.here = Registry(self.database, folder / "here")
        made, self.sha256, _ = make_adapter(1)
        self.files = folder / "files"
        shutil.copytree(made, self.files)
        self.here.register(made, base_sha256=base.sha256, run_id="run-1", metrics={})
        self.there = Registry(self.database, folder / "there")
        self.left = folder / "there"

    @property
    def missing(self) -> AdapterRecord:
        return self.there.get(self.sha256)

    def packed(self, leave_out: str = "") -> bytes:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            for path in sorted(self.files.iterdir()):
                if path.name != leave_out:
                    tar.add(path, path.name)
        return file.getvalue()


@contextmanager
def answering(status: int, body: bytes, length: int | None = None) -> Iterator[str]:
    """Run a server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, lambda shelf: b'{"detail": "a token is needed"}', "status 401.*a token is needed"),
        (404, lambda shelf: b"", "status 404"),
        (302, lambda shelf: b"", "status 302"),
        (200, lambda shelf: b"<html>a proxy</html>", "not a tar file"),
        (200, lambda shelf: shelf.packed()[:3000], "torn"),
        (200, lambda shelf: shelf.packed(leave_out="lineage.json"), "missing"),
        (200, lambda shelf: shelf.packed(leave_out="manifest.json"), "missing"),
    ],
)
async def test_what_is_not_whole_is_not_taken(
    status: int,
    body: Callable[[Shelf], bytes],
    words: str,
    tmp_path: Path,
    base: Base,
    make_adapter: Any,
) -> None:
    shelf = Shelf(tmp_path, base, make_adapter)
    with answering(status, body(shelf)) as url, pytest.raises(AdapterNotFetched, match=words):
        await AdapterSource(shelf.there, url).fetch(shelf.missing)
    with answering(200, shelf.packed(), 10**6) as url, pytest.raises(AdapterNotFetched):
        await AdapterSource(shelf.there, url).fetch(shelf.missing)  # The connection breaks.
    assert [entry.name for entry in shelf.left.iterdir()] == [".lock"]
    shelf.database.close()


async def test_it_is_tried_again_with_longer_and_longer_pauses(
    tmp_path: Path, base: Base, make_adapter: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path, base, make_adapter)
    now_s, attempts = 0.0, list[float]()
    source = AdapterSource(shelf.there, "http://127.0.0.1:1", clock=lambda: now_s)
    for second in range(80):
        now_s = float(second)
        before = asyncio.all_tasks()
        source.want(shelf.missing)
        if begun := asyncio.all_tasks() - before:
            attempts.append(now_s)
            await asyncio.gather(*begun)
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert pauses == [FIRST_PAUSE_S * 2**n for n in range(len(pauses))]
    assert len(pauses) == 6
    assert caplog.text.count("what serves stays") == 1
    with answering(200, shelf.packed()) as url:
        await AdapterSource(shelf.there, url).fetch(shelf.missing)
    shelf.there.verify(shelf.sha256)
    shelf.database.close()
