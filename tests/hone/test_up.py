"""`hone up` and `hone serve` as real processes: they start, restart, refuse and stop."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from commands import free_port, is_running, refused, run, start, wait_for

from hone import processes, up
from hone.configuration import load
from hone.preflight import health_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals and /proc"),
]
START_SECONDS = 60.0


@dataclass(frozen=True)
class Running:
    """A `hone up` that answers."""

    home: Path
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def screen(self) -> str:
        return (self.home / "screen").read_text()

    def host_id(self) -> int:
        """The process id of the `hone serve` child, 0 when there is none."""
        folder = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        children = [int(child) for child in folder.read_text().split()]
        return next((child for child in children if is_running(child)), 0)

    def await_health(self) -> None:
        wait_for(lambda: health_of(self.url), seconds=START_SECONDS, what="the host's health")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("up")
    port = free_port()
    arguments = ["up", "--data", str(home / "data"), "--port", str(port)]
    process = start(home, *arguments, output=home / "screen")
    hone = Running(home, port, process)
    try:
        wait_for(lambda: "  logs  " in hone.screen, seconds=START_SECONDS, what="the five lines")
        yield hone
    finally:
        process.kill()
        process.wait()


def test_it_says_what_to_do_next_in_five_lines(running: Running) -> None:
    lines = [line for line in running.screen.splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in lines] == ["editor", "look", "watch", "train", "logs"]
    assert f"lsp --url {running.url}" in lines[0]
    assert f"{running.url}/admin" in lines[1]
    health = health_of(running.url)
    assert health
    assert (health["status"], health["model"], health["adapter"]) == ("ok", "starter", None)


def test_a_second_one_is_refused(running: Running) -> None:
    data = ["--data", str(running.home / "data")]
    taken = ["--port", str(running.port)]
    other = ["--port", str(free_port())]
    refused(run(running.home, "up", *data, *other), "another `hone up`", "--data")
    refused(run(running.home, "serve", *data, *other), "another host", "--data")
    refused(run(running.home, "serve", "--data", "d2", *taken), "a Hone that serves starter")


def test_the_doctor_sees_it(running: Running) -> None:
    data = str(running.home / "data")
    result = run(running.home, "doctor", "--data", data, "--port", str(running.port))
    assert result.returncode == 0, result.stdout
    assert f"{running.url} serves starter" in result.stdout


def test_a_killed_host_comes_back(running: Running) -> None:
    killed = running.host_id()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: running.host_id() not in {0, killed}, seconds=10, what="a new host")
    running.await_health()
    assert "the host stopped (exit code -9), starting again in 1 s" in running.screen


def test_the_host_ends_with_a_killed_supervisor(tmp_path: Path) -> None:
    port = free_port()
    process = start(tmp_path, "up", "--data", "d", "--port", str(port), output=tmp_path / "screen")
    hone = Running(tmp_path, port, process)
    hone.await_health()
    host = hone.host_id()
    process.kill()
    process.wait()
    wait_for(lambda: not is_running(host), seconds=15, what="the host's end")


def test_it_stops_when_told(running: Running) -> None:
    """The last test of the module: it ends the process that the others share."""
    running.await_health()
    host = running.host_id()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) == 0
    assert not is_running(host)
    assert health_of(running.url) is None
    assert "Traceback" not in running.screen


def test_a_night_starts_at_its_hour_and_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime(2026, 11, 20, 2, 59, 59).astimezone()
    settings = load({"data": str(tmp_path / "data"), "night.at": "03:00"})
    up.log_folder(settings).mkdir(parents=True)
    nights = up.Nights(settings, {"HONE_DATA": str(settings.data)}, clock=lambda: now)
    nights.check()
    assert capsys.readouterr().out == ""
    now += timedelta(seconds=2)
    nights.check()
    assert "training has started" in capsys.readouterr().out

    def report() -> str:
        nights.check()
        return capsys.readouterr().out

    line = wait_for(report, seconds=START_SECONDS, what="the end of the night")
    assert "the night kept what is live:" in line
    nights.check()
    assert capsys.readouterr().out == ""


def test_a_night_that_cannot_start_leaves_the_host_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime(2026, 11, 20, 2, 59, 59).astimezone()
    settings = load({"data": str(tmp_path / "data"), "night.at": "03:00"})
    settings.data.mkdir()
    up.log_folder(settings).write_text("somebody put a file here")
    nights = up.Nights(settings, {}, clock=lambda: now)
    now += timedelta(hours=6)  # the machine slept over the hour
    nights.check()
    assert "the night could not start" in capsys.readouterr().out
    nights.check()
    assert capsys.readouterr().out == ""


def test_what_is_printed_to_be_pasted_names_the_model_and_the_folder(tmp_path: Path) -> None:
    settings = load({"data": str(tmp_path), "model": "owner/name"})
    lines = up.next_steps(settings)
    assert len(lines) == 5
    for line, command in ((lines[3], "train"), (lines[4], "doctor")):
        assert f"{command} --data {tmp_path} --model owner/name" in line


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        (0, b'{"reasons": ["better"]}', "promoted a new adapter: better"),
        (3, b'{"reasons": ["12 pairs", "100 needed"]}', "kept what is live: 12 pairs"),
        (4, b"", "did not start: another one is running"),
        (2, b'{"reasons": ["no model"]}', "could not start: no model"),
        (1, b"torn {", "failed (exit code 1)"),
        (-9, b"", "failed (exit code -9)"),
    ],
)
def test_how_a_night_is_told(code: int, output: bytes, expected: str) -> None:
    assert up.told(code, output) == expected


def test_a_child_gets_an_environment_and_a_watched_stdin(tmp_path: Path) -> None:
    child = processes.spawn(["serve"], {"HONE_PROT": "1"})
    assert child.wait(30) == 2
    assert child.stdin
    child.stdin.close()
