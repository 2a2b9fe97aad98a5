"""Turns settings into a running Hone: the host, kept alive, and a training every night.

Both are child processes, so that a crash of one is a line on the screen and a restart. It knows
neither models nor databases; the children do.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from hone import preflight, processes, schedule
from hone.errors import HoneError
from hone.night import ENDINGS
from hone.serve import hold
from hone.settings import Settings

POLL_SECONDS = 0.1
START_SECONDS = 600.0  # A hub model has to be fetched first; anything local takes seconds.
STEADY_SECONDS = 60.0  # A host that lived this long has a clean record again.
EXIT_USAGE = 2


def run(settings: Settings, *, environment: Mapping[str, str]) -> int:
    """Supervise until SIGINT or SIGTERM; `environment` hands our settings to the children."""
    preflight.check_bind(settings)
    preflight.check_model(settings.model)
    preflight.check_data(settings.data)
    taken = f"data folder {settings.data} is in use by another `hone up`"
    with hold(settings.data / "up.lock", taken):
        preflight.check_port(settings)
        stopping = _stop_on_signals()
        host = Host(settings, environment)
        nights = Nights(settings, environment)
        try:
            return _supervise(settings, host, nights, stopping)
        finally:
            say("stopping")
            nights.stop()
            host.stop()


def _supervise(
    settings: Settings, host: "Host", nights: "Nights", stopping: threading.Event
) -> int:
    say(f"starting the host (model {settings.model}, device {settings.device}) ...")
    host.start()
    if not host.await_health(stopping):
        return host.exit_code
    for line in next_steps(settings):
        print(line, flush=True)
    while not stopping.wait(POLL_SECONDS):
        host.check()
        nights.check()
    return 0


class Host:
    """The `hone serve` child: started, watched, started again with growing pauses."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        """Prepare; nothing runs yet."""
        self._settings = settings
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at: float | None = None
        self._num_failures = 0
        self.exit_code = 0

    def start(self) -> None:
        """Start the child."""
        self._restart_at = None
        self._started_at = time.monotonic()
        self._child = processes.spawn(["serve"], self._environment)

    def await_health(self, stopping: threading.Event) -> bool:
        """Wait until the first host answers; False when it will not, or when told to stop."""
        deadline = self._started_at + START_SECONDS
        while not stopping.wait(POLL_SECONDS):
            health = preflight.health_of(self._settings.local_url)
            if health and health["status"] == "ok":
                seconds = time.monotonic() - self._started_at
                say(f"host ready in {seconds:.1f} s, {describe(health)}")
                return True
            code = self._child.poll() if self._child else 1
            if code is not None:
                # The child has said why on stderr; starting it again would say it again.
                self.exit_code = EXIT_USAGE if code == EXIT_USAGE else 1
                return False
            if time.monotonic() > deadline:
                raise HoneError(
                    f"the host did not answer at {self._settings.local_url} within "
                    f"{START_SECONDS:.0f} s: see {log_folder(self._settings) / 'host.log'}"
                )
        return False

    def check(self) -> None:
        """Notice a dead host, and start it again when its pause is over."""
        now = time.monotonic()
        if self._restart_at is not None:
            if now >= self._restart_at:
                self.start()
            return
        code = self._child.poll() if self._child else None
        if code is None:
            if now - self._started_at > STEADY_SECONDS:
                self._num_failures = 0
            return
        self._num_failures += 1
        pause = schedule.back_off_s(self._num_failures)
        self._restart_at = now + pause
        log = log_folder(self._settings) / "host.log"
        say(f"the host stopped (exit code {code}), starting again in {pause:.0f} s; see {log}")

    def stop(self) -> None:
        """Stop the child, if any."""
        if self._child:
            processes.stop(self._child)


class Nights:
    """The `hone train` child: started at its hour, reported in one line."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        """Plan the first night after `clock`'s now."""
        self._settings = settings
        self._environment = environment
        self._clock = clock
        self._due = schedule.next_night(settings.night.at, clock())
        self._child: subprocess.Popen[bytes] | None = None
        self._report_path = log_folder(settings) / "night.json"

    def check(self) -> None:
        """Start a night that is due; report one that has ended."""
        if self._child and self._child.poll() is not None:
            say(f"the night {told(self._child.returncode, self._report())}")
            processes.stop(self._child)  # Closes the pipe to it.
            self._child = None
        now = self._clock()
        if self._due and now >= self._due:
            self._due = schedule.next_night(self._settings.night.at, now)
            if self._child is None:
                self._start()

    def _start(self) -> None:
        """Start a night; that it cannot be started must not take the host down."""
        try:
            self._report_path.parent.mkdir(parents=True, exist_ok=True)
            with self._report_path.open("wb") as report:
                self._child = processes.spawn(["train", "--json"], self._environment, stdout=report)
        except OSError as error:
            say(f"the night could not start ({error}); the next one tries again")
        else:
            say("the night's training has started")

    def _report(self) -> bytes:
        try:
            return self._report_path.read_bytes()
        except OSError:  # Somebody tidied up the logs meanwhile.
            return b""

    def stop(self) -> None:
        """Stop a night that is running; the next one starts clean."""
        if self._child:
            processes.stop(self._child)


def told(code: int, output: bytes) -> str:
    """Say in a few words how a night ended, from its exit code and its JSON."""
    ending = ENDINGS.get(code, f"failed (exit code {code})")
    try:
        result = json.loads(output)
        return f"{ending}: {result['reasons'][0]}"
    except (ValueError, LookupError, TypeError):  # It was killed before it could say more.
        return ending


def next_steps(settings: Settings) -> list[str]:
    """Return the five lines that tell a person what to do next."""
    hone = Path(sys.executable).with_name("hone.exe" if os.name == "nt" else "hone")
    command = str(hone) if hone.exists() else f"{sys.executable} -m hone"
    data = f"--data {settings.data}"
    token = "HONE_TOKEN=... " if settings.token else ""
    lsp = f"{token}{command} lsp --url {settings.local_url} {data}"
    # A night looks at what the model named to it was asked; another one finds nothing.
    model = "" if settings.model == preflight.STARTER else f" --model {settings.model}"
    at = settings.night.at
    night = "only by hand (night.at is off)" if at == schedule.OFF else f"every night at {at}"
    return [
        f"  editor   let your editor start this language server (stdio): {lsp}",
        f"  look     {settings.local_url}/admin shows what is offered, kept and learned",
        f"  watch    {command} demo runs the whole loop in five to ten minutes",
        f"  train    {night}; now: {command} train {data}{model}",
        f"  logs     {log_folder(settings)}; check everything: {command} doctor {data}{model}; "
        "stop: Ctrl-C",
    ]


def describe(health: Mapping[str, object]) -> str:
    """Say in a few words what a host serves."""
    adapter = str(health.get("adapter") or "")[:12] or "none yet"
    return f"model {health['model']}, adapter {adapter}, device {health.get('device')}"


def log_folder(settings: Settings) -> Path:
    """Return where the logs are."""
    return settings.data / "logs"


def say(line: str) -> None:
    """Print one line for the person at the terminal, with the time."""
    print(f"{datetime.now():%H:%M:%S} {line}", flush=True)


def _stop_on_signals() -> threading.Event:
    stopping = threading.Event()
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    for number in (getattr(signal, name, None) for name in names):
        if number is not None:
            signal.signal(number, lambda *_: stopping.set())
    return stopping
