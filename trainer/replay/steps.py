"""Turns a replay into steps that run once: an interrupted replay goes on where it stopped.

A finished step is a JSON file. Steps that change the loop's data folder work on it in place and
leave a copy behind when they are done; after an interruption the folder goes back to that copy, so
no half day is ever played twice. Several may be under way at once, each on a folder of its own. It
knows nothing of what the steps do.
"""

import asyncio
import json
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock, Timeout

from trainer.errors import ReplayError

SETTINGS_FILE = "replay.json"
_NOT_YET_BEGUN = ("replay.lock", "replay.part")  # what may lie in a folder before its settings do
THREAD_NAME = "replay"

T = TypeVar("T")
Work = Callable[[Callable[[float], None]], Awaitable[Any]]  # given what to tell its share to
Progress = Callable[[str, float, float], None]  # what runs, seconds' worth done, in all


@dataclass
class Ticker:
    """Adds up what is done, in seconds that the whole was expected to take.

    Steps that go side by side take their seconds together: each of them counts for its share. What
    is told to run is the step under way that began last.
    """

    report: Progress
    total: float
    done: float = 0.0
    num_at_once: int = 1
    _under_way: dict[str, float] = field(default_factory=dict)  # what is done of each, in seconds

    def part(self, label: str, weight: float, share: float) -> None:
        """Tell that a step of `weight` is done to `share`; it never goes back."""
        done = weight / self.num_at_once * min(1.0, share)
        self._under_way[label] = max(done, self._under_way.get(label, 0.0))
        self._tell(label)

    def end(self, label: str, weight: float) -> None:
        """Tell that a step of `weight` is done."""
        self._under_way.pop(label, None)
        self.done += weight / self.num_at_once
        self._tell(label)

    def leave_out(self, weight: float) -> None:
        """Tell that `weight` need not be done: it was long ago, or the replay has no use for it."""
        self.total -= weight / self.num_at_once

    def _tell(self, label: str) -> None:
        newest = next(reversed(self._under_way), label)
        self.report(newest, self.done + sum(self._under_way.values()), self.total)


@dataclass
class Steps:
    """The finished steps of one replay, by name, in one folder."""

    folder: Path
    ticker: Ticker
    seconds: dict[str, float] = field(default_factory=dict)
    _last: dict[Path, str] = field(default_factory=dict)  # the last step that changed a folder
    _asked: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    @classmethod
    def open(
        cls, folder: Path, settings: Mapping[str, Any], ticker: Ticker, grows: Collection[str] = ()
    ) -> "Steps":
        """Open or begin a replay; ReplayError when the folder holds one of other settings, or
        what is no replay's.

        Settings that `grows` names may be greater than they were, and are kept then.
        """
        _refuse_foreign(folder)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / SETTINGS_FILE
        wanted = _plain(settings)
        if file.exists():
            _refuse_others(folder, {**dict.fromkeys(_read(file)), **wanted}, grows)
        _write(file, wanted)
        return cls(folder, ticker)

    async def once(
        self, name: str, weight: float, work: Work, *, changes: Path | None = None
    ) -> Any:
        """Return the JSON result of a step, running it if it has not ended before.

        `work` is given what it reports its share of progress to. `changes` is the folder that the
        step changes; it has to be the same one for all such steps of a sequence, and no two of them
        may be under way at once. A step that is asked for while it runs is waited for.
        """
        async with self._asked[name]:
            file = self.folder / "steps" / f"{name}.json"
            is_done = file.exists()
            if not is_done:
                await self._do(name, weight, work, changes)
            if changes is not None:
                self._last[changes] = name
            told = _read(file)
            if name not in self.seconds:  # what is asked for twice was expected once
                (self.ticker.leave_out(weight) if is_done else self.ticker.end(name, weight))
            self.seconds[name] = told["seconds"]
            return told["result"]

    async def _do(self, name: str, weight: float, work: Work, changes: Path | None) -> None:
        """Run a step and keep its result, and the folder that it changes as it left it."""
        if changes is not None:
            await asyncio.to_thread(_restore, changes, self._last.get(changes))
        self.ticker.part(name, weight, 0.0)
        begun = time.monotonic()
        result = await work(lambda share: self.ticker.part(name, weight, share))
        seconds = round(time.monotonic() - begun, 3)
        if changes is not None:
            await asyncio.to_thread(_keep, changes, name)
        _write(self.folder / "steps" / f"{name}.json", {"seconds": seconds, "result": result})
        if changes is not None and changes in self._last:
            shutil.rmtree(_copy_of(changes, self._last[changes]), ignore_errors=True)


def is_replay(folder: Path) -> bool:
    """Tell whether a folder is a replay's own: what lies there is a copy of somebody's code."""
    has_parts = any((folder / part).is_dir() for part in ("steps", "survey"))
    return has_parts and (folder / SETTINGS_FILE).is_file()


def check(folder: Path, settings: Mapping[str, Any], grows: Collection[str] = ()) -> None:
    """Raise ReplayError when a folder holds a replay in which one of `settings` is another, or
    what is no replay's."""
    _refuse_foreign(folder)
    if (folder / SETTINGS_FILE).exists():
        _refuse_others(folder, _plain(settings), grows)


@contextmanager
def only_replay(folder: Path) -> Iterator[None]:
    """Hold a replay's folder. Raises ReplayError when another process replays in it, or when it
    holds what is no replay's."""
    _refuse_foreign(folder)
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


def _refuse_foreign(folder: Path) -> None:
    """Raise ReplayError where something lies that no replay left: it may be somebody's work."""
    if not folder.exists() or (folder / SETTINGS_FILE).exists():
        return
    if not folder.is_dir() or any(file.name not in _NOT_YET_BEGUN for file in folder.iterdir()):
        raise ReplayError(f"{folder} is there, and no replay's: name another --data")


def _refuse_others(folder: Path, wanted: Mapping[str, Any], grows: Collection[str]) -> None:
    found = _read(folder / SETTINGS_FILE)
    changed = sorted(name for name, value in wanted.items() if found.get(name) != value)
    refused = [name for name in changed if name not in grows or not _is_more(wanted, found, name)]
    if refused:
        raise ReplayError(
            f"{folder} holds a replay with another {', '.join(refused)}: "
            "name another --data, or remove that folder"
        )


def _is_more(wanted: Mapping[str, Any], found: Mapping[str, Any], name: str) -> bool:
    known = found.get(name)
    return isinstance(known, int) and bool(wanted[name] > known)


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
        raise ReplayError(f"{file} is torn: name another --data, or remove the replay's folder")
    return values


async def side_by_side(works: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Await all works at once; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(_own_errors(work))
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from first.__cause__


async def _own_errors(work: Callable[[], Awaitable[None]]) -> None:
    """Await work; what fails in it because it is being cancelled is no news."""
    try:
        await work()
    except Exception as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error
        raise


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

    threading.Thread(target=run, daemon=True, name=THREAD_NAME).start()
    return await done


def join_threads() -> None:
    """Wait for what `in_thread` left behind: an interpreter that ends under it may crash."""
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join()


def _write(file: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with part.open("w", encoding="utf-8") as opened:
        json.dump(value, opened)
        opened.flush()
        os.fsync(opened.fileno())  # else a power cut may leave an empty file under the new name
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
