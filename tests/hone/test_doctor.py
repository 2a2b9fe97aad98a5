"""What the doctor finds, and that looking changes nothing."""

import json
import os
import re
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from commands import free_port, run


def findings(home: Path, *arguments: str, code: int, **variables: str) -> dict[str, Any]:
    """Run the doctor; return what it says by the name of the check, the last of each."""
    result = run(home, "doctor", "--json", "--data", "data", *arguments, **variables)
    assert result.returncode == code, result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert report["ok"] == (code == 0)
    return {finding["name"]: finding for finding in report["checks"]}


def test_a_fresh_machine_is_well_and_stays_untouched(tmp_path: Path) -> None:
    found = findings(tmp_path, "--port", str(free_port()), code=0)
    assert {"python", "packages", "device", "model", "data", "disk", "database", "host"} <= set(
        found
    )
    assert found["host"]["level"] == "warn"
    assert found["host"]["advice"] == "hone up"
    assert list(tmp_path.iterdir()) == []


def test_lines_for_a_person(tmp_path: Path) -> None:
    result = run(tmp_path, "doctor", "--data", "data", "--port", str(free_port()))
    assert result.returncode == 0
    assert re.fullmatch(r"nothing fails; see \d marked WARN", result.stdout.splitlines()[-1])
    assert all(line[:4] in {"ok  ", "WARN", "FAIL"} for line in result.stdout.splitlines()[:-1])


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "hone.db").write_bytes(b"no database at all" * 64)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = findings(tmp_path, "--port", str(port), "--model", "./gone", code=1)
    for name, part in (("database", "hone.db"), ("host", str(port)), ("model", "./gone")):
        assert found[name]["level"] == "fail"
        assert part in found[name]["message"]
        assert found[name]["advice"]


def test_a_damaged_database_is_found(tmp_path: Path) -> None:
    from feedback_store.database import Database, default_url

    data = tmp_path / "data"
    data.mkdir()
    Database.open(default_url(data)).close()
    intact = findings(tmp_path, "--port", str(free_port()), code=0)
    assert "intact" in intact["database"]["message"]
    damaged = bytearray((data / "hone.db").read_bytes())
    damaged[3 * 4096 :] = os.urandom(len(damaged) - 3 * 4096)
    (data / "hone.db").write_bytes(damaged)
    found = findings(tmp_path, "--port", str(free_port()), code=1)
    assert found["database"]["level"] == "fail"


def test_an_adapter_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    from feedback_store.database import Database, default_url

    (tmp_path / "data").mkdir()
    Database.open(default_url(tmp_path / "data")).close()
    (tmp_path / "data" / "adapters").write_text("somebody put a file here")
    found = findings(tmp_path, "--port", str(free_port()), code=1)
    assert found["adapters"]["level"] == "fail"
    assert "cannot be created" in found["adapters"]["message"]
    assert "check itself failed" not in found["adapters"]["message"]


def test_waiting_feedback_is_noticed(tmp_path: Path) -> None:
    outbox = tmp_path / "data" / "outbox"
    outbox.mkdir(parents=True)
    waiting = outbox / "1.jsonl"
    waiting.write_text("{}\n")
    port = str(free_port())
    assert findings(tmp_path, "--port", port, code=0)["outbox"]["level"] == "ok"
    old = time.time() - 7200
    os.utime(waiting, (old, old))
    assert findings(tmp_path, "--port", port, code=0)["outbox"]["level"] == "warn"


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has a GPU")
    found = findings(tmp_path, "--port", str(free_port()), "--device", "cuda", code=1)
    assert found["device"]["level"] == "fail"


def test_a_token_that_ends_soon_is_noticed(tmp_path: Path) -> None:
    port = str(free_port())
    add = ("users", "add", "--scope", "editor", "--data", "data")
    for name, days in (("ada", "365"), ("bob", "13")):
        assert run(tmp_path, *add, name, "--days", days).returncode == 0
    lines = run(tmp_path, "doctor", "--data", "data", "--port", port).stdout.splitlines()
    (warned, told) = [line for line in lines if "  tokens " in line]
    assert warned.startswith("WARN")
    assert "the last token of bob ends on 20" in warned
    assert "2 users" in told
    assert run(tmp_path, *add, "bob").returncode == 0
    assert findings(tmp_path, "--port", port, code=0)["tokens"]["level"] == "ok"
    lines = run(tmp_path, "doctor", "--data", "data", "--port", port).stdout.splitlines()
    assert not [line for line in lines if "bob" in line]


def test_a_store_that_nobody_looks_after_is_noticed(tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    from sqlalchemy import update
    from store_material import served

    from feedback_store import barring
    from feedback_store.completions import record_completions
    from feedback_store.database import Database, default_url
    from feedback_store.models import AuditRow

    (tmp_path / "data").mkdir()
    database = Database.open(default_url(tmp_path / "data"))
    now = datetime.now(UTC)
    place = ("--port", str(free_port()))
    barring.note_rules(database, now)
    fresh = findings(tmp_path, *place, code=0)
    assert {fresh[name]["level"] for name in ("store", "retention", "backup", "scan")} == {"ok"}
    assert "can be written" in fresh["store"]["message"]
    record_completions(database, [served(served_at=now - timedelta(days=400))])
    found = findings(tmp_path, *place, code=0)
    assert {found[name]["level"] for name in ("retention", "backup", "scan")} == {"warn"}
    assert "400 of 365 days" in found["retention"]["message"]
    assert found["scan"]["advice"] == "hone store scan"
    for action in (("scan",), ("backup", "copy.tar")):
        assert run(tmp_path, "store", *action, "--data", "data").returncode == 0
    found = findings(tmp_path, *place, code=0)
    assert {found[name]["level"] for name in ("backup", "scan")} == {"ok"}
    with database.session() as session:
        session.execute(update(AuditRow).values(happened_at=now - timedelta(days=9)))
    assert "9 days ago" in findings(tmp_path, *place, code=0)["backup"]["message"]
    database.close()
