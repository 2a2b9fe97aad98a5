"""What must stay in the editor process, driven through a real one: secrets, and whole files."""

import json
import signal
import sys
from pathlib import Path

import pytest

TOKEN = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


async def is_left_alone(client, path: Path) -> bool:
    """Open a document and ask: the scripted host always has something to say."""
    await client.open(path.as_uri(), "x = ")
    return await client.complete(path.as_uri(), 4) == []


async def test_no_secret_leaves_whatever_carries_it(scripted_host, start_server, tmp_path) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(record=True, root=tmp_path)
    uri = (tmp_path / f"{TOKEN}" / "a.py").as_uri()
    await client.open(uri, f"a = '{TOKEN}'\nx = \nb = '{TOKEN}'\n")
    at = client.texts[uri].index("\nb")
    (item,) = await client.complete(uri, at)
    about = {"rating": "down", "comment": f"use {TOKEN}", "correction": f"'{TOKEN}'"}
    await client.feedback("rated", item, **about)
    await client.feedback("dismissed", item, reason=f"not {TOKEN}")
    await client.insert(uri, at, f"'{TOKEN}'")
    await client.close(uri)
    await client.shutdown()
    sent = json.dumps([scripted_host.questions, scripted_host.events])
    assert {"rated", "dismissed", "settled"} <= {e["kind"] for e in scripted_host.events}
    assert TOKEN not in sent
    kept = "".join(p.read_text("utf-8", "replace") for p in tmp_path.rglob("*") if p.is_file())
    assert TOKEN not in kept


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (".kube", "config"),
        (".ssh", "config"),
        (".aws", "config"),
        ("project", ".env"),
        ("project/sub", "hidden.py"),
        ("project/sub/deeper", "hidden.py"),
    ],
)
@pytest.mark.parametrize("opened", ["folder", "parent", "nothing"])
async def test_files_that_stay(scripted_host, start_server, tmp_path, folder, name, opened) -> None:
    home = tmp_path / "home"
    (home / "project" / "sub" / "deeper").mkdir(parents=True)
    (home / "project" / ".git").mkdir()
    (home / "project" / "sub" / ".honeignore").write_text("hidden.py\n")
    root = {"folder": home / folder, "parent": (home / folder).parent, "nothing": None}[opened]
    client = await start_server(scripted_host.url)
    await client.initialize(root=root)
    assert await is_left_alone(client, home / folder / name)
    assert not await is_left_alone(client, home / folder / "other.py") or folder[0] == "."


async def test_a_saved_ignore_file_is_heeded_at_once(scripted_host, start_server, tmp_path) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(root=tmp_path)
    document, ignoring = tmp_path / "a.py", tmp_path / ".honeignore"
    assert not await is_left_alone(client, document)
    ignoring.write_text("a.py\n")
    await client.save(ignoring.as_uri())
    await client.insert(document.as_uri(), 4, "1")
    assert await client.complete(document.as_uri(), 5) == []
    assert len(scripted_host.questions) == 1


async def test_an_editor_may_exclude_more_than_the_settings_do(
    scripted_host, start_server, tmp_path
) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(root=tmp_path, options={"exclude": ["*.sql", 7]})
    assert await is_left_alone(client, tmp_path / "a.sql")
    assert not await is_left_alone(client, tmp_path / "a.py")


async def test_an_editor_hears_which_documents_are_left_alone(
    scripted_host, start_server, tmp_path
) -> None:
    client = await start_server(scripted_host.url)
    await client.initialize(root=tmp_path)
    secret, ignoring = (tmp_path / ".env").as_uri(), tmp_path / ".honeignore"
    plain = (tmp_path / "a.py").as_uri()
    await client.open(plain, "x = ")
    await client.open(secret, "KEY=1")
    told = await client.wait_for("hone/excluded", lambda said: said["uri"] == secret)
    assert "holds secrets" in told["reason"]
    ignoring.write_text("a.py\n")
    await client.save(ignoring.as_uri())
    told = await client.wait_for("hone/excluded", lambda said: said["uri"] == plain)
    assert "ignore" in told["reason"]
    await client.close(secret)
    await client.wait_for("hone/excluded", lambda said: said == {"uri": secret, "reason": None})


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
async def test_an_editor_in_a_hurry_loses_no_feedback(
    scripted_host, start_server, tmp_path
) -> None:
    """Neovim leaves without waiting: its servers get SIGTERM."""
    client = await start_server(scripted_host.url)
    await client.initialize(record=True, name="Plain Editor")
    refuse = type(scripted_host.health())
    scripted_host.take_events = lambda _: refuse({}, 500)
    await client.open("file:///a.py", "x = ")
    (item,) = await client.complete("file:///a.py", 4)
    await client.accept("file:///a.py", item, command=False)
    await client.complete("file:///a.py", 4)  # whatever was sent before it has been heard
    client.process.send_signal(signal.SIGTERM)
    assert await client.process.wait() == 0
    (left,) = (tmp_path / "data" / "outbox").glob("events-*.jsonl")
    kinds = [json.loads(line)["kind"] for line in left.read_text().splitlines()]
    # What is settled last is the question after the accept, which was on its way.
    assert kinds[:2] == ["shown", "accepted"]
    assert set(kinds[2:]) == {"settled", "persisted"}
