"""Turns a replay into steps that run once: an interrupted replay goes on where it stopped.

A finished step is a JSON file. Steps that change the loop's data folder work on it in place and
leave a copy behind when they are done; after an interruption the folder goes back to that copy, so
no half day is ever played twice. It knows nothing of what the steps do.
"""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock, Timeout

from trainer.errors import ReplayError

SETTINGS_FILE = "replay.json"

T = TypeVar("T")
Progress = Callable[[str, float, float], None]  # what runs, seconds' worth done, in all


@dataclass
class Ticker:
    """Adds up what is done, in seconds that the whole was expected to take."""

    report: Progress
    total: float
    done: float = 0.0

    def part(self, label: str, weight: float, share: float) -> None:
        """Tell that a step of `weight` is done to `share`."""
        self.report(label, self.done + weight * min(1.0, share), self.total)


@dataclass
class Steps:
    """The finished steps of one replay, by name, in one folder."""

    folder: Path
    ticker: Ticker
    seconds: dict[str, float] = field(default_factory=dict)
    _last: dict[Path, str] = field(default_factory=dict)  # the last step that changed a folder

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Any], ticker: Ticker) -> "Steps":
        """Open or begin a replay; ReplayError when the folder holds one of other settings."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / SETTINGS_FILE
        wanted = _plain(settings)
        if file.exists():
            _refuse_others(folder, {**dict.fromkeys(_read(file)), **wanted})
        else:
            _write(file, wanted)
        return cls(folder, ticker)

    async def once(
        self,
        name: str,
        weight: float,
        work: Callable[[Callable[[float], None]], Awaitable[Any]],
        *,
        changes: Path | None = None,
    ) -> Any:
        """Return the JSON result of a step, running it if it has not ended before.

        `work` is given what it reports its share of progress to. `changes` is the folder that the
        step changes; it has to be the same one for all such steps of a sequence.
        """
        file = self.folder / "steps" / f"{name}.json"
        if not file.exists():
            if changes is not None:
                _restore(changes, self._last.get(changes))
            self.ticker.part(name, weight, 0.0)
            begun = time.monotonic()
            result = await work(lambda share: self.ticker.part(name, weight, share))
            seconds = round(time.monotonic() - begun, 3)
            if changes is not None:
                await asyncio.to_thread(_keep, changes, name)
            _write(file, {"seconds": seconds, "result": result})
            if changes is not None and changes in self._last:
                shutil.rmtree(_copy_of(changes, self._last[changes]), ignore_errors=True)
        if changes is not None:
            self._last[changes] = name
        told = json.loads(file.read_text(encoding="utf-8"))
        self.seconds[name] = told["seconds"]
        self.ticker.done += weight
        self.ticker.part(name, weight, 0.0)
        return told["result"]


def is_replay(folder: Path) -> bool:
    """Tell whether a folder is a replay's own: what lies there is a copy of somebody's code."""
    has_parts = any((folder / part).is_dir() for part in ("steps", "survey"))
    return has_parts and (folder / SETTINGS_FILE).is_file()


def check(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise ReplayError when a folder holds a replay in which one of `settings` is another."""
    if (folder / SETTINGS_FILE).exists():
        _refuse_others(folder, _plain(settings))


@contextmanager
def only_replay(folder: Path) -> Iterator[None]:
    """Hold a replay's folder. Raises ReplayError when another process replays in it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "replay.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ReplayError(
            f"another replay is running in {folder}: stop that one, or name another --data"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _refuse_others(folder: Path, wanted: Mapping[str, Any]) -> None:
    found = _read(folder / SETTINGS_FILE)
    changed = sorted(name for name, value in wanted.items() if found.get(name) != value)
    if changed:
        raise ReplayError(
            f"{folder} holds a replay with another {', '.join(changed)}: "
            "name another --data, or remove that folder"
        )


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from JSON."""
    values: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    return values


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ReplayError(f"{file} is not a replay's: name another --data, or remove that file")
    return values


async def in_thread(work: Callable[[], T]) -> T:
    """Await what takes long in a thread that nobody waits for once the replay is interrupted."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(T, result))

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except BaseException as error:
            failed = error
        with suppress(RuntimeError):  # the loop has closed: interrupted
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, daemon=True, name="replay").start()
    return await done


def _write(file: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(file)


def _copy_of(folder: Path, step: str) -> Path:
    return folder.with_name(f"{folder.name}.after-{step}")


def _keep(folder: Path, step: str) -> None:
    """Copy a folder as a step left it."""
    copy = _copy_of(folder, step)
    shutil.rmtree(copy, ignore_errors=True)  # half a copy of an interrupted run
    shutil.copytree(folder, copy)


def _restore(folder: Path, step: str | None) -> None:
    """Bring a folder back to what a finished step left; None: to nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    if step is not None:
        shutil.copytree(_copy_of(folder, step), folder)
