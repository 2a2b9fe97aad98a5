"""`hone adapters`, through real processes, on a real registry."""

import getpass
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import refused, run
from safetensors.numpy import save_file

from feedback_store import adapter_files, audit
from feedback_store.database import Database, default_url
from feedback_store.registry import Registry

BASE = "b" * 64


@dataclass(frozen=True)
class House:
    """A data folder with two adapters, the oldest first; the database is closed."""

    home: Path
    adapters: tuple[str, str]

    @property
    def weights(self) -> Path:
        return self.home / "data" / "adapters" / self.adapters[0] / adapter_files.WEIGHTS

    def run(self, *arguments: str, code: int = 0) -> str:
        result = run(self.home, "adapters", *arguments, "--data", "data")
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code))


def register(registry: Registry, staging: Path, run_id: str) -> str:
    staging.mkdir()
    tensor = np.full((2, 2), len(run_id) + ord(run_id[-1]), dtype=np.float32)
    save_file({"layer.lora_A.weight": tensor}, staging / adapter_files.WEIGHTS)
    (staging / adapter_files.CONFIG).write_text('{"peft_type": "LORA"}')
    (staging / adapter_files.LINEAGE).write_text("[]")
    adapter_files.seal(
        staging, base_model="starter", base_sha256=BASE, run_id=run_id, recipe={}, probes=()
    )
    metrics = {"gain_nats": 0.1}
    return registry.register(staging, base_sha256=BASE, run_id=run_id, metrics=metrics).sha256


@pytest.fixture
def house(tmp_path: Path) -> House:
    data = tmp_path / "data"
    data.mkdir()
    database = Database.open(default_url(data))
    registry = Registry(database, data / "adapters")
    first = register(registry, data / "adapters" / ".staging-1", "night-1")
    second = register(registry, data / "adapters" / ".staging-2", "night-2")
    database.close()
    return House(tmp_path, (first, second))


def test_list_and_show(house: House) -> None:
    first, second = house.adapters
    assert [record["sha256"] for record in house.json("list")] == [second, first]
    listed = house.run("list")
    assert first[:12] in listed
    assert "candidate" in listed
    shown = house.json("show", first[:6])
    assert (shown["sha256"], shown["run_id"], shown["verified"]) == (first, "night-1", True)
    assert shown["metrics"] == {"gain_nats": 0.1}
    assert "verified" in house.run("show", first)


def test_an_empty_registry_says_what_serves(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Database.open(default_url(tmp_path / "data")).close()
    empty = House(tmp_path, ("", ""))
    assert "bare base model serves" in empty.run("list")
    assert empty.json("list") == []


def test_show_verifies(house: House) -> None:
    house.weights.chmod(0o600)
    content = bytearray(house.weights.read_bytes())
    content[-1] ^= 1
    house.weights.write_bytes(content)
    shown = house.json("show", house.adapters[0], code=1)
    assert shown["verified"] is False
    assert adapter_files.WEIGHTS in shown["problem"]
    assert "BROKEN" in house.run("show", house.adapters[0], code=1)
    house.run("promote", house.adapters[0], "--reason", "try", code=1)
    assert {record["state"] for record in house.json("list")} == {"candidate"}


def test_promote_and_roll_back_keep_who_and_why(house: House) -> None:
    first, second = house.adapters
    live = house.json("promote", first[:8], "--reason", "reads well", "--by", "Ada")["live"]
    assert (live["sha256"], live["promoted_by"], live["reason"]) == (first, "Ada", "reads well")
    live = house.json("promote", second, "--reason", "newer")["live"]
    assert (live["sha256"], live["promoted_by"]) == (second, getpass.getuser())
    assert house.json("rollback", "--reason", "run-on")["live"]["sha256"] == first
    assert house.json("rollback", "--reason", "start over", "--to", "base")["live"] is None
    assert "the bare base model" not in house.run("list")
    refused(
        run(house.home, "adapters", "rollback", "--reason", "again", "--data", "data"),
        "nothing to roll back",
    )


def test_a_canary_is_tried_out_and_ended(house: House) -> None:
    first, second = house.adapters
    tried = ["canary", first[:8], "--share", "12.5%", "--reason", "try it", "--by", "Ada"]
    assert "answers 12.5% of people" in house.run(*tried)
    canary = house.json("canary", second, "--share", "10%", "--reason", "the other")["canary"]
    assert (canary["sha256"], canary["state"], canary["canary_share"]) == (second, "canary", 0.1)
    states = {record["sha256"]: record["state"] for record in house.json("list")}
    assert states == {first: "candidate", second: "canary"}
    assert house.json("canary", "--end", "--reason", "seen")["canary"] is None
    assert {record["state"] for record in house.json("list")} == {"candidate"}
    database = Database.open(default_url(house.home / "data"))
    log = audit.entries(database, 5)
    database.close()
    assert [(line.who, line.action) for line in reversed(log)][1:] == [
        ("Ada", "adapter tried out"),
        (getpass.getuser(), "adapter canary ended"),
        (getpass.getuser(), "adapter tried out"),
        (getpass.getuser(), "adapter canary ended"),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--end"], "nothing to end"),
        ([], "--share"),
        (["ADAPTER"], "--share"),
        (["--share", "10%"], "--end alone"),
        (["ADAPTER", "--end"], "--end alone"),
        (["ADAPTER", "--share", "10%", "--end"], "--end alone"),
        (["ADAPTER", "--share", "0.1"], "no percentage"),
        (["ADAPTER", "--share", "100%"], "no percentage"),
        (["ADAPTER", "--share", "0%"], "no percentage"),
        (["ADAPTER", "--share", "nan%"], "no percentage"),
        (["ffff", "--share", "10%"], "ffff"),
    ],
)
def test_a_canary_that_cannot_be_is_one_line(
    house: House, arguments: list[str], words: str
) -> None:
    given = [house.adapters[0] if part == "ADAPTER" else part for part in arguments]
    refused(run(house.home, "adapters", "canary", *given, "--reason", "x", "--data", "data"), words)
    assert {record["state"] for record in house.json("list")} == {"candidate"}


@pytest.mark.parametrize("action", [["show"], ["promote", "--reason", "x"]])
def test_an_unknown_adapter_is_one_line(action: list[str], house: House) -> None:
    refused(run(house.home, "adapters", *action, "ffff", "--data", "data"), "ffff")


def test_an_adapter_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Database.open(default_url(tmp_path / "data")).close()
    (tmp_path / "data" / "adapters").write_text("somebody put a file here")
    refused(run(tmp_path, "adapters", "list", "--data", "data"), "adapters", "cannot be created")
