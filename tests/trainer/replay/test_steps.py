"""An interrupted replay goes on where it stopped, and plays nothing twice."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from trainer.errors import ReplayError
from trainer.replay.steps import (
    Steps,
    Ticker,
    check,
    in_thread,
    join_threads,
    only_replay,
    side_by_side,
)

Work = Callable[[Callable[[float], None]], Awaitable[Any]]


class Interrupted(Exception):
    pass


def open_steps(folder: Path, **settings: Any) -> Steps:
    ticker = Ticker(lambda label, done, total: None, 10.0)
    return Steps.open(folder, settings or {"days": 2}, ticker)


def adds_a_line(file: Path, line: str, *, fails: bool = False) -> Work:
    async def work(share: Callable[[float], None]) -> str:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as opened:
            opened.write(line)
        if fails:
            raise Interrupted
        return line

    return work


async def test_a_step_is_done_once(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    for _ in range(2):
        assert await open_steps(tmp_path / "r").once("a", 1.0, adds_a_line(file, "x")) == "x"
    assert file.read_text() == "x"


async def test_half_a_step_is_undone_before_it_is_done_again(tmp_path: Path) -> None:
    data = tmp_path / "r" / "data"
    first = open_steps(tmp_path / "r")
    await first.once("day", 1.0, adds_a_line(data / "log", "day;"), changes=data)
    half = adds_a_line(data / "log", "half a night;", fails=True)
    with pytest.raises(Interrupted):
        await first.once("night", 1.0, half, changes=data)
    again = open_steps(tmp_path / "r")
    for name in ("day", "night", "day-2"):
        await again.once(name, 1.0, adds_a_line(data / "log", f"{name};"), changes=data)
    assert (data / "log").read_text() == "day;night;day-2;"
    copies = [copy.name for copy in data.parent.glob("data.after-*")]
    assert copies == ["data.after-day-2"]


async def test_a_first_step_that_failed_begins_with_nothing(tmp_path: Path) -> None:
    data = tmp_path / "r" / "data"
    failing = adds_a_line(data / "log", "half;", fails=True)
    steps = open_steps(tmp_path / "r")
    with pytest.raises(Interrupted):
        await steps.once("day", 1.0, failing, changes=data)
    whole = adds_a_line(data / "log", "day;")
    await open_steps(tmp_path / "r").once("day", 1.0, whole, changes=data)
    assert (data / "log").read_text() == "day;"


async def test_killed_between_copy_and_result_nothing_is_done_twice(tmp_path: Path) -> None:
    data = tmp_path / "r" / "data"
    for name in ("day", "night"):
        steps = open_steps(tmp_path / "r")
        await steps.once("day", 1.0, adds_a_line(data / "log", "day;"), changes=data)
        if name == "night":
            await steps.once("night", 1.0, adds_a_line(data / "log", "night;"), changes=data)
    # The copy of the day was removed only after the night's result was written; without it, the
    # night has to be done again from the day's copy.
    (tmp_path / "r" / "steps" / "night.json").unlink()
    (data.parent / "data.after-night").rename(data.parent / "data.after-day")
    (data.parent / "data.after-day" / "log").write_text("day;")
    again = open_steps(tmp_path / "r")
    await again.once("day", 1.0, adds_a_line(data / "log", "day;"), changes=data)
    await again.once("night", 1.0, adds_a_line(data / "log", "night;"), changes=data)
    assert (data / "log").read_text() == "day;night;"


def test_a_replay_of_other_settings_is_not_continued(tmp_path: Path) -> None:
    open_steps(tmp_path, days=2, plant=None)
    open_steps(tmp_path, days=2, plant=None)
    with pytest.raises(ReplayError, match="another days: name another --data"):
        open_steps(tmp_path, days=3, plant=None)
    assert json.loads((tmp_path / "replay.json").read_text()) == {"days": 2, "plant": None}


def test_a_setting_that_grows_may_be_more_and_is_kept(tmp_path: Path) -> None:
    nothing = Ticker(lambda *_: None, 1.0)
    Steps.open(tmp_path, {"days": 2, "plant": None}, nothing, ["days"])
    check(tmp_path, {"days": 3}, ["days"])
    Steps.open(tmp_path, {"days": 3, "plant": None}, nothing, ["days"])
    with pytest.raises(ReplayError, match="another days"):
        check(tmp_path, {"days": 2}, ["days"])
    with pytest.raises(ReplayError, match="another plant"):
        check(tmp_path, {"days": 4, "plant": "x"}, ["days"])


async def test_progress_adds_up_to_the_whole(tmp_path: Path) -> None:
    told: list[tuple[str, float, float]] = []
    ticker = Ticker(lambda *about: told.append(about), 4.0)
    steps = Steps.open(tmp_path, {}, ticker)

    async def work(share: Callable[[float], None]) -> None:
        share(0.5)

    await steps.once("a", 1.0, work)
    await steps.once("b", 3.0, work)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert ("a", 0.5, 4.0) in told
    assert told[-1] == ("b", 4.0, 4.0)


async def test_what_was_done_before_is_not_taken_for_speed(tmp_path: Path) -> None:
    async def work(share: Callable[[float], None]) -> None:
        share(0.5)

    told: list[tuple[str, float, float]] = []
    for _ in range(2):
        told.clear()
        steps = Steps.open(tmp_path, {}, Ticker(lambda *about: told.append(about), 6.0))
        await steps.once("a", 3.0, work)
        if len(told) == 0:
            await steps.once("b", 2.0, work)
            steps.ticker.leave_out(1.0)
    assert told[0] == ("b", 0.0, 3.0)
    assert (steps.ticker.done, steps.ticker.total) == (2.0, 2.0)


async def test_a_torn_step_is_one_line(tmp_path: Path) -> None:
    async def work(share: Callable[[float], None]) -> None:
        share(1.0)

    nothing = Ticker(lambda *_: None, 1.0)
    await Steps.open(tmp_path, {}, nothing).once("a", 1.0, work)
    (tmp_path / "steps" / "a.json").write_text("")
    with pytest.raises(ReplayError, match="is torn"):
        await Steps.open(tmp_path, {}, nothing).once("a", 1.0, work)


async def test_progress_of_steps_side_by_side_never_goes_back(tmp_path: Path) -> None:
    told: list[tuple[str, float, float]] = []
    ticker = Ticker(lambda *about: told.append(about), 2.0, num_at_once=2)
    steps = Steps.open(tmp_path, {}, ticker)
    half, ended = asyncio.Event(), asyncio.Event()

    async def long(share: Callable[[float], None]) -> None:
        share(0.5)
        half.set()
        await ended.wait()
        share(0.25)  # less than before counts for nothing

    async def short(share: Callable[[float], None]) -> None:
        await half.wait()
        share(1.0)

    async def both() -> None:
        await steps.once("short", 1.0, short)
        ended.set()

    await asyncio.gather(steps.once("long", 3.0, long), both())
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert ("short", 1.25, 2.0) in told  # half of three, and one, two at a time
    labels = [label for label, _, _ in told]  # of what began last, and is still under way
    begun_last = labels.index("short")
    assert set(labels[:begun_last]) == {"long"}
    assert labels[-1] == "long"
    assert told[-1] == ("long", 2.0, 2.0)


async def test_a_step_asked_for_twice_at_once_is_done_once(tmp_path: Path) -> None:
    told: list[float] = []
    steps = Steps.open(tmp_path, {}, Ticker(lambda _, done, __: told.append(done), 1.0))
    begun: list[str] = []
    may_end = asyncio.Event()

    async def work(share: Callable[[float], None]) -> str:
        begun.append("work")
        await may_end.wait()
        return "done"

    async def asks_second() -> str:
        result = asyncio.ensure_future(steps.once("a", 1.0, work))
        may_end.set()
        return str(await result)

    assert await asyncio.gather(steps.once("a", 1.0, work), asks_second()) == ["done", "done"]
    assert begun == ["work"]
    assert told[-1] == 1.0


async def test_folders_are_kept_apart_while_two_steps_are_under_way(tmp_path: Path) -> None:
    async def season(steps: Steps, name: str) -> None:
        data = tmp_path / "r" / name / "data"
        for step in ("day", "night"):
            line = adds_a_line(data / "log", f"{name}.{step};")
            await steps.once(f"{name}.{step}", 1.0, line, changes=data)

    steps = open_steps(tmp_path / "r")
    await side_by_side(partial(season, steps, name) for name in ("one", "two"))
    for name in ("one", "two"):
        folder = tmp_path / "r" / name
        assert (folder / "data" / "log").read_text() == f"{name}.day;{name}.night;"
        assert [f.name for f in folder.glob("data.after-*")] == [f"data.after-{name}.night"]


async def test_the_first_error_ends_what_goes_beside_it_and_is_raised_as_it_is() -> None:
    begun, cleaned = asyncio.Event(), []

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("stopped")
            raise KeyError("a second error, on the way out")

    async def fails() -> None:
        await begun.wait()
        raise ReplayError("the host ended") from OSError("why")

    with pytest.raises(ReplayError, match="the host ended") as raised:
        await side_by_side([waits, fails])
    assert cleaned == ["stopped"]
    assert isinstance(raised.value.__cause__, OSError)


async def test_an_interruption_stays_one_whatever_fails_on_the_way() -> None:
    begun = asyncio.Event()

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ReplayError("the language server failed")

    task = asyncio.create_task(side_by_side([waits]))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_settings_are_compared_before_all_of_them_are_known(tmp_path: Path) -> None:
    check(tmp_path, {"days": 3})  # nothing there: nothing to compare with
    open_steps(tmp_path, days=2, base="a")
    check(tmp_path, {"days": 2})
    with pytest.raises(ReplayError, match="another days"):
        check(tmp_path, {"days": 3})
    with pytest.raises(ReplayError, match="another base"):
        open_steps(tmp_path, days=2)


def test_a_folder_that_is_no_replay_s_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "survey").mkdir()
    file = tmp_path / "notes.txt"
    file.touch()
    for folder in (tmp_path, file):
        with pytest.raises(ReplayError, match="name another --data"):
            check(folder, {"days": 3})
        with pytest.raises(ReplayError, match="name another --data"), only_replay(folder):
            pass
        with pytest.raises(ReplayError, match="name another --data"):
            open_steps(folder)
    assert {path.name for path in tmp_path.iterdir()} == {"survey", "notes.txt"}


def test_a_replay_killed_before_it_wrote_its_settings_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "replay.part").touch()
    with only_replay(tmp_path):
        open_steps(tmp_path)
    check(tmp_path, {"days": 2})


def test_only_one_replay_works_in_a_folder(tmp_path: Path) -> None:
    with (
        only_replay(tmp_path),
        pytest.raises(ReplayError, match="another replay"),
        only_replay(tmp_path),
    ):
        pass
    with only_replay(tmp_path):
        pass


async def test_what_runs_in_a_thread_returns_and_raises_as_if_it_did_not() -> None:
    def fails() -> None:
        raise KeyError("x")

    assert await in_thread(lambda: 3) == 3
    with pytest.raises(KeyError, match="x"):
        await in_thread(fails)


def test_an_interrupted_replay_does_not_wait_for_its_thread() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait()

    async def interrupted() -> None:
        task = asyncio.create_task(in_thread(work))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupted())  # ends while the thread goes on
    assert not may_end.is_set()
    may_end.set()


def test_a_failed_replay_waits_for_its_thread() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait()
        ended.set()

    async def failed() -> None:
        task = asyncio.create_task(in_thread(work))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(failed())
    assert not ended.is_set()
    may_end.set()
    join_threads()
    assert ended.is_set()
