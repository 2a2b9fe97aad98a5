"""Hosts and language servers that die at the worst moment: nothing acknowledged or put is lost."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX"),
]

HERE = "import os\n\n\ndef main():\n    for index in ran<|>\n        print(index)\n"
TAKEN = ["shown", "accepted!", "settled", "persisted 0s closed"]
WAIT_SECONDS = 30


@pytest.fixture
def restarted(host: Any) -> Iterator[Any]:
    """The session's host, which a test may kill: it runs again afterwards."""
    yield host
    if host.process.poll() is not None:
        host.start()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


def waiting(data: Path) -> str:
    return "".join(path.read_text() for path in (data / "outbox").glob("events-*.jsonl"))


async def test_typing_goes_on_while_the_host_dies_and_comes_back(
    start_desk: Any, restarted: Any, tmp_path: Path
) -> None:
    desk = await start_desk()
    await desk.open(HERE)
    item = await desk.offer()
    await desk.delivered()
    restarted.stop(signal.SIGKILL)
    await desk.accept(item)
    for key in "\nx = 1":
        begun = time.monotonic()
        await desk.insert(key)
        assert await desk.ask() == []
        assert time.monotonic() - begun < 1.0
    await desk.close()
    await until(lambda: "accepted" in waiting(tmp_path / "editor"))
    offline = [line for line in desk.client.stderr if "offline" in line]
    assert len(offline) == 1, "one line in the log, however often it is asked"
    num_ready = len(desk.client.notifications)
    restarted.start()
    await until(lambda: len(desk.client.notifications) > num_ready)
    assert await desk.told(item.completion_id) == TAKEN
    await desk.open(HERE)
    assert (await desk.offer()).text == item.text


async def test_a_killed_editor_s_feedback_is_brought_by_whoever_comes_next(
    start_desk: Any, restarted: Any, tmp_path: Path
) -> None:
    """Two at once come next: one of them adopts it."""
    desk = await start_desk()
    await desk.open(HERE)
    item = await desk.offer()
    await desk.delivered()
    restarted.stop(signal.SIGKILL)
    await desk.accept(item)
    await desk.close()
    await until(lambda: "persisted" in waiting(tmp_path / "editor"))
    await desk.client.kill()
    restarted.start()
    for heir in await asyncio.gather(start_desk(), start_desk()):
        await heir.client.tick(desk.now_ms)
        await heir.delivered()
    await until(lambda: len(restarted.events(item.completion_id)) >= len(TAKEN))
    assert await heir.told(item.completion_id) == TAKEN
    assert waiting(tmp_path / "editor") == ""


async def test_two_editors_share_a_folder(start_desk: Any, tmp_path: Path) -> None:
    desks = [await start_desk(), await start_desk("neovim")]
    items = []
    for desk in desks:
        await desk.open(HERE)
        items.append(await desk.offer())
        await desk.accept(items[-1])
    await desks[0].close()
    assert await desks[0].client.shutdown() == 0
    await desks[1].close()
    assert await desks[1].told(items[0].completion_id) == TAKEN
    told = await desks[1].told(items[1].completion_id)
    assert told == [event.replace("!", "") for event in TAKEN]
    assert await desks[1].client.shutdown() == 0
    assert [p.name for p in (tmp_path / "editor" / "outbox").iterdir()] == []
    users = {(await desks[0].host.completion(item.completion_id)).pseudonym for item in items}
    assert len(users) == 1
