"""A child ends with its parent, however the parent ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment, is_running, wait_for

from hone import processes

CHILD = """
import os, signal, sys, threading
from hone.processes import follow_parent
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
follow_parent(seconds=0.2)
print(os.getpid(), flush=True)
threading.Event().wait(60)
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], stdin=subprocess.PIPE)
child.wait()
"""

posix = pytest.mark.skipif(os.name != "posix", reason="signals and /proc")


@posix
@pytest.mark.parametrize("child", ["obedient", "stubborn"])
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_its_parent(child: str, ending: signal.Signals, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, child],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment(tmp_path),
    )
    assert parent.stdout
    process_id = int(parent.stdout.readline())
    assert is_running(process_id)
    parent.send_signal(ending)
    parent.wait(10)
    wait_for(lambda: not is_running(process_id), seconds=10, what="the child's end")


@posix
def test_a_child_that_does_not_listen_is_killed() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", code + "; time.sleep(60)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout
    child.stdout.readline()
    processes.stop(child, seconds=0.2)
    assert child.returncode == -signal.SIGKILL
    processes.stop(child)  # Stopping what has ended is harmless.


@posix
def test_a_night_is_polite(tmp_path: Path) -> None:
    code = (
        "import os; from hone.processes import cap_threads, lower_priority\n"
        "before = os.nice(0); lower_priority(); cap_threads(3)\n"
        "print(os.nice(0) - before, os.environ['OMP_NUM_THREADS'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["10", "3"]


@pytest.mark.parametrize(
    ("device", "visible", "named", "left"),
    [
        ("auto", None, "auto", "0"),
        ("cuda", None, "cuda", "0"),
        ("cuda:2", None, "cuda", "2"),
        ("cuda:1", "4,7", "cuda", "7"),
        ("cuda:2", "4,7", "cuda:2", "4,7"),  # there is none: torch says so
        ("auto", "", "auto", ""),  # all are hidden, and stay so
        ("cpu", None, "cpu", None),
        ("mps", None, "mps", None),
    ],
)
def test_a_process_that_trains_sees_one_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, visible: str | None, named: str, left: str | None
) -> None:
    """Trainers refuse more than one, and would take the first whatever was asked for."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert processes.see_one_gpu(device) == named
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == left
    monkeypatch.setenv("LOCAL_RANK", "1")  # `accelerate launch` has shared them out
    assert processes.see_one_gpu("cuda:1") == "cuda:1"
