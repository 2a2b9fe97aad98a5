"""What no well-behaved client sends: the server answers or logs one line, and lives on."""

import json
import random
from uuid import uuid4

import pytest

from lsp_server.editor.stdio import framed
from trainer.replay.lsp_client import LspClient, LspError

URI = "file:///project/a.py"


async def check_alive(client: LspClient) -> None:
    """An ordinary question is still answered, and nobody was bothered with a pop-up."""
    uri = f"file:///project/{uuid4().hex}.py"
    await client.open(uri, "x = ")
    assert len(await client.complete(uri, 4)) == 1
    names = {name for name, _ in client.notifications}
    assert names <= {"hone/status"}, "no window/showMessage, no window/logMessage"
    assert not any("Traceback" in line for line in client.stderr)


MALFORMED = [
    framed(b"{not json"),
    framed(b"\xff\xfe\x00"),
    framed(b"[]"),
    framed(b"null"),
    framed(b'{"jsonrpc": "1.0", "id": 1, "method": "shutdown"}'),
    framed(b'{"jsonrpc": "2.0"}'),
    framed(b'{"jsonrpc": "2.0", "id": {}, "method": "shutdown"}'),
    framed(b'{"jsonrpc": "2.0", "method": 7}'),
    framed(b'{"jsonrpc": "2.0", "id": 99, "result": null}'),
    framed(b'{"jsonrpc": "2.0", "id": 99, "error": {"code": 1, "message": "x"}}'),
    framed(b'{"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": [1]}}'),
    framed(b'{"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 12345}}'),
    framed(b'{"jsonrpc": "2.0", "method": "$/setTrace", "params": {"value": "loud"}}'),
    framed(b"[" * 100_000),
    framed(b""),
    b"Content-Length: nonsense\r\n\r\n{}",
    b"\r\n\r\n\r\n\r\n",
    b"Content-Length: 3\r\n\r\n{}more than it said",
]


async def test_malformed_messages(client) -> None:
    for data in MALFORMED:
        await client.send_bytes(data)
        await check_alive(client)


NOTIFICATIONS = [
    "textDocument/didOpen",
    "textDocument/didChange",
    "textDocument/didSave",
    "textDocument/didClose",
    "workspace/didChangeWorkspaceFolders",
    "hone/shown",
    "hone/hidden",
    "hone/dismissed",
    "hone/cycled",
    "hone/rated",
    "hone/tick",
    "hone/unheard-of",
    "textDocument/didShowCompletion",
    "textDocument/didPartiallyAcceptCompletion",
]
ODD_PARAMETERS = [
    None,
    [],
    7,
    "x",
    {},
    {"textDocument": None},
    {"textDocument": {"uri": 7}, "contentChanges": 7},
    {"completion_id": "not-an-id", "item": {"command": {"arguments": []}}},
    {"completion_id": str(uuid4()), "candidate_index": -1},
    {"event": {"added": [7], "removed": [{}]}, "now_ms": -1},
    {"now_ms": 10**30},
]


async def test_notifications_with_odd_parameters_cost_one_line(client) -> None:
    for method in NOTIFICATIONS:
        for params in ODD_PARAMETERS:
            num_lines = len(client.stderr)
            await client.notify(method, params)
            await check_alive(client)
            assert len(client.stderr) - num_lines <= 1, (method, params)


async def test_feedback_about_completions_nobody_knows(client) -> None:
    about = {"completion_id": str(uuid4()), "candidate_index": 0}
    for kind in ("shown", "hidden", "dismissed", "cycled", "rated"):
        await client.notify(f"hone/{kind}", {**about, "rating": "up"})
    assert await client.execute("hone.accepted", [str(uuid4()), 0]) is None
    await check_alive(client)


REFUSED = [
    ("textDocument/inlineCompletion", None, -32602),
    ("textDocument/inlineCompletion", {"textDocument": {"uri": URI}}, -32602),
    (
        "textDocument/inlineCompletion",
        {"textDocument": {"uri": URI}, "position": {"line": "0", "character": 0}},
        -32602,
    ),
    ("workspace/executeCommand", {"command": "hone.accepted", "arguments": []}, -32602),
    ("workspace/executeCommand", {"command": "hone.accepted", "arguments": ["x"]}, -32602),
    ("workspace/executeCommand", {"command": "rm -rf", "arguments": ["x"]}, -32602),
    ("workspace/executeCommand", {}, -32602),
    ("textDocument/hover", {}, -32601),
]


async def test_requests_that_cannot_be_answered_are_refused(client) -> None:
    for method, params, code in REFUSED:
        with pytest.raises(LspError) as refused:
            await client.request(method, params)
        assert refused.value.code == code, (method, params)
        await check_alive(client)


async def test_documents_never_opened(client) -> None:
    position = {"line": 0, "character": 0}
    params = {"textDocument": {"uri": "file:///never.py"}, "position": position}
    answer = await client.request("textDocument/inlineCompletion", {**params, "context": {}})
    assert answer == {"items": []}
    change = {"textDocument": {"uri": "file:///never.py", "version": 2}, "contentChanges": []}
    await client.notify("textDocument/didChange", change)
    await client.notify("textDocument/didClose", params)
    await check_alive(client)


CURSORS = [(0, 10**9), (10**9, 0), (-5, 3), (0, -1), (2**70, 2**70)]


async def test_a_cursor_out_of_range_is_brought_back(client) -> None:
    await client.open(URI, "x = 1\ny = ")
    ends = [{"line": 0, "character": n} for n in (0, 5)] + [{"line": 1, "character": 4}]
    for line, character in CURSORS:
        position = {"line": line, "character": character}
        params = {"textDocument": {"uri": URI}, "position": position, "context": {}}
        answer = await client.request("textDocument/inlineCompletion", params)
        assert all(item["range"]["start"] in ends for item in answer["items"])
        await check_alive(client)


DOCUMENTS = {
    "untitled:Untitled-1": True,
    "git:/project/a.py?%7B%7D": False,
    "output:extension-output": False,
    "file://[half/a.py": True,
    "": True,
    "file:///c%3A/project/a%20b.py": True,
}


async def test_unusual_documents(client) -> None:
    for uri, is_served in DOCUMENTS.items():
        await client.open(uri, "x = ")
        assert len(await client.complete(uri, 4)) == is_served, uri
        await client.insert(uri, 4, "1")
        await client.save(uri)
        await client.close(uri)
        await check_alive(client)


@pytest.mark.parametrize("record", [False, True])
async def test_unusual_texts(scripted_host, start_server, record) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(record=record)
    binary = random.Random(7).randbytes(100_000).decode("latin-1")
    texts = [
        "x" * 2_000_000,
        binary,
        "a\r\nb\nc\rd\f\u2028\u0085e",
        "\ud83d = '\ude00'  # halves of a pair\n",
        "x = '<|fim_middle|>'  # <|endoftext|>\n",
        "\0\0\0",
        "",
    ]
    for number, text in enumerate(texts):
        uri = f"file:///project/{number}.py"
        await client.open(uri, text)
        for offset in (len(text), len(text) // 2):
            await client.complete(uri, offset)
            await client.insert(uri, offset, "y")
        await client.replace_all(uri, "z")
        await client.complete(uri, 1)
        await client.save(uri)
        await client.close(uri)
    prefixes = [question["prefix"] for question in scripted_host.questions]
    assert max(map(len, prefixes)) <= 16 * 1024
    assert any("<|fim_middle|>" in prefix for prefix in prefixes)
    await check_alive(client)


async def test_no_host_is_one_line_and_no_suggestion(start_server) -> None:
    client = await start_server("http://127.0.0.1:9")
    await client.initialize()
    status = await client.wait_for("hone/status")
    assert status["state"] == "offline"
    await client.open(URI, "x = ")
    for _ in range(20):
        assert await client.complete(URI, 4) == []
    assert {name for name, _ in client.notifications} == {"hone/status"}
    assert len([line for line in client.stderr if "WARNING" in line or "ERROR" in line]) == 1


async def test_an_outbox_that_cannot_be_written_costs_feedback_only(
    scripted_host, start_server, tmp_path
) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    client = await start_server(scripted_host.url)
    await client.initialize(record=True)
    await check_alive(client)
    assert [question["record"] for question in scripted_host.questions] == [False]
    assert json.dumps(list(client.stderr)).count("nothing is recorded") == 1
