"""From `initialize` to `exit`: what is advertised, how fast, how heavy, what is left behind."""

import asyncio
import os
import re
import time
from pathlib import Path

import pytest

from trainer.replay.lsp_client import LspClient

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there
URI = "file:///project/a.py"
MAX_INITIALIZE_S = 1.4  # twice the goal, which benchmarks hold it to: processors differ
MAX_RESIDENT_MB = 90


async def test_what_is_advertised(start_server) -> None:
    client = await start_server(NOBODY)
    answer = await client.initialize()
    capabilities = answer["capabilities"]
    assert capabilities["inlineCompletionProvider"] == {}
    assert capabilities["executeCommandProvider"] == {"commands": ["hone.accepted"]}
    assert capabilities["textDocumentSync"] == {"openClose": True, "change": 2, "save": True}
    assert capabilities["positionEncoding"] == "utf-16"
    assert answer["serverInfo"]["name"] == "hone"


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (["utf-8", "utf-16"], "utf-8"),
        (["utf-32"], "utf-32"),
        (["utf-7", "utf-32"], "utf-32"),
        (["utf-7"], "utf-16"),
        ([], "utf-16"),
        ("utf-8", "utf-16"),
        ([None, {}], "utf-16"),
    ],
)
async def test_the_position_encoding_is_the_first_that_both_know(
    start_server, offered, agreed
) -> None:
    client = await start_server(NOBODY)
    answer = await client.initialize(capabilities={"general": {"positionEncodings": offered}})
    assert answer["capabilities"]["positionEncoding"] == agreed


async def test_initialize_is_answered_fast_and_the_process_stays_small(
    scripted_host, start_server
) -> None:
    """Processor time is what is checked, where it is told: this machine is not idle.

    Other work makes even that longer, so the best of three starts counts.
    """
    tries = []
    for _ in range(3):
        client, begin = await start_server(scripted_host.url), time.perf_counter()
        await client.initialize(record=True)
        seconds = time.perf_counter() - begin
        process = Path(f"/proc/{client.process.pid}")
        if process.exists():
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        tries.append(seconds)
        if seconds < MAX_INITIALIZE_S:
            break
    assert min(tries) < MAX_INITIALIZE_S
    await client.open(URI, "def f():\n    return 1\n\n" * 3000 + "x = ")
    await client.complete(URI, len(client.texts[URI]))
    if process.exists():
        resident = re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
        assert int(resident[1]) / 1024 < MAX_RESIDENT_MB


async def test_shutdown_and_exit_end_the_process_well(client) -> None:
    assert await client.shutdown() == 0
    assert client.process.returncode == 0
    assert not any("Traceback" in line or "Fatal" in line for line in client.stderr)


async def test_exit_without_shutdown_is_an_error(client) -> None:
    await client.notify("exit", None)
    assert await asyncio.wait_for(client.process.wait(), 20) == 1


async def test_an_editor_that_just_goes_away_ends_the_process(client) -> None:
    client.process.stdin.close()
    assert await asyncio.wait_for(client.process.wait(), 20) == 0
    assert not any("Traceback" in line or "Fatal" in line for line in client.stderr)


async def test_without_consent_nothing_is_written_anywhere(
    client, ask, scripted_host, tmp_path
) -> None:
    (item,) = await ask("def f():\n    <|>\n")
    await client.feedback("shown", item)
    await client.accept(URI, item)
    await client.save(URI)
    await client.close(URI)
    await client.shutdown()
    assert [question["record"] for question in scripted_host.questions] == [False]
    assert [question["user"] for question in scripted_host.questions] == ["anonymous"]
    assert scripted_host.events == []
    assert list(tmp_path.iterdir()) == []


async def test_what_the_client_says_of_itself_travels_with_the_request(
    scripted_host, start_server
) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(name="Some Editor")
    await client.open(URI, "x = ")
    await client.complete(URI, 4)
    (question,) = scripted_host.questions
    assert (question["client"], question["client_version"]) == ("Some Editor", "1.0")


@pytest.mark.parametrize(
    "params",
    [None, [], "x", {"capabilities": None}, {"capabilities": {}, "initializationOptions": [1]}],
)
async def test_an_odd_initialize_is_answered_all_the_same(start_server, params) -> None:
    client: LspClient = await start_server(NOBODY)
    answer = await client.request("initialize", params)
    assert answer["capabilities"]["inlineCompletionProvider"] == {}
    await client.open(URI, "x = ")
    assert await client.complete(URI, 4) == []


async def test_paths_are_told_relative_to_the_folder_and_never_absolute(
    scripted_host, start_server, tmp_path
) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(root=tmp_path)
    inside, outside = tmp_path / "pkg" / "ä b.py", tmp_path.parent / "private-name" / "c.py"
    for uri in (inside.as_uri(), outside.as_uri(), "untitled:Untitled-1"):
        await client.open(uri, "x = ")
        await client.complete(uri, 4)
    paths = [question["path"] for question in scripted_host.questions]
    assert paths == ["pkg/ä b.py", "c.py", ""]
    assert len({question["document_id"] for question in scripted_host.questions}) == 3
    assert os.sep not in "".join(q["document_id"] for q in scripted_host.questions)
