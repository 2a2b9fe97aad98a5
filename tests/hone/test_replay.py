"""`hone replay` from the command line: what is wrong is told in one line, before anything runs."""

import json
import os
import signal
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import is_running, refused, run, start, wait_for

from hone import replay
from hone.replay import Pace

FILES = ("bisect.py", "calendar.py", "cmd.py", "colorsys.py", "copy.py", "fnmatch.py", "glob.py")
FUNCTION = "def f(x):\n    y = x\n    return y\n"


def make_project(folder: Path) -> Path:
    library = Path(sysconfig.get_paths()["stdlib"])
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes((library / name).read_bytes())
    return folder


def make_repository(folder: Path, *, commit: bool) -> None:
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    folder.mkdir()
    (folder / "a.py").write_text(FUNCTION)
    subprocess.run([*git, "init", "--quiet"], check=True)
    if commit:
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", "begin"], check=True)


def refused_and_clean(home: Path, arguments: list[str], *parts: str) -> None:
    """Assert that a replay refuses to start in one line, and that nothing is new in `home`."""
    before = sorted(home.rglob("*"))
    refused(run(home, "replay", *arguments), *parts)
    assert sorted(home.rglob("*")) == before


ARGUMENTS = [
    (["nowhere"], ["nowhere", "does not exist"]),
    (["p", "--days", "0"], ["--days", "'0'", "from 1"]),
    (["p", "--quick", "--days", "4"], ["--quick", "2 short days"]),
    (["p", "--seeds", "x"], ["--seeds", "'x'", "from 1"]),
    (["p", "--arms", "magic"], ["'magic'", "code_sft"]),
    (["p", "--plant", "magic"], ["'magic'", "house-log"]),
    (["p", "--model", "./nothing"], ["'./nothing'"]),
    (["p", "p"], ["two sources are named p", "--data"]),
    (["p", "q/p.git"], ["two sources are named p", "--data"]),
    (["p", "--data", "p/bisect.py"], ["bisect.py", "--data"]),
    (["p", "--data", "/proc/replay"], ["/proc/replay", "--data"]),
    (["p", "--data", "host"], ["host", "data folder of a host"]),
    (["p", "--data", "share/hone"], ["share/hone", "data folder of a host"]),
    (["p", "--json", "/proc/out.json"], ["/proc", "--json"]),
    (["p", "--json", "q"], ["q is a folder", "--json"]),
    (["p", "--html", "p/bisect.py/x.html"], ["bisect.py", "--html"]),
    (["p", "--json", "out", "--html", "out"], ["out", "two files"]),
]


@pytest.mark.parametrize(("arguments", "parts"), ARGUMENTS)
def test_a_mistake_is_one_line(arguments: list[str], parts: list[str], tmp_path: Path) -> None:
    make_project(tmp_path / "p")
    make_project(tmp_path / "q" / "p.git")
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "hone.db").touch()
    refused_and_clean(tmp_path, arguments, *parts)


SOURCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "file": (lambda p: p.write_text(FUNCTION), "is a file"),
    "empty": (lambda p: p.mkdir(), "no Python"),
    "binary": (lambda p: (p.mkdir(), (p / "a.py").write_bytes(b"\0\1")), "binary 1"),
    "tiny": (lambda p: (p.mkdir(), (p / "a.py").write_text(FUNCTION)), "2 lines"),
    "no_commits": (lambda p: make_repository(p, commit=False), "2 lines"),
    "one_commit": (lambda p: make_repository(p, commit=True), "2 lines"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_with_too_little_is_one_line(kind: str, tmp_path: Path) -> None:
    make, part = SOURCES[kind]
    make(tmp_path / kind)
    refused_and_clean(tmp_path, [kind], kind, part)


def test_all_sources_are_read_before_the_first_is_replayed(tmp_path: Path) -> None:
    make_project(tmp_path / "p")
    (tmp_path / "empty").mkdir()
    refused_and_clean(tmp_path, ["p", "empty"], "empty", "no Python")


def test_a_folder_of_the_user_is_not_taken_for_a_replay_s(tmp_path: Path) -> None:
    make_project(tmp_path / "p")
    (tmp_path / "p" / "survey").mkdir()
    refused_and_clean(tmp_path, ["p", "--data", "."], str(tmp_path / "p"), "--data")


def test_another_replay_in_the_folder_is_told_at_once(tmp_path: Path) -> None:
    make_project(tmp_path / "p")
    folder = tmp_path / "hone-replay" / "p"
    folder.mkdir(parents=True)
    (folder / "replay.json").write_text(json.dumps({"lines_per_day": 4}))
    refused_and_clean(tmp_path, ["p"], "lines_per_day", "--data")
    (folder / "replay.json").write_text("torn")
    refused_and_clean(tmp_path, ["p"], "replay.json", "--data")


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_settings_of_the_user_reach_none(tmp_path: Path) -> None:
    make_project(tmp_path / "p")
    (tmp_path / "hone.toml").write_text('token = "a-secret-token"\nurl = "http://127.0.0.1:1"\n')
    user = {"HONE_URL": "http://127.0.0.1:2", "HONE_TRAIN__MIN_PAIRS": "7"}
    process = start(tmp_path, "replay", "p", "--quick", output=tmp_path / "out", **user)
    folder = tmp_path / "hone-replay" / "p" / "survey"
    asked = folder / "workspace"
    wait_for(asked.is_dir, seconds=120, what="typing")
    children = children_of(process.pid)
    assert children
    for child in children:
        variables = Path(f"/proc/{child}/environ").read_text().split("\0")
        assert [v.split("=")[0] for v in variables if v.startswith("HONE")] == ["HONE_CONFIG"]
    assert "secret" not in (folder / "data" / "hone.toml").read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 130  # what it started may be starting still
    wait_for(lambda: not any(map(is_running, children)), seconds=20, what="the children's end")
    assert "the same command goes on" in (tmp_path / "out").read_text()


def children_of(process_id: int) -> list[int]:
    tasks = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_the_time_left_follows_what_steps_take() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    now[0] = 30.0  # starting took a while, and nothing is done
    assert pace.left(1.0, 3000.0) == "about 62 min left"
    now[0] = 3000.0  # twice as slow as expected
    assert pace.left(1500.0, 3000.0) == "about 48 min left"
    assert pace.left(3000.0, 3000.0) == "about 1 min left"


def test_a_long_step_shows_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replay, "LINE_SECONDS", 0.01)
    told: list[str] = []

    def twice_again() -> bool:
        told.extend(capsys.readouterr().out.splitlines())
        return sum("night-1: 25%" in line for line in told) >= 3

    with replay._progress() as progress:
        progress("night-1", 10.0, 40.0)
        wait_for(twice_again, seconds=20, what="two more lines")
