"""Feedback through a real process: every notification becomes the event it should, once."""

import json
from collections.abc import Awaitable, Callable

import pytest

from trainer.replay.lsp_client import InlineItem, LspClient

URI = "file:///project/a.py"
NOON_MS = 1_780_000_000_000
Events = Callable[..., Awaitable[list[dict]]]


@pytest.fixture
async def client(scripted_host, start_server) -> LspClient:
    """A client that agreed to recording, and that ticks the clock."""
    scripted_host.texts = ("return 1",)
    client = await start_server(scripted_host.url, "--clock", "client")
    await client.initialize(record=True)
    await client.tick(NOON_MS)
    return client


@pytest.fixture
def events(scripted_host) -> Events:
    """Wait until the store has an event of that kind; return all events of that kind."""

    async def of(kind: str, number: int = 1) -> list[dict]:
        def found() -> list[dict]:
            return [event for event in scripted_host.events if event["kind"] == kind]

        await scripted_host.until(lambda: len(found()) >= number)
        return found()

    return of


async def ask(client: LspClient, marked: str = "def f():\n    <|>\n") -> InlineItem:
    await client.open(URI, marked.replace("<|>", ""))
    (item,) = await client.complete(URI, marked.index("<|>"))
    return item


async def test_an_accept_by_command(client, events, scripted_host) -> None:
    item = await ask(client)
    await client.tick(NOON_MS + 1_000)
    await client.accept(URI, item)
    (shown,) = await events("shown")
    (accepted,) = await events("accepted")
    assert shown["data"]["text"] == "return 1"
    assert {shown["completion_id"], accepted["completion_id"]} == {item.completion_id}
    assert accepted["data"]["visible_ms"] == 1_000
    assert accepted["occurred_at"].startswith("2026-05-28T20:26:41")
    assert accepted["source"] == "explicit"
    (question,) = scripted_host.questions
    assert question["record"] is True
    assert len(question["user"]) == 32


async def test_an_accept_of_a_client_that_runs_no_command(scripted_host, start_server, events):
    scripted_host.texts = ("return 1",)
    client = await start_server(scripted_host.url)
    await client.initialize(record=True, name="Plain Editor")
    item = await ask(client)
    await client.accept(URI, item, command=False)
    assert (await events("accepted"))[0]["source"] == "inferred"


async def test_a_dismissal_and_a_rating(client, events) -> None:
    item = await ask(client)
    await client.feedback("dismissed", item, reason="escape")
    await client.feedback("rated", item, rating="down", comment="no", correction="return 2")
    assert (await events("dismissed"))[0]["data"]["reason"] == "escape"
    rated = (await events("rated"))[0]["data"]
    assert rated == {"rating": "down", "comment": "no", "correction": "return 2"}


async def test_cycling_tells_the_candidate(scripted_host, start_server, events) -> None:
    scripted_host.texts = ("alpha", "beta")
    client = await start_server(scripted_host.url, "--num-candidates", "2")
    await client.initialize(record=True)
    await client.open(URI, "x = ")
    _, second = await client.complete(URI, 4)
    await client.feedback("cycled", second)
    (cycled,) = await events("cycled")
    assert (cycled["candidate_index"], cycled["data"]["text"]) == (1, "beta")


async def test_copilot_style_notifications(client, events) -> None:
    item = await ask(client)
    await client.notify("textDocument/didShowCompletion", {"item": item.raw})
    await client.insert(URI, item.start, "return")
    await client.notify(
        "textDocument/didPartiallyAcceptCompletion", {"item": item.raw, "acceptedLength": 6}
    )
    (part,) = await events("partially_accepted")
    assert part["data"]["accepted_length"] == 6
    assert len(await events("shown")) == 1


async def test_hidden_stops_the_visible_time(client, events) -> None:
    item = await ask(client)
    await client.tick(NOON_MS + 700)
    await client.feedback("hidden", item)
    await client.tick(NOON_MS + 5_000)
    await client.feedback("dismissed", item)
    assert (await events("dismissed"))[0]["data"]["visible_ms"] == 700


async def test_time_behind_another_window_is_not_time_on_screen(client, events) -> None:
    item = await ask(client)
    await client.tick(NOON_MS + 300)
    await client.feedback("hidden", item)
    await client.tick(NOON_MS + 5_000)
    await client.feedback("shown", item, again=True)
    await client.tick(NOON_MS + 5_200)
    await client.feedback("dismissed", item)
    assert (await events("dismissed"))[0]["data"]["visible_ms"] == 500
    assert len(await events("shown")) == 1
    # What comes next is on screen at once, as for any client that does not tell of first times.
    (second,) = await client.complete(URI, item.start, trigger="invoked")
    await client.tick(NOON_MS + 6_200)
    await client.feedback("dismissed", second)
    assert (await events("dismissed", 2))[1]["data"]["visible_ms"] >= 1_000


async def test_who_asks_on_demand_gets_several_to_choose_from(client, scripted_host) -> None:
    scripted_host.texts = ("alpha", "beta", "gamma")
    await client.open(URI, "x = ")
    await client.complete(URI, 4)
    assert [i.text for i in await client.complete(URI, 4, trigger="invoked")] == [
        *scripted_host.texts
    ]
    assert [asked["num_candidates"] for asked in scripted_host.questions] == [1, 3]


async def test_typing_something_else_settles_after_ten_ticked_seconds(client, events) -> None:
    item = await ask(client)
    await client.tick(NOON_MS + 2_000)
    await client.type(URI, item.start, "x = 2")
    await client.tick(NOON_MS + 12_500)
    assert (await events("diverged"))[0]["data"]["text"] == "x = 2"
    (settled,) = await events("settled")
    assert settled["data"]["text"] == "x = 2"
    assert settled["data"]["reaches_suffix"] is True


async def test_what_was_offered_again_is_one_completion(client, events, scripted_host) -> None:
    item = await ask(client)
    caret = await client.type(URI, item.start, "ret")
    (rest,) = await client.complete(URI, caret)
    await client.tick(NOON_MS + 1_500)
    await client.accept(URI, rest)
    await client.close(URI)
    (accepted,) = await events("accepted")
    (settled,) = await events("settled")
    assert settled["data"]["text"] == "return 1"
    assert accepted["data"]["accepted_length"] == len("return 1")
    assert {event["completion_id"] for event in scripted_host.events} == {item.completion_id}


async def test_secrets_in_what_was_typed_stay_here(client, events, scripted_host) -> None:
    item = await ask(client)
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    await client.insert(URI, item.start, f'aws_key = "{key}"')
    await client.close(URI)
    await events("settled")
    assert key not in json.dumps(scripted_host.events)


async def test_feedback_waits_for_a_host_that_is_away(
    client, events, scripted_host, tmp_path
) -> None:
    item = await ask(client)
    await events("shown")
    refuse = type(scripted_host.health())
    good = scripted_host.take_events
    scripted_host.take_events = lambda _: refuse({}, 500)
    await client.accept(URI, item)
    await scripted_host.until(lambda: scripted_host.received[-1].path == "/v1/events")
    assert await client.shutdown() == 0
    waiting = [p.read_text() for p in (tmp_path / "data" / "outbox").glob("events-*.jsonl")]
    assert "accepted" in "".join(waiting)
    scripted_host.take_events = good
    assert not [e for e in scripted_host.events if e["kind"] == "accepted"]


async def test_what_a_killed_server_left_is_delivered_by_the_next(
    scripted_host, start_server, events
) -> None:
    scripted_host.texts = ("return 1",)
    client = await start_server(scripted_host.url)
    await client.initialize(record=True)
    refuse, good = type(scripted_host.health()), scripted_host.take_events
    scripted_host.take_events = lambda _: refuse({}, 503, {"Retry-After": "60"})
    await ask(client)
    await scripted_host.until(lambda: scripted_host.received[-1].path == "/v1/events")
    await client.kill()
    scripted_host.take_events = good
    successor = await start_server(scripted_host.url)
    await successor.initialize(record=True)
    assert (await events("shown"))[0]["data"]["text"] == "return 1"


async def test_a_closing_editor_leaves_its_last_events(scripted_host, start_server, tmp_path):
    """The pipe closes without a word: what is settled by it is on disk all the same."""
    client = await start_server(scripted_host.url)
    await client.initialize(record=True)
    refuse = type(scripted_host.health())
    scripted_host.take_events = lambda _: refuse({}, 500)
    await ask(client)
    client.process.stdin.close()
    assert await client.process.wait() == 0
    (left,) = (tmp_path / "data" / "outbox").glob("events-*.jsonl")
    kinds = [json.loads(line)["kind"] for line in left.read_text().splitlines()]
    assert kinds == ["shown", "settled"]


async def test_a_past_day_can_be_simulated(scripted_host, start_server, events) -> None:
    """The document is open before the first tick, which lies years before the system's time."""
    client = await start_server(scripted_host.url, "--clock", "client")
    await client.initialize(record=True)
    await client.open(URI, "x = ")
    await client.tick(1_000_000_000_000)
    await client.complete(URI, 4)
    assert (await events("shown"))[0]["occurred_at"].startswith("2001-09-09")
    assert scripted_host.questions[0]["requested_at"].startswith("2001-09-09")


async def test_another_candidate_that_replaces_more_is_followed(
    scripted_host, start_server, events
) -> None:
    scripted_host.texts = ("a", "b) + c")
    client = await start_server(scripted_host.url, "--num-candidates", "2", "--clock", "client")
    await client.initialize(record=True)
    await client.tick(NOON_MS)
    await client.open(URI, "x = f()\n")
    first, second = await client.complete(URI, 6)
    assert (first.end, second.end) == (6, 7)
    await client.accept(URI, second)
    await client.close(URI)
    (settled,) = await events("settled")
    assert (settled["data"]["text"], settled["candidate_index"]) == ("b) + c", 1)
    assert settled["data"]["reaches_suffix"] is True
