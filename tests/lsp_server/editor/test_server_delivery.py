"""The courier between a real outbox and a scripted host, and what git tells of a folder."""

import asyncio
import itertools
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from feedback_store.schemas import Event, EventKind
from lsp_server.editor.delivery import Courier
from lsp_server.editor.host_client import HostClient
from lsp_server.editor.outbox import Outbox
from lsp_server.editor.workspace import (
    Repository,
    path_of_uri,
    place_of,
    repository_of,
)


def events(number: int) -> list[Event]:
    now = datetime.now(UTC)
    return [Event.new(uuid4(), EventKind.SHOWN, 0, now, text=f"text {n}") for n in range(number)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


class Post:
    """An outbox, a courier that runs, and the host at the other end."""

    def __init__(self, host, folder: Path) -> None:
        self.host, self.outbox = host, Outbox(folder)
        self.client = HostClient(lambda: host.url, None, 5_000, on_change=lambda _: None)
        self.courier = Courier(self.outbox, self.client)
        self.client.open()
        self.task = asyncio.create_task(self.courier.run())

    def put(self, number: int) -> None:
        self.outbox.put(events(number))
        self.courier.more()

    async def close(self) -> None:
        self.task.cancel()
        await self.client.close()
        self.outbox.close()


@pytest.fixture
async def post(scripted_host, tmp_path):
    post = Post(scripted_host, tmp_path / "outbox")
    yield post
    await post.close()


async def test_everything_arrives_in_order_and_leaves_the_disk(post, tmp_path) -> None:
    post.put(450)
    await post.host.until(lambda: len(post.host.events) == 450)
    await until(lambda: not post.outbox.peek().events)
    assert [e["data"]["text"] for e in post.host.events] == [f"text {n}" for n in range(450)]
    await post.close()
    assert list((tmp_path / "outbox").glob("events-*")) == []


async def test_a_batch_too_large_is_sent_in_parts(post) -> None:
    kind, good = type(post.host.health()), post.host.take_events

    def small_only(received: object) -> object:
        return kind({}, 413) if len(received.body["events"]) > 10 else good(received)

    post.host.take_events = small_only
    post.put(60)
    await post.host.until(lambda: len(post.host.events) == 60)


async def test_a_busy_host_gets_the_time_it_asks_for(post) -> None:
    kind, good = type(post.host.health()), post.host.take_events
    begin = asyncio.get_running_loop().time()

    def busy(_: object) -> object:
        post.host.take_events = good
        return kind({}, 429, {"Retry-After": "0.3"})

    post.host.take_events = busy
    post.put(1)
    await asyncio.sleep(0)
    post.courier.host_is_ready()
    await post.host.until(lambda: len(post.host.events) == 1)
    assert asyncio.get_running_loop().time() - begin >= 0.3


async def test_a_host_that_comes_back_is_served_before_the_back_off_ends(post) -> None:
    kind, good = type(post.host.health()), post.host.take_events
    refused = asyncio.Event()

    def refuse(_: object) -> object:
        refused.set()
        return kind({}, 500)

    post.host.take_events = refuse
    post.put(3)
    await refused.wait()
    post.host.take_events = good
    async with asyncio.timeout(0.9):  # less than the first back-off
        while len(post.host.events) < 3:
            post.courier.host_is_ready()
            await asyncio.sleep(0.01)


async def test_a_refused_event_is_kept_aside_and_holds_nothing_up(post, tmp_path) -> None:
    kind = type(post.host.health())

    def refuse_first(received: object) -> object:
        sent = received.body["events"]
        post.host.events += sent[1:]
        states = ["refused"] + ["stored"] * (len(sent) - 1)
        pairs = zip(sent, states, strict=True)
        return kind({"items": [{"event_id": e["event_id"], "status": s} for e, s in pairs]})

    post.host.take_events = refuse_first
    post.put(3)
    refused = tmp_path / "outbox" / "refused.jsonl"
    await until(refused.exists)
    assert len(refused.read_text().splitlines()) == 1
    assert len(post.host.events) == 2


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def new_repository(work: Path) -> str:
    """Make a repository of two commits and return the first."""
    git(work.parent, "init", "-q", work.name)
    for message in ("first", "second"):
        git(work, "commit", "-q", "--allow-empty", "-m", message)
    return git(work, "rev-list", "--max-parents=0", "HEAD")


def test_a_repository_is_named_by_its_first_commit(tmp_path) -> None:
    assert repository_of(tmp_path / "absent") == Repository("unknown", "")
    assert repository_of(tmp_path) == Repository()
    git(tmp_path, "init", "-q", "work")
    work = tmp_path / "work"
    assert repository_of(work) == Repository(), "nothing is committed yet"
    first = new_repository(work)
    inside = work / "inside" / "ä b "
    inside.mkdir(parents=True)
    assert repository_of(work) == Repository(first, "")
    assert repository_of(inside) == Repository(first, "inside/ä b /")
    git(tmp_path, "clone", "-q", "--depth", "1", work.as_uri(), "shallow")
    assert repository_of(tmp_path / "shallow") == Repository()


async def test_a_file_has_one_name_whichever_folder_of_its_repository_is_open(
    scripted_host, start_server, tmp_path
) -> None:
    work = tmp_path / "work"
    first = new_repository(work)
    told = []
    for folder in (work / "backend" / "api", work):
        folder.mkdir(parents=True, exist_ok=True)
        client = await start_server(scripted_host.url)
        await client.initialize(root=folder, record=True)
        async with asyncio.timeout(20):
            for number in itertools.count():  # git is asked in the background
                uri = (work / "backend" / "api" / f"f{number}.py").as_uri()
                await client.open(uri, "x = ")
                await client.complete(uri, 4)
                asked = scripted_host.questions[-1]
                if asked["repository"] == first:
                    break
        told.append(asked["path"].replace(f"f{number}.py", "f.py"))
    assert told == ["backend/api/f.py"] * 2


def test_places_of_documents() -> None:
    roots = [Path("/project/one"), Path("/project/two")]
    cases = {
        "file:///project/two/pkg/a.py": ("pkg/a.py", False),
        "file:///project/one/a%20b.py": ("a b.py", False),
        "file:///elsewhere/c.py": ("c.py", False),
        "untitled:Untitled-1": ("", False),
        "git:/project/one/a.py": ("", True),
        "file://[broken": ("", False),
    }
    for uri, expected in cases.items():
        place = place_of(uri, roots)
        assert (place.path, place.read_only) == expected, uri
    assert str(path_of_uri("file:///c%3A/x.py")) == "c:/x.py"
