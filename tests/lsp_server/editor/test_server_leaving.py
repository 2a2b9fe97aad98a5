"""What an editor can show of what leaves: each record before it goes, and what was collected."""

import json

import pytest

URI = "file:///project/a.py"


async def test_who_traces_hears_of_each_record_before_it_leaves(
    scripted_host, start_server, tmp_path
) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(record=True, root=tmp_path, options={"trace": True})
    await client.open(URI, "x = ")
    (item,) = await client.complete(URI, 4)
    await client.feedback("rated", item, rating="up")
    await client.close(URI)
    await client.shutdown()
    told = [params for method, params in client.notifications if method == "hone/leaving"]
    sent = [{"what": "completion", **one} for one in scripted_host.questions]
    sent += [{"what": "event", **one} for one in scripted_host.events]
    assert {one["kind"] for one in scripted_host.events} >= {"shown", "rated"}
    assert sorted(map(json.dumps, told)) == sorted(map(json.dumps, sent))


@pytest.mark.parametrize("record", [True, False])
async def test_nobody_else_hears_of_it(scripted_host, start_server, tmp_path, record) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(record=record, root=tmp_path)
    await client.open(URI, "x = ")
    await client.complete(URI, 4)
    await client.shutdown()
    assert {method for method, _ in client.notifications} <= {"hone/status"}


async def test_what_was_collected_can_be_shown_and_what_still_waits(
    scripted_host, start_server, tmp_path
) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(record=True, root=tmp_path)
    await client.open(URI, "x = ")
    (item,) = await client.complete(URI, 4)
    await client.feedback("rated", item, rating="up")
    await scripted_host.until(lambda: len(scripted_host.events) == 2)
    while (await client.request("hone/collected", {}))["waiting"]:
        pass  # taken, but the answer that says so is on its way
    refuse = type(scripted_host.health())
    taken = scripted_host.take_events
    scripted_host.take_events = lambda _: refuse({}, 500)
    await client.feedback("rated", item, rating="down", comment="no")
    collected = await client.request("hone/collected", {})
    while not collected["waiting"] or len(collected["records"]) < 3:
        collected = await client.request("hone/collected", {})
    assert [one["what"] for one in collected["records"]] == ["completion", "event", "event"]
    assert collected["records"][0]["user"] == collected["user"]
    assert [one["data"]["comment"] for one in collected["waiting"]] == ["no"]
    assert collected["num_forgotten"] == 0
    scripted_host.take_events = taken


async def test_who_looks_is_told_before_the_answer_what_changed(
    scripted_host, start_server, tmp_path
) -> None:
    counts = iter(range(1, 100))
    kind = type(scripted_host.health())

    def status(_: object) -> object:
        today = {"num_shown": next(counts), "num_accepted": 0}
        return kind({"version": "0", "model": "m", "adapter": None, "today": today})

    scripted_host.status = status
    client = await start_server(scripted_host.url)
    await client.initialize(record=True, root=tmp_path)
    first = await client.wait_for("hone/status", lambda status: status["state"] == "ready")
    assert first["today"]["num_shown"] == 1
    await client.request("hone/look", {})
    assert client.notifications[-1][1]["today"]["num_shown"] == 2


async def test_nothing_is_collected_of_who_said_no(client, ask) -> None:
    await ask("x = <|>")
    collected = await client.request("hone/collected", {})
    assert collected == {"user": None, "records": [], "num_forgotten": 0, "waiting": []}
