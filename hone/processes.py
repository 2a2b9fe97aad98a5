"""Turns "run this beside me" into a child process that never outlives its parent.

The parent holds the write end of the child's stdin and never writes: when the parent ends, however
it ends, the child reads the end of the file and stops itself. Works wherever pipes do, without
process groups or signals. It does not know what the children do.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

LOG = logging.getLogger(__name__)
STOP_SECONDS = 10.0


def spawn(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: IO[bytes] | int = subprocess.DEVNULL,
) -> "subprocess.Popen[bytes]":
    """Start `hone ARGUMENTS` as a watched child; its errors go where ours go."""
    return subprocess.Popen(
        [sys.executable, "-m", "hone", *arguments, "--supervised"],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=stdout,
        # Ctrl-C in the terminal must reach only the parent, which stops its children in order.
        start_new_session=os.name == "posix",
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def stop(child: "subprocess.Popen[bytes]", *, seconds: float = STOP_SECONDS) -> None:
    """Ask the child to end; end it after `seconds` if it has not."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            LOG.warning("process %d did not stop in %.0f s and was killed", child.pid, seconds)
            child.kill()
            child.wait()
    if child.stdin:
        child.stdin.close()


def follow_parent(*, seconds: float = STOP_SECONDS) -> None:
    """Stop this process, orderly and then by force, as soon as its stdin ends."""

    def watch() -> None:
        # Not `sys.stdin`: a thread that waits inside its lock makes the interpreter abort at exit.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(seconds)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def lower_priority() -> None:
    """Let everything else on this machine go first."""
    if os.name == "posix":
        try:
            os.nice(10)
        except OSError as error:  # A sandbox may forbid it; training then merely competes.
            LOG.warning("the priority could not be lowered: %s", error)
        return
    import psutil

    psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)


def sleep_when_idle() -> None:
    """Let OpenMP's threads sleep soon after a job; has to run before torch is imported.

    By default they spin for milliseconds. On cores that are shared with anything, a night beside a
    host say, that takes the time from whoever has work: prefill became ten times slower. Sleeping
    at once (OMP_WAIT_POLICY=PASSIVE) costs an idle machine a third; a short spin costs neither.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def see_one_gpu(device: str) -> str:
    """Let this process see only the GPU that `device` names; return how it is named then.

    Trainers share their work out among all GPUs that they see, or refuse. It has to run before
    torch is imported. Who was started by `accelerate launch` has been given one already.
    """
    if device not in ("auto", "cuda") and not device.startswith("cuda:"):
        return device
    if "LOCAL_RANK" in os.environ:
        return device
    number = int(device.partition(":")[2] or 0)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number)] if seen is None else seen.split(",")[number : number + 1]
    if not names:  # torch will say that there is none of that number
        return device
    os.environ["CUDA_VISIBLE_DEVICES"] = names[0]
    return "auto" if device == "auto" else "cuda"


def cap_threads(num_threads: int) -> None:
    """Cap the numeric libraries' threads; has to run before any of them is imported."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(num_threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
