"""Document synchronisation through a real process: the host sees exactly what the editor holds."""

import random
import time

import pytest

from trainer.replay.lsp_client import position_of

URI = "file:///project/a.py"
PIECES = ("x", "é", "😀", "\n", "\r\n", "\r", "\f", "\u2028", "    ", "def f():", "", "\t", "\0")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_edits_in_every_encoding(scripted_host, start_server, encoding) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(capabilities={"general": {"positionEncodings": [encoding]}})
    text = "a😀é\r\nb\fc\u2028d\re\n"
    await client.open(URI, text)
    chooser = random.Random(encoding)
    for version in range(2, 60):
        start, end = sorted(_between_lines(text, chooser) for _ in range(2))
        piece = chooser.choice(PIECES)
        params = {
            "textDocument": {"uri": URI, "version": version},
            "contentChanges": [
                {
                    "range": {
                        "start": _position(text, start, encoding),
                        "end": _position(text, end, encoding),
                    },
                    "text": piece,
                }
            ],
        }
        await client.notify("textDocument/didChange", params)
        text = text[:start] + piece + text[end:]
    offset = len(text.rstrip("\r\n"))
    params = {
        "textDocument": {"uri": URI},
        "position": _position(text, offset, encoding),
        "context": {"triggerKind": 1},
    }
    await client.request("textDocument/inlineCompletion", params)
    (question,) = scripted_host.questions
    assert question["prefix"] + question["suffix"] == text
    assert question["prefix"] == text[:offset]


async def test_whole_document_changes_and_several_at_once(client, scripted_host) -> None:
    await client.open(URI, "a\nb\n")
    await client.replace_all(URI, "one\r\ntwo\r\n")
    changes = [
        {"text": "three\n"},
        {"range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 2}},
         "text": "x"},
    ]  # fmt: skip
    document = {"uri": URI, "version": 9}
    await client.notify(
        "textDocument/didChange", {"textDocument": document, "contentChanges": changes}
    )
    client.texts[URI] = "xree\n"
    await client.complete(URI, 4)
    assert scripted_host.questions[0]["prefix"] == "xree"


async def test_closed_and_opened_again_is_a_new_document(client, scripted_host) -> None:
    await client.open(URI, "old")
    await client.close(URI)
    await client.open(URI, "new")
    await client.complete(URI, 3)
    assert scripted_host.questions[0]["prefix"] == "new"


async def test_keystrokes_in_a_large_file_cost_little(client, scripted_host) -> None:
    """Measured with room to spare, for this machine is not idle; the benchmark knows better."""
    text = "".join(f"def function_{n}(argument):\n    return {n}\n\n" for n in range(3334))
    await client.open(URI, text)
    middle = len(text) // 2
    await client.complete(URI, middle)
    begin = time.perf_counter()
    for number in range(300):
        await client.insert(URI, middle + number, "x")
    await client.complete(URI, middle + 300)
    assert (time.perf_counter() - begin) * 1000 / 300 < 5


def _between_lines(text: str, chooser: random.Random) -> int:
    """Choose an offset that has a position of its own: none lies inside of a line break."""
    offset = chooser.randrange(len(text) + 1)
    return offset - 1 if text[offset - 1 : offset + 1] == "\r\n" else offset


def _position(text: str, offset: int, encoding: str) -> dict[str, int]:
    position = position_of(text, offset)
    if encoding == "utf-16":
        return position
    line = offset
    while line and not (text[line - 1] in "\r\n" and text[line - 1 : line + 1] != "\r\n"):
        line -= 1
    part = text[line:offset]
    units = len(part) if encoding == "utf-32" else len(part.encode())
    return {"line": position["line"], "character": units}
