"""Turns settings into one night of training, told on the terminal or as one JSON object.

The night itself is `trainer.nightly`; this module gives it a low priority, a cap on threads and
something to watch, and turns its result into an exit code. It does not know what a good night is.
"""

import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hone import preflight, processes
from hone.errors import UsageError
from hone.settings import Settings
from hone.wiring import night_config, night_threads

if TYPE_CHECKING:
    from trainer.nightly import NightResult

Progress = Callable[[str, int, int], None]  # stage, steps done, steps in all
ENDINGS = {
    0: "promoted a new adapter",
    2: "could not start",
    3: "kept what is live",
    4: "did not start: another one is running",
}
LINE_STEP = 0.25  # Without a terminal, one line per quarter of a stage is enough.


def run(settings: Settings, *, as_json: bool, supervised: bool = False) -> int:
    """Train, evaluate, decide; 0 promoted, 3 kept what is live, 4 another night, 1 failed.

    Raises UsageError (2) where a setting has to change first, as every command does.
    """
    preflight.check_model(settings.model)
    preflight.check_data(settings.data)
    preflight.open_database(settings).close()  # Says in one line what is wrong with it.
    if supervised:
        processes.follow_parent()
    processes.lower_priority()
    processes.cap_threads(night_threads(settings))
    settings = settings.model_copy(update={"device": processes.see_one_gpu(settings.device)})
    processes.sleep_when_idle()
    # The night keeps its own log file; without this, its warnings would tear the progress bar.
    logging.getLogger().addHandler(logging.NullHandler())
    from trainer import nightly

    with reporting(show=not as_json) as progress:
        result = nightly.run(night_config(settings), progress=progress)
    if as_json:
        print(json.dumps(as_values(result)))
    if result.exit_code == UsageError.exit_code:
        raise UsageError(result.reasons[0])
    if not as_json:
        tell(result)
    return int(result.exit_code)


def as_values(result: "NightResult") -> dict[str, Any]:
    """Return the result as JSON values."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(result), default=str))
    return values


def tell(result: "NightResult") -> None:
    """Print how the night ended and where to read more."""
    print(f"the night {ENDINGS.get(result.exit_code, 'failed')}")
    for reason in result.reasons:
        print(f"  {reason}")
    if result.adapter:
        print(f"  more: hone adapters show {result.adapter[:12]}")
    if result.log_path:
        print(f"  log: {result.log_path}")


@contextmanager
def reporting(*, show: bool) -> Iterator[Progress]:
    """Yield what a night reports to: a bar on a terminal, lines elsewhere, or nothing."""
    if not show:
        yield lambda stage, done, total: None
    elif sys.stdout.isatty():
        with _bars() as progress:
            yield progress
    else:
        yield Lines()


class Lines:
    """Progress as a few plain lines."""

    def __init__(self) -> None:
        """Start before the first stage."""
        self._stage = ""
        self._told = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print a line for a new stage and for every quarter of it."""
        share = done / total if total else 0.0
        if stage != self._stage:
            self._stage, self._told = stage, 0.0
            print(f"{datetime.now():%H:%M:%S} {stage}", flush=True)
        if share >= self._told + LINE_STEP:
            self._told = share
            print(f"{datetime.now():%H:%M:%S} {stage}: {done} of {total}", flush=True)


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
    )
    with rich.Progress(*columns) as bars:
        tasks: dict[str, rich.TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield report
