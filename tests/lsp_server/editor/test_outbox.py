"""Events on disk: nothing put is lost, nothing acknowledged stays, whoever dies."""

import json
import logging
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from feedback_store.schemas import Event, EventKind, IngestReport, ItemReport
from lsp_server.editor.errors import OutboxError
from lsp_server.editor.outbox import REFUSED_NAME, Batch, Outbox

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
DEADLINE_S = 30.0

WRITER = """
import sys
from pathlib import Path
from datetime import UTC, datetime
from uuid import UUID
from feedback_store.schemas import Event, EventKind
from lsp_server.editor.outbox import Outbox

outbox = Outbox(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    event = Event.new(UUID(int=number), EventKind.SHOWN, 0, datetime.now(UTC), text="x" * 500)
    outbox.put([event])
    print(number, flush=True)
"""

ADOPTER = """
import sys
from pathlib import Path
from lsp_server.editor.outbox import Outbox

outbox = Outbox(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(outbox.adopt(), flush=True)
sys.stdin.readline()
"""


def event(number: int, text: str = "x") -> Event:
    return Event.new(UUID(int=number), EventKind.SHOWN, 0, NOON, text=text)


def events(*numbers: int) -> list[Event]:
    return [event(number) for number in numbers]


def numbers_in(batch: Batch) -> list[int]:
    return [UUID(str(e["completion_id"])).int for e in batch.events]


def report(batch: Batch, *statuses: str) -> IngestReport:
    told = statuses or ("stored",) * len(batch.events)
    items = [
        ItemReport.model_validate({"event_id": None, "status": status, "reason": f"it is {status}"})
        for status in told
    ]
    return IngestReport(items=tuple(items))


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("events-*.jsonl"))


def test_nothing_is_written_before_the_first_event(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    assert outbox.peek(10).events == ()
    assert outbox.adopt() == 0
    outbox.put([])
    outbox.close()
    assert not (tmp_path / "outbox").exists()


def test_events_come_back_whole_and_in_order_and_as_the_store_wants_them(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    sent = [event(1, 'line\n"quoted" \r\u2028 \U0001f600'), *events(2, 3)]
    outbox.put(sent[:1])
    outbox.put(sent[1:])
    batch = outbox.peek(10)
    assert [Event.model_validate(item) for item in batch.events] == sent
    assert numbers_in(outbox.peek(2)) == [1, 2]


def test_acknowledged_events_leave_the_disk(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(events(1, 2, 3))
    batch = outbox.peek(10)
    outbox.put(events(4))
    outbox.acknowledge(batch, report(batch, "stored", "duplicate", "stored"))
    rest = outbox.peek(10)
    assert numbers_in(rest) == [4]
    assert str(UUID(int=1)) not in files(tmp_path)[0].read_text()
    outbox.acknowledge(rest, report(rest))
    assert files(tmp_path)[0].read_bytes() == b""
    outbox.put(events(5))
    assert numbers_in(outbox.peek(10)) == [5]


def test_a_short_report_leaves_the_rest_waiting(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(events(1, 2, 3))
    batch = outbox.peek(10)
    outbox.acknowledge(batch, report(batch, "stored"))
    assert numbers_in(outbox.peek(10)) == [2, 3]
    outbox.acknowledge(batch, report(batch, "stored"))  # told twice
    assert numbers_in(outbox.peek(10)) == [2, 3]


def test_refused_events_are_kept_aside_with_the_reason(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(events(1, 2))
    batch = outbox.peek(10)
    outbox.acknowledge(batch, report(batch, "refused", "stored"))
    assert outbox.peek(10).events == ()
    line = json.loads((tmp_path / REFUSED_NAME).read_text())
    assert line["reason"] == "it is refused"
    assert line["event"]["completion_id"] == str(UUID(int=1))
    assert Outbox(tmp_path).adopt() == 0


def test_refused_events_never_grow_beyond_their_share(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, max_bytes=40_000)
    for number in range(100):
        outbox.put(events(number))
        batch = outbox.peek(10)
        outbox.acknowledge(batch, report(batch, "refused"))
    lines = (tmp_path / REFUSED_NAME).read_text().splitlines()
    assert (tmp_path / REFUSED_NAME).stat().st_size <= 40_000 / 8
    assert json.loads(lines[-1])["event"]["completion_id"] == str(UUID(int=99))
    assert all(json.loads(line)["reason"] for line in lines)


def test_at_the_size_cap_the_oldest_go_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(tmp_path, max_bytes=20_000)
    with caplog.at_level(logging.WARNING):
        for number in range(1, 201):
            outbox.put([event(number, "x" * 200)])
    kept = numbers_in(outbox.peek(500))
    assert kept == list(range(kept[0], 201))
    assert outbox.num_dropped == kept[0] - 1 > 100
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 20_000
    assert len(caplog.records) == 1


def test_a_batch_taken_before_dropping_is_acknowledged_without_harm(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, max_bytes=5_000)
    outbox.put(events(1, 2))
    batch = outbox.peek(10)
    outbox.put([event(number, "x" * 200) for number in range(3, 60)])
    kept = numbers_in(outbox.peek(500))
    outbox.acknowledge(batch, report(batch))
    assert numbers_in(outbox.peek(500)) == kept


def test_large_batches_stay_below_what_the_store_accepts(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put([event(number, "x" * 16_000) for number in range(1, 301)])
    got: list[int] = []
    while (batch := outbox.peek(500)).events:
        assert len(json.dumps(batch.events)) < 3_000_000
        got += numbers_in(batch)
        outbox.acknowledge(batch, report(batch))
    assert got == list(range(1, 301))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps modes elsewhere")
def test_files_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    outbox = Outbox(folder)
    outbox.put(events(1))
    batch = outbox.peek(1)
    outbox.acknowledge(batch, report(batch, "refused"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}


def test_closing_an_empty_outbox_leaves_nothing_and_a_full_one_its_events(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(events(1))
    batch = outbox.peek(1)
    outbox.acknowledge(batch, report(batch))
    outbox.close()
    assert list(tmp_path.iterdir()) == []
    outbox.put(events(2))
    outbox.close()
    other = Outbox(tmp_path)
    assert other.adopt() == 1
    assert numbers_in(other.peek(10)) == [2]
    assert outbox.peek(10).events == ()


def test_a_file_in_use_is_not_adopted(tmp_path: Path) -> None:
    living = Outbox(tmp_path)
    living.put(events(1))
    assert Outbox(tmp_path).adopt() == 0
    assert numbers_in(living.peek(10)) == [1]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    lines = [e.model_dump_json().encode() for e in events(1, 2, 3)]
    (tmp_path / "events-1-dead.jsonl").write_bytes(b"\n".join(lines)[:-20])
    (tmp_path / "events-2-dead.jsonl").write_bytes(b"")
    (tmp_path / "events-3-dead.jsonl").write_bytes(b"\x00\xff{]\n[1]\n" + lines[2] + b"\n")
    outbox = Outbox(tmp_path)
    assert outbox.adopt() == 3
    assert sorted(numbers_in(outbox.peek(10))) == [1, 2, 3]
    assert len(files(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file stands here")
    with pytest.raises(OutboxError, match="outbox"):
        Outbox(tmp_path / "outbox").put(events(1))


def test_syncing_is_spaced_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    now = [0.0]
    outbox = Outbox(tmp_path, clock=lambda: now[0])
    for _ in range(10):
        outbox.put(events(1))
    assert len(synced) == 1
    now[0] = 1.5
    outbox.put(events(2))
    assert len(synced) == 2


@pytest.mark.slow
def test_what_was_put_survives_being_killed_while_writing(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    while int(writer.stdout.readline()) < 200:
        pass
    writer.kill()  # SIGKILL: it is in the middle of writing
    told = [int(line) for line in writer.communicate()[0].splitlines()]
    last_put = told[-1] if told else 200
    outbox = Outbox(tmp_path)
    deadline = time.monotonic() + DEADLINE_S
    while not outbox.adopt() and time.monotonic() < deadline:
        pass
    got: list[int] = []
    while (batch := outbox.peek(500)).events:
        got += numbers_in(batch)
        outbox.acknowledge(batch, report(batch))
    assert got == list(range(1, len(got) + 1))
    assert len(got) >= last_put
    outbox.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_of_two_processes_that_adopt_exactly_one_gets_a_file(tmp_path: Path) -> None:
    for number in range(1, 21):
        dead = tmp_path / f"events-{number}-dead.jsonl"
        dead.write_text(event(number).model_dump_json() + "\n")
    adopters = [
        subprocess.Popen(
            [sys.executable, "-c", ADOPTER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    pipes = [(a.stdin, a.stdout) for a in adopters]
    for _, out in pipes:
        assert out is not None
        assert out.readline() == "ready\n"
    for into, _ in pipes:
        assert into is not None
        into.write("\n")
        into.flush()
    counts = [int(out.readline()) for _, out in pipes if out is not None]
    assert sum(counts) == 20
    kept = [line for path in files(tmp_path) for line in path.read_text().splitlines()]
    assert sorted(UUID(json.loads(line)["completion_id"]).int for line in kept) == list(
        range(1, 21)
    )
    for adopter in adopters:
        adopter.communicate("\n")
        assert adopter.returncode == 0
