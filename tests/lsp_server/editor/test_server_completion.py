"""Inline completion through a real process: items, ranges, what the host sees, who is cancelled."""

import asyncio

import pytest

from trainer.replay.lsp_client import LspClient

URI = "file:///project/a.py"


async def test_an_item_carries_range_command_and_id(client, ask, scripted_host) -> None:
    scripted_host.texts = ("return 1",)
    (item,) = await ask("def f():\n    <|>\n")
    (question,) = scripted_host.questions
    at = {"line": 1, "character": 4}
    assert item.raw == {
        "insertText": "return 1",
        "range": {"start": at, "end": at},
        "command": {
            "title": "Accepted",
            "command": "hone.accepted",
            "arguments": [question["completion_id"], 0],
        },
    }


async def test_the_host_sees_text_language_place_and_mode(ask, scripted_host) -> None:
    await ask("def f():\n    <|>\n\n\ny = 1\n")
    (question,) = scripted_host.questions
    expected = {
        "prefix": "def f():\n    ",
        "suffix": "\n\n\ny = 1\n",
        "language": "python",
        "line": 1,
        "mode": "block",
        "trigger": "automatic",
        "num_candidates": 1,
    }
    assert {name: question[name] for name in expected} == expected


async def test_an_explicit_question_is_told_apart(ask, scripted_host) -> None:
    await ask("x = <|>", trigger="invoked")
    assert scripted_host.questions[0]["trigger"] == "invoked"


async def test_a_text_that_repeats_the_closer_replaces_it(client, ask, scripted_host) -> None:
    scripted_host.texts = ("a, b)",)
    (item,) = await ask("print(<|>)\n")
    await client.accept(URI, item)
    assert client.texts[URI] == "print(a, b)\n"


async def test_several_candidates_are_several_items(scripted_host, start_server) -> None:
    client = await start_server(scripted_host.url, "--num-candidates", "3", "--temperature", "0.7")
    await client.initialize()
    scripted_host.texts = ("alpha", "beta", "alpha")
    await client.open(URI, "x = ")
    items = await client.complete(URI, 4)
    assert [(item.text, item.candidate_index) for item in items] == [("alpha", 0), ("beta", 1)]
    (question,) = scripted_host.questions
    assert (question["num_candidates"], question["temperature"]) == (3, 0.7)


async def test_the_selected_item_is_repeated_in_its_range(ask, scripted_host) -> None:
    scripted_host.texts = ("(1)",)
    (item,) = await ask("x = pri<|>\n", selected=(4, 7, "print"))
    assert (item.text, item.start, item.end) == ("print(1)", 4, 7)
    assert scripted_host.questions[0]["prefix"] == "x = print"


async def test_a_selected_item_elsewhere_means_no_suggestion(ask, scripted_host) -> None:
    assert await ask("x = pri<|>\ny = 1\n", selected=(8, 10, "yes")) == []
    assert scripted_host.questions == []


async def test_typing_the_suggestion_offers_the_rest_under_the_same_id(
    client, ask, scripted_host
) -> None:
    scripted_host.texts = ("return 1",)
    (first,) = await ask("def f():\n    <|>\n")
    caret = await client.type(URI, first.start, "ret")
    (rest,) = await client.complete(URI, caret)
    assert (rest.text, rest.start, rest.end) == ("urn 1", caret, caret)
    assert rest.completion_id == first.completion_id
    assert len(scripted_host.questions) == 1


async def test_a_swap_flushes_what_was_cached(client, ask, scripted_host) -> None:
    await ask("x = <|>\n")
    scripted_host.adapter, scripted_host.texts = "ab" * 32, ("new",)
    await client.wait_for("hone/status", lambda status: status["adapter"] == "ab" * 32)
    (item,) = await client.complete(URI, 4)
    assert item.text == "new"


async def test_a_question_is_answered_from_the_text_of_its_arrival(
    client, ask, scripted_host
) -> None:
    """The change after the question is in the same write, so it is read before any answer."""
    await client.open(URI, "x = \n")
    asked = await client.send_request(
        "textDocument/inlineCompletion",
        {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}, "context": {}},
    )
    await client.change(URI, 0, 5, "import os\n")
    assert len((await client.answer_to(asked))["items"]) == 1
    assert scripted_host.questions[0]["prefix"] == "x = "


def hang(scripted_host) -> asyncio.Event:
    """Make completions wait; return what lets them go."""
    good, gate = scripted_host.complete, asyncio.Event()

    async def wait(received: object) -> object:
        await gate.wait()
        return await good(received)

    scripted_host.complete = wait
    return gate


async def send(client: LspClient, line: int, character: int) -> int:
    position = {"line": line, "character": character}
    params = {"textDocument": {"uri": URI}, "position": position, "context": {"triggerKind": 2}}
    return await client.send_request("textDocument/inlineCompletion", params)


async def test_a_newer_question_closes_the_older_ones_request(client, scripted_host) -> None:
    gate = hang(scripted_host)
    await client.open(URI, "x = \ny = \n")
    older = await send(client, 0, 4)
    await scripted_host.until(lambda: len(scripted_host.questions) == 1)
    newer = await send(client, 1, 4)
    assert await client.answer_to(older) == {"items": []}
    await scripted_host.until(lambda: scripted_host.num_disconnected == 1)
    gate.set()
    assert len((await client.answer_to(newer))["items"]) == 1


async def test_a_question_taken_back_closes_its_request(client, scripted_host) -> None:
    hang(scripted_host)
    await client.open(URI, "x = \n")
    asked = await send(client, 0, 4)
    await scripted_host.until(lambda: len(scripted_host.questions) == 1)
    await client.cancel(asked)
    with pytest.raises(Exception, match="-32800"):
        await client.answer_to(asked)
    await scripted_host.until(lambda: scripted_host.num_disconnected == 1)


async def test_typing_on_keeps_the_request_under_way(client, scripted_host) -> None:
    gate = hang(scripted_host)
    scripted_host.texts = ("alpha",)
    await client.open(URI, "x = \n")
    older = await send(client, 0, 4)
    await scripted_host.until(lambda: len(scripted_host.questions) == 1)
    await client.insert(URI, 4, "al")
    newer = await send(client, 0, 6)
    assert await client.answer_to(older) == {"items": []}
    gate.set()
    (item,) = (await client.answer_to(newer))["items"]
    assert item["insertText"] == "pha"
    assert (len(scripted_host.questions), scripted_host.num_disconnected) == (1, 0)


async def test_secrets_stay_here(ask, scripted_host) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    await ask(f'aws_key = "{key}"\nx = <|>\npassword = "hunter2secret9"\n')
    assert key not in str(scripted_host.questions)
    assert "<redacted:" in scripted_host.questions[0]["prefix"]


@pytest.mark.parametrize("name", [".env", "deploy/server.pem", "notes.secret", "build/out.py"])
async def test_excluded_files_are_never_asked_about(
    scripted_host, start_server, tmp_path, name
) -> None:
    (tmp_path / ".gitignore").write_text("build/\n")
    client = await start_server(scripted_host.url, "--exclude", "*.secret")
    await client.initialize(root=tmp_path)
    uri = (tmp_path / name).as_uri()
    await client.open(uri, "x = ")
    assert await client.complete(uri, 4) == []
    await client.open(URI, "x = ")
    assert len(await client.complete(URI, 4)) == 1
    assert [question["path"] for question in scripted_host.questions] == ["a.py"]
    assert sum(name in line for line in client.stderr) == 1
