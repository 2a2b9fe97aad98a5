"""`hone train`, through real processes: what it prints and how it exits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from commands import environment, refused, run

from hone.night import Lines

pytestmark = pytest.mark.slow


def test_json_is_one_object(tmp_path: Path) -> None:
    result = run(tmp_path, "train", "--data", "data", "--min-pairs", "7", "--json")
    assert result.returncode == 3, result.stderr
    night = json.loads(result.stdout)
    assert (night["exit_code"], night["adapter"]) == (3, None)
    assert "need 7" in night["reasons"][0]
    assert (tmp_path / night["log_path"]).is_file()
    assert result.stderr == ""


def test_one_night_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with filelock.FileLock(tmp_path / "data" / "train.lock"):
        result = run(tmp_path, "train", "--data", "data")
    assert result.returncode == 4
    assert "another one is running" in result.stdout


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_hub_model_that_cannot_be_fetched_is_one_line(form: list[str], tmp_path: Path) -> None:
    model = "no-such-owner/no-such-model"
    result = run(tmp_path, "train", "--data", "data", "--model", model, *form, HF_HUB_OFFLINE="1")
    refused(result, model, "cannot be fetched")
    if form:
        assert json.loads(result.stdout)["exit_code"] == 2


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "hone", "train", "--data", "data"]
    clean = environment(tmp_path, TERM="xterm", COLUMNS="100")
    with subprocess.Popen(command, cwd=tmp_path, env=clean, stdout=theirs, stdin=theirs) as night:
        os.close(theirs)
        screen = b""
        while piece := _read(ours):
            screen += piece
    os.close(ours)
    assert night.returncode == 3
    assert b"gather" in screen
    assert b"1/1" in screen
    assert b"kept what is live" in screen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says EIO once the other end is closed.
        return b""


def test_lines_tell_every_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for done in range(101):
        lines("train", done, 100)
    lines("evaluate", 0, 0)
    told = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert told == [
        "train",
        "train: 25 of 100",
        "train: 50 of 100",
        "train: 75 of 100",
        "train: 100 of 100",
        "evaluate",
    ]
