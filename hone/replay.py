"""Turns `hone replay` into a replay with a progress bar, a table, and the files asked for.

The replay itself is `trainer.replay`; this module checks the arguments, shows how long it still
takes and writes the report. It does not know what is measured.
"""

import logging
import os
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hone import preflight, processes
from hone.errors import HoneError, UsageError, one_line
from hone.settings import Settings

if TYPE_CHECKING:
    from trainer.replay.config import ReplayConfig
    from trainer.replay.report import ReplayReport
    from trainer.replay.steps import Progress

INTERRUPTED = 130
LINE_SECONDS = 30.0  # without a terminal, a line every so often
BELIEVED_SECONDS = 120.0  # of what steps should take; what they do take weighs more and more


def run(settings: Settings, options: Namespace) -> int:
    """Replay every source in turn and report on all of them together; 0 when it ended.

    Raises UsageError (2) for what has to change first, HoneError (1) when something failed.
    """
    preflight.check_model(settings.model)
    _check_folders(settings, options)
    processes.sleep_when_idle()
    settings = settings.model_copy(update={"device": processes.see_one_gpu(settings.device)})
    logging.getLogger().addHandler(logging.NullHandler())
    configs = _configs(settings, options)
    from trainer.errors import TrainerError
    from trainer.replay.prepare import check
    from trainer.replay.report import merge, table

    try:
        for config in configs:  # all of them before the first takes its hour
            check(config)
    except TrainerError as error:
        raise UsageError(one_line(error)) from error
    reports = [_replay(config) for config in configs]
    report = reports[0] if len(reports) == 1 else merge(reports)
    try:
        _write(report, options.json, options.html)
    finally:
        print(table(report))
    return 0


def _replay(config: "ReplayConfig") -> "ReplayReport":
    from feedback_store.errors import StoreError
    from lsp_server.engine.errors import EngineError, ModelError
    from trainer.errors import SourceError, TrainerError
    from trainer.replay.run import run as replay

    print(f"replay of {config.source} in {config.data} (goes on where it was left)", flush=True)
    try:
        with _progress() as progress:
            return replay(config, progress)
    except (SourceError, ModelError) as error:
        raise UsageError(one_line(error)) from error
    except (TrainerError, EngineError, StoreError) as error:
        raise HoneError(one_line(error)) from error
    except KeyboardInterrupt:
        print("hone: interrupted; the same command goes on with its last step", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # a thread may be training, and the interpreter would wait for it


def _check_folders(settings: Settings, options: Namespace) -> None:
    """Raise UsageError for places that could not be written when an hour has passed."""
    data: Path = options.data.absolute()
    is_a_hosts = any((data / name).exists() for name in ("hone.db", "host.lock"))
    if is_a_hosts or data.resolve() == settings.data.resolve():
        raise UsageError(f"{data} is the data folder of a host: name another with --data")
    _check_writable(data, "--data")
    if options.json and options.json == options.html:
        raise UsageError(f"{options.json} cannot hold both reports: name two files")
    for flag, file in (("--json", options.json), ("--html", options.html)):
        if file is None:
            continue
        if file.is_dir():
            raise UsageError(f"{file} is a folder: name a file with {flag}")
        _check_writable(file.absolute().parent, flag)
        if file.exists() and not os.access(file, os.W_OK):
            raise UsageError(f"{file} cannot be written: name another with {flag}")


def _check_writable(folder: Path, flag: str) -> None:
    """Raise UsageError unless a folder can be written, or made; leaves nothing there."""
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        with tempfile.TemporaryDirectory(dir=there):
            pass
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror or error}): choose another with {flag}"
        ) from error


def _configs(settings: Settings, options: Namespace) -> "list[ReplayConfig]":
    from trainer.replay.config import QUICK_DAYS, USUAL_DAYS, ReplayConfig
    from trainer.replay.source import name_of

    if options.quick and ((options.days or 0) > QUICK_DAYS or options.seeds > 1):
        raise UsageError(
            f"--quick plays {QUICK_DAYS} short days of one seed: without it there are more"
        )
    model = settings.model
    if model != preflight.STARTER and Path(model).is_dir():
        model = str(Path(model).absolute())  # the children work somewhere else
    for source in options.source:
        if not source.exists():
            raise UsageError(f"{source} does not exist: name a folder or a git repository")
    configs = [
        ReplayConfig(
            source=source.resolve(),
            data=options.data.absolute(),
            num_days=options.days or USUAL_DAYS,
            num_seeds=options.seeds,
            arms=_arms(options.arms),
            plant=_plant(options.plant),
            model=model,
            device=settings.device,
        )
        for source in options.source
    ]
    names = Counter(name_of(config.source) for config in configs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"two sources are named {twice[0]}: replay them with different --data")
    return [config.quick() if options.quick else config for config in configs]


def _arms(text: str | None) -> tuple[str, ...]:
    from trainer.replay.config import ARMS, FROZEN, LOOP

    if text is None:
        return ARMS
    wanted = [arm.strip() for arm in text.split(",") if arm.strip()]
    unknown = sorted(set(wanted) - set(ARMS))
    if unknown:
        raise UsageError(f"unknown arm {unknown[0]!r}: choose from {', '.join(ARMS)}")
    return tuple(arm for arm in ARMS if arm in {*wanted, FROZEN, LOOP})


def _plant(name: str | None) -> str | None:
    from trainer.replay.plant import CONVENTIONS

    if name is not None and name not in CONVENTIONS:
        raise UsageError(f"unknown convention {name!r}: choose from {', '.join(CONVENTIONS)}")
    return name


def _write(report: "ReplayReport", json_file: Path | None, html_file: Path | None) -> None:
    from trainer.replay import page

    texts = ((json_file, report.to_json), (html_file, partial(page.render, report)))
    for file, make_text in texts:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(make_text(), encoding="utf-8")
            print(f"written: {file}")


@contextmanager
def _progress() -> "Iterator[Progress]":
    """Yield what a replay reports to: a bar with the time left, or a line now and then."""
    if not sys.stdout.isatty():
        with _Lines() as lines:
            yield lines
        return
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description:<32}"),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("{task.fields[left]}"),
    )
    with rich.Progress(*columns) as bars:
        task, pace = bars.add_task("starting", left=""), Pace()

        def report(label: str, done: float, total: float) -> None:
            left = pace.left(done, total)
            bars.update(task, description=label, completed=done, total=total, left=left)

        yield report


class Pace:
    """How long it still takes, by how long it took so far.

    Steps are told in the seconds that they should take; at first that is believed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to measure."""
        self._clock, self._begun = clock, clock()

    def left(self, done: float, total: float) -> str:
        """Return the time left in words, given seconds' worth done now and in all."""
        so_far = self._clock() - self._begun
        factor = (so_far + BELIEVED_SECONDS) / (done + BELIEVED_SECONDS)
        return f"about {max(1, round(factor * (total - done) / 60))} min left"


class _Lines:
    """Progress as plain lines: one per step, and one every half minute within it."""

    def __init__(self) -> None:
        self._pace, self._told_at = Pace(), 0.0
        self._last = ("starting", 0.0, 1.0)
        self._lock, self._ended = threading.Lock(), threading.Event()

    def __enter__(self) -> "_Lines":
        threading.Thread(target=self._tell_again, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def __call__(self, label: str, done: float, total: float) -> None:
        with self._lock:
            is_new, self._last = label != self._last[0], (label, done, total)
            if is_new or time.monotonic() > self._told_at + LINE_SECONDS:
                self._tell()

    def _tell_again(self) -> None:
        """Show that it goes on where a long step tells nothing of itself."""
        while not self._ended.wait(LINE_SECONDS / 2):
            with self._lock:
                if time.monotonic() > self._told_at + LINE_SECONDS:
                    self._tell()

    def _tell(self) -> None:
        label, done, total = self._last
        self._told_at = time.monotonic()
        left = self._pace.left(done, total)
        print(f"{datetime.now():%H:%M:%S} {label}: {done / total:.0%}, {left}", flush=True)
