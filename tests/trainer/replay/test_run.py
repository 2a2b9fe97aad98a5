"""A whole replay, small: real host, editor, typist, night, exams; interrupted and continued."""

import asyncio
import json
import sysconfig
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lsp_server.engine.base import Base
from trainer.errors import ReplayError
from trainer.replay import run as conductor
from trainer.replay.config import ReplayConfig
from trainer.replay.exam import visits_by_place
from trainer.replay.measures import StaticScore
from trainer.replay.pace import night_s, seeds_at_once, total_s
from trainer.replay.records import ReplayReport
from trainer.replay.report import table
from trainer.replay.sessions import Player
from trainer.replay.sitting import Sitting
from trainer.replay.source import Codebase
from trainer.replay.steps import Steps, Ticker
from trainer.replay.system import System

FILES = (
    "bisect.py", "calendar.py", "cmd.py", "colorsys.py", "copy.py", "fnmatch.py", "getopt.py",
    "glob.py", "graphlib.py", "heapq.py", "numbers.py", "quopri.py", "reprlib.py", "sched.py",
    "shelve.py", "shlex.py", "stat.py", "textwrap.py",
)  # fmt: skip


class Interrupted(Exception):
    pass


def make_source(folder: Path) -> Path:
    library = Path(sysconfig.get_paths()["stdlib"])
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes((library / name).read_bytes())
    return folder


def make_config(tmp_path: Path, **changes: Any) -> ReplayConfig:
    settings: dict[str, Any] = {
        "source": tmp_path / "project",
        "data": tmp_path / "replay",
        "num_days": 1,
        "lines_per_day": 24,
        "num_exam_lines": 16,
        "num_positions": 12,
        "num_golden": 6,
        "min_exam_files": 4,
        "min_pairs": 3,
        "num_threads": 1,
        "arms": ("frozen", "loop", "code_sft", "ngram"),
    }
    return ReplayConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReplayReport, Path]:
    """A replay that was interrupted just before its night, and then continued."""
    tmp_path = tmp_path_factory.mktemp("replay")
    make_source(tmp_path / "project")
    told: list[str] = []

    def stop_before_the_night(label: str, done: float, total: float) -> None:
        told.append(label)
        if ".night-" in label:
            raise Interrupted

    with pytest.raises(Interrupted):
        conductor.run(make_config(tmp_path), stop_before_the_night)
    steps = tmp_path / "replay" / "project" / "steps"
    before = {file.name: file.read_bytes() for file in steps.glob("*.json")}
    assert "seed-1.day-1.json" in before
    report = conductor.run(make_config(tmp_path), lambda label, done, total: None)
    assert before == {name: (steps / name).read_bytes() for name in before}  # nothing again
    return report, tmp_path


@pytest.mark.slow
def test_a_replay_ends_with_every_arm_measured(replayed: tuple[ReplayReport, Path]) -> None:
    report, _ = replayed
    static = {(r.arm, r.night) for r in report.find("exam_static")}
    assert static == {("frozen", 0), ("loop", 1), ("code_sft", 1), ("ngram", 1)}
    assert {r.arm for r in report.find("exam_loop")} == {"frozen", "loop", "code_sft"}
    for record in report.records:
        for metric in record.metrics.values():
            assert metric.low is None or metric.low <= metric.value
    frozen = report.find("exam_static", "frozen")[0].metrics["log_prob"]
    assert frozen.num_items == 12
    assert frozen.value < 0
    (night,) = [n for n in report.nights if n.arm == "loop"]
    assert night.verdict == "not enough evidence"
    assert night.counts["visits"] > 10
    assert "loop" in table(report)
    assert ReplayReport.from_json(report.to_json()).to_json() == report.to_json()


@pytest.mark.slow
def test_nothing_of_the_exam_reaches_the_loop(replayed: tuple[ReplayReport, Path]) -> None:
    report, tmp_path = replayed
    data = tmp_path / "replay" / "project" / "seed-1" / "data"
    visited = {path for path, _ in visits_by_place(data)}
    assert visited
    assert not visited & set(report.about["exam_files"])
    assert not list((tmp_path / "replay" / "project" / "seed-1").glob("exam-*"))


@pytest.mark.slow
def test_a_folder_of_another_replay_is_refused(replayed: tuple[ReplayReport, Path]) -> None:
    _, tmp_path = replayed
    file = tmp_path / "replay" / "project" / "replay.json"
    settings = json.loads(file.read_text())
    with pytest.raises(ReplayError, match="another lines_per_day"):
        conductor.run(make_config(tmp_path, lines_per_day=25), lambda label, done, total: None)
    assert json.loads(file.read_text()) == settings


async def test_nights_stay_what_they_were_when_a_replay_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = iter(["kept", "first", "kept", "second"])
    measured: list[str] = []

    async def night(_: System, data: Path, seed: int) -> dict[str, Any]:
        end = next(ends)
        if end != "kept":
            (data / "adapters" / end).mkdir(parents=True)
        return {"exit_code": 3, "reasons": []} if end == "kept" else promoted(end)

    def measure(_: object, adapter: Path | None, places: object) -> list[StaticScore]:
        name = adapter.name if adapter else "base"
        assert adapter is None or adapter.is_dir()
        measured.append(name)
        return [StaticScore(name, "a.py", 1, 1, -1.0, 0, False, False, False)]

    nothing_is_typed(monkeypatch)
    monkeypatch.setattr(System, "night", night)
    monkeypatch.setattr(conductor, "measure_positions", measure)
    first = await season(tmp_path)
    assert first == ["base", "first", "first", "second"]
    (tmp_path / "r" / "seed-1" / "data" / "adapters" / "half a night").mkdir()
    del measured[:]
    assert await season(tmp_path) == first
    assert measured == []


def play_without_a_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    num_days: int,
    *,
    exit_code: int = 3,
    arms: tuple[str, ...] = ("frozen", "loop"),
) -> Any:
    """Run a whole replay whose days and nights do nothing; return its report and its nights."""
    nights: list[str] = []

    async def night(_: System, data: Path, seed: int) -> dict[str, Any]:
        nights.append(f"{seed}: {len(nights) + 1}")
        return {"exit_code": exit_code, "reasons": [], "adapter": "a"}

    nothing_is_typed(monkeypatch)
    monkeypatch.setattr(System, "night", night)
    monkeypatch.setattr(conductor, "measure_positions", no_scores)
    monkeypatch.setattr(conductor.sessions, "latencies_of", lambda _: (60.0,))
    config = make_config(tmp_path, num_days=num_days, arms=arms)
    return conductor.run(config, lambda label, done, total: None), nights


def test_days_may_be_added_and_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_source(tmp_path / "project")
    play_without_a_model(tmp_path, monkeypatch, 2)
    report, nights = play_without_a_model(tmp_path, monkeypatch, 3)
    assert nights == ["1: 1"]
    assert [night.night for night in report.nights] == [1, 2, 3]
    assert {r.night for r in report.find("exam_loop", "loop")} == {3}
    with pytest.raises(ReplayError, match="another num_days"):
        play_without_a_model(tmp_path, monkeypatch, 2)


@pytest.mark.parametrize(("exit_code", "trained"), [(3, ["ungated"]), (0, [])])
def test_what_the_gate_held_back_is_trained_only_where_it_let_nothing_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, trained: list[str]
) -> None:
    made: list[str] = []

    class Shop:
        def make(self, arm: str, folder: Path) -> dict[str, Any]:
            made.append(arm)
            return {"left_out": "it is a test"}

    make_source(tmp_path / "project")
    monkeypatch.setattr(conductor._Replay, "_workshop", Shop())
    play_without_a_model(tmp_path, monkeypatch, 1, exit_code=exit_code, arms=("loop", "ungated"))
    assert made == trained


def test_a_code_base_too_small_for_its_days_is_played_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_source(tmp_path / "project")
    report, nights = play_without_a_model(tmp_path, monkeypatch, 500)
    num_days = report.about["settings"]["num_days"]
    assert len(nights) == num_days < 500
    assert report.about["plan"]["1"]["days_missing"] == 500 - num_days
    assert {r.night for r in report.find("exam_loop", "loop")} == {num_days}


def promoted(adapter: str) -> dict[str, Any]:
    return {"exit_code": 0, "reasons": [], "adapter": adapter}


def nothing_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace typing and exams by nothing, so that no process is started."""

    async def play(_: Player, data: Path, *__: object, **___: object) -> list[Sitting]:
        data.mkdir(parents=True, exist_ok=True)
        return []

    async def exam(*_: object, **__: object) -> tuple[list[Sitting], dict[Any, Any]]:
        return [], {}

    monkeypatch.setattr(Player, "play", play)
    monkeypatch.setattr(Player, "exam", exam)
    monkeypatch.setattr(conductor, "golden_positions", lambda *_: [])
    monkeypatch.setattr(conductor, "visits_by_place", lambda _: {})


def make_replay(
    tmp_path: Path, base: Any, *, num_days: int, num_seeds: int = 1
) -> conductor._Replay:
    """Open a replay without a model, its survey done."""
    config = make_config(tmp_path, num_days=num_days, num_seeds=num_seeds)
    plan: Any = SimpleNamespace(exam=(), exam_files=(), days=((),) * num_days)
    codebase = Codebase("project", None, (), (), {})
    steps = Steps.open(tmp_path / "r", {}, Ticker(lambda label, done, total: None, 1.0))
    replay = conductor._Replay(config, codebase, base, steps, [plan] * num_seeds)
    replay.positions, replay.planted, replay.latencies_ms = [], [], (60.0,)
    replay.found.static["frozen", 0, 0] = [{"position_id": "base"}]
    return replay


async def season(tmp_path: Path) -> list[str]:
    """Play four nights without a model; return by which adapter each one's score was made."""
    base: Any = SimpleNamespace(num_threads=1, prompter=None)
    replay = make_replay(tmp_path, base, num_days=4)
    await replay._season(1, replay.plans[0])
    nights = range(1, 5)
    return [replay.found.static["loop", 1, night][0]["position_id"] for night in nights]


async def test_scores_that_an_older_hone_left_are_in_the_strata_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = StaticScore("p", "a.py", 1, 1, -1.0, 0, False, False, False, ("unseen",))
    place: Any = SimpleNamespace(position_id="p", strata=("seen_in_training",))
    monkeypatch.setattr(conductor, "measure_positions", lambda *_: [old])
    replay = make_replay(tmp_path, small_base(1), num_days=1)
    replay.positions = [place]
    (told,) = await replay._static("static.frozen", None)
    assert told["strata"] == ("seen_in_training",)


def small_base(num_threads: int) -> Base:
    """A base for two seeds at once, which is never asked for anything."""
    nothing: Any = None
    return Base("b", "0", torch.nn.Linear(1, 1), nothing, nothing, nothing, "cpu", 1, num_threads)


class Meeting:
    """Nights that wait until those of two seeds are under way at once."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.ended: list[int] = []
        self._both = asyncio.Barrier(2)

    async def night(self, system: System, seed: int) -> dict[str, Any]:
        self.threads.append(system.num_threads)
        await self._both.wait()
        self.ended.append(seed)
        return {"exit_code": 3, "reasons": []}


def no_scores(*_: object) -> list[StaticScore]:
    return []


async def test_seeds_are_played_side_by_side_and_found_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting, first_may_go_on = Meeting(), asyncio.Event()

    async def night(system: System, data: Path, seed: int) -> dict[str, Any]:
        result = await meeting.night(system, seed)
        if seed == 1:
            await first_may_go_on.wait()
        else:
            first_may_go_on.set()
        return result

    nothing_is_typed(monkeypatch)
    monkeypatch.setattr(System, "night", night)
    monkeypatch.setattr(conductor, "measure_positions", no_scores)
    replay = make_replay(tmp_path, small_base(5), num_days=1, num_seeds=2)
    await replay._seasons()
    assert meeting.threads == [2, 2]
    assert (replay.base.num_threads, replay.system.num_threads) == (5, 5)
    seeds = [seed for _, seed, _ in replay.found.loop]
    assert seeds == [1, 1, 2, 2]
    assert list(replay.found.golden) == [("frozen", 1), ("frozen", 2)]
    golden = [file.name for file in (tmp_path / "r" / "steps").glob("golden.*")]
    assert golden == ["golden.base.json"]


async def test_an_error_of_one_seed_ends_the_other_which_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting, stopped = Meeting(), []

    async def fails(system: System, data: Path, seed: int) -> dict[str, Any]:
        result = await meeting.night(system, seed)
        if seed == 2:
            raise ReplayError("the night failed")
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(seed)
        return result

    async def works(system: System, data: Path, seed: int) -> dict[str, Any]:
        return await meeting.night(system, seed)

    nothing_is_typed(monkeypatch)
    monkeypatch.setattr(System, "night", fails)
    monkeypatch.setattr(conductor, "measure_positions", no_scores)
    replay = make_replay(tmp_path, small_base(2), num_days=1, num_seeds=2)
    with pytest.raises(ReplayError, match="the night failed"):
        await replay._seasons()
    assert stopped == [1]
    assert replay.base.num_threads == 2
    meeting = Meeting()
    monkeypatch.setattr(System, "night", works)
    again = make_replay(tmp_path, small_base(2), num_days=1, num_seeds=2)
    await again._seasons()
    assert sorted(meeting.ended) == [1, 2]


@pytest.mark.parametrize(
    ("num_threads", "num_seeds", "at_once"), [(1, 3, 1), (2, 1, 1), (2, 3, 2), (64, 9, 4)]
)
def test_no_more_seeds_at_once_than_threads(num_threads: int, num_seeds: int, at_once: int) -> None:
    assert seeds_at_once(small_base(num_threads), num_seeds) == at_once


def test_a_large_model_plays_one_seed_after_the_other() -> None:
    with torch.device("meta"):
        large = torch.nn.Linear(20_000, 20_000)
    assert seeds_at_once(replace(small_base(8), model=large), 2) == 1


def test_seeds_side_by_side_are_expected_to_take_the_time_of_one(tmp_path: Path) -> None:
    two = make_config(tmp_path, num_seeds=2)
    alone = total_s(make_config(tmp_path), 1)
    assert total_s(two, 2) <= alone < total_s(two, 1)


def test_a_night_that_the_gate_cannot_promote_is_expected_to_be_short(tmp_path: Path) -> None:
    config = make_config(tmp_path, num_days=5, lines_per_day=200)
    nights = [night_s(config, night) for night in range(1, 6)]
    assert nights[:3] == [nights[0]] * 3
    assert 20 * nights[0] < nights[3] < nights[4]
    assert all(night_s(replace(config, is_quick=True), night) > nights[0] for night in (1, 2))
