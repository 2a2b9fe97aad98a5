"""The file by which editors find a host, between processes that live and die."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from lsp_server.editor.running_host import FILE_NAME, LOCK_NAME, address_in, announced

URL = "http://127.0.0.1:8751"
HOST = """
import sys
from pathlib import Path
from filelock import FileLock
from lsp_server.editor.running_host import LOCK_NAME, announced
data = Path(sys.argv[1])
with FileLock(data / LOCK_NAME), announced(data, sys.argv[2], "1.2.3"):
    print("up", flush=True)
    sys.stdin.read()
"""


def host(data: Path, url: str = URL) -> "subprocess.Popen[str]":
    """Start a process that announces itself, and wait until it has."""
    command = [sys.executable, "-c", HOST, str(data), url]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.communicate()  # closes its stdin, which ends it


def test_a_host_is_found_while_it_runs(tmp_path: Path) -> None:
    assert address_in(tmp_path) is None
    process = host(tmp_path)
    assert address_in(tmp_path) == URL
    assert address_in(tmp_path) == URL, "looking takes nothing away"
    file = tmp_path / FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"url": URL, "pid": process.pid, "version": "1.2.3"}
    end(process)
    assert not file.exists()
    assert address_in(tmp_path) is None


def test_what_a_killed_host_left_counts_no_more(tmp_path: Path) -> None:
    process = host(tmp_path)
    process.kill()
    process.communicate()
    assert (tmp_path / FILE_NAME).exists()
    assert address_in(tmp_path) is None
    other = host(tmp_path, "http://[::1]:8752")
    assert address_in(tmp_path) == "http://[::1]:8752"
    end(other)


@pytest.mark.parametrize(
    "content",
    [
        '{"url": "http://gpu.example:8750"}',
        '{"url": "http://192.168.1.5:8750"}',
        '{"url": "http://127.0.0.1.evil.example:8750"}',
        '{"url": "http://127.0.0.1@evil.example:8750"}',
        '{"url": "https://127.0.0.1:8750"}',
        '{"url": "http://127.0.0.1"}',
        '{"url": "http://127.0.0.1:99999"}',
        '{"url": 5}',
        '{"url": "http://127.0',
        '["http://127.0.0.1:8750"]',
        "\udcff",
        "",
    ],
)
def test_nothing_but_an_address_of_this_machine_is_believed(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content, encoding="utf-8", errors="surrogateescape")
    with FileLock(tmp_path / LOCK_NAME):
        assert address_in(tmp_path) is None


def test_a_host_of_other_machines_is_not_announced(tmp_path: Path) -> None:
    with announced(tmp_path, "http://192.168.1.5:8750", "1"):
        assert not (tmp_path / FILE_NAME).exists()


def test_a_folder_that_takes_no_file_stops_no_host(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with announced(tmp_path, URL, "1"):
        assert address_in(tmp_path) is None


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert address_in(tmp_path / "none") is None
    (tmp_path / FILE_NAME).write_text(json.dumps({"url": URL}))
    assert address_in(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
