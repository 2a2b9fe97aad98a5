"""Turns one code base into a report: days, nights and exams played against the real Hone, in order.

`run` is the whole replay. It may be interrupted at any moment and called again: every step is done
once (`steps.py`). Seeds go side by side; what needs the model in this process goes one at a time.
This module knows nothing of how a step works, nor of terminals.
"""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from lsp_server.engine.base import Base, load_base
from trainer.config import NightConfig
from trainer.errors import DatasetError, TrainingDiverged
from trainer.golden import golden_positions
from trainer.replay import assemble, days, filtering, pace, prepare, sessions
from trainer.replay.arms import Workshop
from trainer.replay.config import (
    FROZEN,
    LOOP,
    LOOP_EXAM_ARMS,
    NGRAM,
    OFFLINE_ARMS,
    UNGATED,
    ReplayConfig,
)
from trainer.replay.exam import (
    ExamPosition,
    SeenLines,
    measure_positions,
    plant_positions,
    positions_of,
    some_of,
    visits_by_place,
)
from trainer.replay.ngram import copy_scores
from trainer.replay.pace import (
    DAY_S,
    GOLDEN_S,
    LOOP_EXAM_S,
    STATIC_S,
    SURVEY_S,
    arm_s,
    night_s,
    seeds_at_once,
    total_s,
)
from trainer.replay.plant import CONVENTIONS
from trainer.replay.report import ReplayReport
from trainer.replay.sessions import Player, Share, as_json, loop_run, sittings_of
from trainer.replay.source import Codebase
from trainer.replay.steps import (
    Progress,
    Steps,
    Ticker,
    in_thread,
    join_threads,
    only_replay,
    side_by_side,
)
from trainer.replay.system import System
from trainer.replay.typist import Habits

SURVEY_LATENCY_MS = (60.0,)  # the survey's typist does not look, so this decides nothing
T = TypeVar("T")


def run(config: ReplayConfig, progress: Progress) -> ReplayReport:
    """Replay one code base and return what was measured.

    SourceError when the source has too little to type; ReplayError when a process of Hone fails or
    the folder holds a replay of other settings; ModelError when the model cannot be had.
    """
    begun = time.monotonic()
    codebase, plans = prepare.read(config)
    config = replace(config, num_days=len(plans[0].days))  # there may be too little for all
    base = load_base(config.model, device=config.device, num_threads=config.num_threads)
    folder = config.data / codebase.name
    with only_replay(folder):
        settings = prepare.settings(config, codebase) | {"base": base.sha256}
        ticker = Ticker(progress, total_s(config, seeds_at_once(base, config.num_seeds)))
        done = Steps.open(folder, settings, ticker, prepare.grows(codebase))
        replay = _Replay(config, codebase, base, done, plans)
        try:
            asyncio.run(replay.play())
        except Exception:
            join_threads()
            raise
    return assemble.report(replay.found, wall_seconds=time.monotonic() - begun)


@dataclass
class _Replay:
    """One code base under way. `found` gathers what the report is made from."""

    config: ReplayConfig
    codebase: Codebase
    base: Base
    steps: Steps
    plans: Sequence[days.Plan]

    def __post_init__(self) -> None:
        config, threads = self.config, self.base.num_threads
        self.system = System(
            config.model, config.device, threads, config.min_pairs, config.is_quick
        )
        self.scale = config.num_exam_lines / 480
        self.found = assemble.Found(config, self.codebase, self.plans)
        self.exam_works = self.plans[0].exam  # the same files, whatever the seed
        self.model_is_free = asyncio.Lock()

    async def play(self) -> None:
        """Do every step that is not done yet: the seeds side by side, all else in order."""
        await self._survey()
        await self._seasons()
        await self._offline_arms()
        self.found.seconds = dict(self.steps.seconds)

    async def _seasons(self) -> None:
        """Play all seeds, some of them side by side; the first that fails ends the others."""
        num_at_once = seeds_at_once(self.base, len(self.plans))
        turns = asyncio.Semaphore(num_at_once)

        async def play(seed: int, plan: days.Plan) -> None:
            async with turns:
                await self._season(seed, plan)

        with self._threads_shared_by(num_at_once):
            await side_by_side(partial(play, *season) for season in enumerate(self.plans, start=1))
        self.found.sort_by_seed()

    @contextmanager
    def _threads_shared_by(self, num_at_once: int) -> Iterator[None]:
        """Give child processes, and what is done here, a share of the threads for a while.

        The share hangs on the number of seeds alone, not on how many of them are done already.
        """
        whole = self.base, self.system
        num_threads = max(1, self.base.num_threads // num_at_once)
        self.base = replace(self.base, num_threads=num_threads)
        self.system = replace(self.system, num_threads=num_threads)
        self.steps.ticker.num_at_once = num_at_once
        try:
            yield
        finally:
            self.base, self.system = whole
            self.steps.ticker.num_at_once = 1

    async def _survey(self) -> None:
        """Find the exam's positions and measure, once, how long the host takes to answer."""
        folder = self.steps.folder / "survey"
        data = folder / "data"

        async def survey(share: Share) -> Any:
            shutil.rmtree(folder, ignore_errors=True)
            player = Player(self.system, Habits.typical(), 0, SURVEY_LATENCY_MS, reads=False)
            played = player.play(data, folder / "workspace", self.exam_works, day=0, share=share)
            return as_json(await played)

        sittings = sittings_of(await self.steps.once("survey", SURVEY_S * self.scale, survey))
        self.latencies_ms = sessions.latencies_of(sittings)
        seen = SeenLines(days.texts_outside_exam(self.codebase, self.plans))
        positions = positions_of(visits_by_place(data), sittings, seen)
        self.positions = some_of(positions, self.config.num_positions)
        self.planted: list[ExamPosition] = []
        if self.config.plant:
            convention = CONVENTIONS[self.config.plant]
            self.planted = plant_positions(self.base, self.plans[0].probes, convention)
        self.found.latencies_ms = self.latencies_ms
        self.found.static[FROZEN, 0, 0] = await self._static("static.frozen", None)
        if NGRAM in self.config.arms:
            typed = [work for day in self.plans[0].days for work in day]
            scores = copy_scores(typed, self.positions)
            self.found.static[NGRAM, 0, self.config.num_days] = assemble.as_values(scores)

    async def _season(self, seed: int, plan: days.Plan) -> None:
        """Play one seed: days and nights, the exam before the first and after the last."""
        player = Player(self.system, Habits.drawn(seed), seed, self.latencies_ms)
        folder = self.steps.folder / f"seed-{seed}"
        self.found.habits[seed] = asdict(player.habits)
        await self._loop_exam(player, FROZEN, 0, None)
        await self._golden(f"seed-{seed}", FROZEN, seed, None)
        live: Path | None = None
        static = self.found.static[FROZEN, 0, 0]
        for day, works in enumerate(plan.days, start=1):
            await self._day(player, folder, day, works, live)
            before, live = live, await self._night(player, folder, day, live)
            if live != before:
                static = await self._static(f"seed-{seed}.static.loop-{day}", live)
            else:
                self.steps.ticker.leave_out(STATIC_S * self.scale)
            self.found.static[LOOP, seed, day] = static
        await self._loop_exam(player, LOOP, len(plan.days), live)
        await self._filter(seed, folder / "data")
        await self._golden(f"seed-{seed}.loop-{len(plan.days)}", LOOP, seed, live)

    async def _day(
        self, player: Player, folder: Path, day: int, works: Sequence[Any], live: Path | None
    ) -> None:
        """Type a day's slice, then score its lines under both arms before any training on them."""
        data, name = folder / "data", f"seed-{player.seed}.day-{day}"

        async def type_it(share: Share) -> Any:
            played = player.play(data, folder / "workspace", works, day=day, share=share)
            return as_json(await played)

        weight = DAY_S * self.config.lines_per_day / 200
        result = await self.steps.once(name, weight, type_it, changes=data)
        sittings = sittings_of(result)

        async def score(share: Share) -> Any:
            if live is None:
                return None  # the loop still is the base: nothing to compare
            visits = await asyncio.to_thread(visits_by_place, data)
            places = positions_of(visits, sittings, None)
            return {
                FROZEN: await self._scores(None, places),
                LOOP: await self._scores(live, places),
            }

        scores = await self.steps.once(f"{name}.prequential", STATIC_S * self.scale, score)
        self.found.add_day(player.seed, day, sittings, scores)

    async def _night(
        self, player: Player, folder: Path, night: int, live: Path | None
    ) -> Path | None:
        """Train; return what is live afterwards, given what was before."""
        data = folder / "data"

        async def train(share: Share) -> Any:
            return await self.system.night(data, player.seed)

        name = f"seed-{player.seed}.night-{night}"
        result = await self.steps.once(name, night_s(self.config, night), train, changes=data)
        self.found.nights[player.seed, night] = result
        # Not asked of the folder: in a replay that goes on it is nights ahead, or half a night.
        return data / "adapters" / result["adapter"] if result["exit_code"] == 0 else live

    async def _loop_exam(self, player: Player, arm: str, night: int, adapter: Path | None) -> None:
        """Play the closed-loop exam; the same arm with the same adapter is played once."""
        folder = self.steps.folder / f"seed-{player.seed}" / f"exam-{arm}"

        async def play(share: Share) -> Any:
            sittings, visits = await player.exam(folder, adapter, self.exam_works, share=share)
            return assemble.as_values(loop_run(sittings, visits))

        weight = LOOP_EXAM_S * self.scale
        if arm == LOOP and adapter is None:
            self.found.loop[arm, player.seed, night] = self.found.loop[FROZEN, player.seed, 0]
            self.steps.ticker.leave_out(weight)
            return
        name = f"seed-{player.seed}.exam-loop.{arm}-{night}"
        self.found.loop[arm, player.seed, night] = await self.steps.once(name, weight, play)

    async def _filter(self, seed: int, data: Path) -> None:
        """Fit the show filter on what the loop recorded; say what it thinks of the last exam."""

        async def fit(share: Share) -> Any:
            return await asyncio.to_thread(filtering.fitted, data)

        night = self.config.num_days
        fitted = await self.steps.once(f"seed-{seed}.filter-{night}", pace.FILTER_S, fit)
        last = (LOOP, seed, night)
        self.found.loop[last] = filtering.with_chances(self.found.loop[last], fitted)

    async def _static(self, name: str, adapter: Path | None) -> Any:
        """Measure one arm on the fixed positions, the planted ones included."""
        places = [*self.positions, *self.planted]

        async def score(share: Share) -> Any:
            return await self._scores(adapter, places)

        values = await self.steps.once(name, STATIC_S * self.scale, score)
        return assemble.in_strata_of(places, values)

    async def _scores(self, adapter: Path | None, places: Sequence[ExamPosition]) -> Any:
        base = self.base
        scores = await self._in_turn(lambda: measure_positions(base, adapter, places))
        return assemble.as_values(scores)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """Await what needs the model in this process, alone and with the threads it may have.

        Libraries patch themselves while they train and load, and the engine changes the number of
        threads of the whole process: two at once would not find the same figures every time.
        """
        num_threads = self.base.num_threads

        def with_our_threads() -> T:
            torch.set_num_threads(num_threads)  # whatever the last one left
            return work()

        async with self.model_is_free:
            return await in_thread(with_our_threads)

    async def _golden(self, name: str, arm: str, seed: int, adapter: Path | None) -> None:
        """Measure what is forgotten of the standard library."""
        if adapter is None and arm == LOOP:
            self.steps.ticker.leave_out(GOLDEN_S)
            return

        async def score(share: Share) -> Any:
            prompter, wanted = self.base.prompter, self.config.num_golden
            golden = await self._in_turn(lambda: golden_positions(prompter, wanted))
            return await self._scores(adapter, [ExamPosition(p, ()) for p in golden])

        if adapter is None:
            name = "base"  # the same for every seed
        self.found.golden[arm, seed] = await self.steps.once(f"golden.{name}", GOLDEN_S, score)

    async def _offline_arms(self) -> None:
        """Train the offline arms on what the first seed's loop has recorded, and examine them.

        One after the other: nearly all of it needs the model in this process.
        """
        folder, night = self.steps.folder / "seed-1", self.config.num_days
        served = any(self.found.nights[1, n]["exit_code"] == 0 for n in range(1, night + 1))
        for arm in OFFLINE_ARMS:
            if arm not in self.config.arms:
                continue
            if arm == UNGATED and served:
                self.steps.ticker.leave_out(arm_s(self.config) + self._exams_s(arm))
                continue
            place = folder / "arms" / arm

            def make(arm: str = arm, place: Path = place) -> Any:
                return self._workshop.make(arm, place)

            async def train(share: Share, make: Callable[[], Any] = make) -> Any:
                try:
                    return await self._in_turn(make)
                except (DatasetError, TrainingDiverged) as error:
                    return {"left_out": str(error)}

            made = await self.steps.once(f"arm.{arm}-{night}", arm_s(self.config), train)
            if "left_out" in made:
                self.found.left_out[arm] = made["left_out"]
                self.steps.ticker.leave_out(self._exams_s(arm))
                continue
            self.found.offline[arm] = made
            static = await self._static(f"static.{arm}-{night}", place)
            self.found.static[arm, 1, night] = static
            if arm in LOOP_EXAM_ARMS:
                player = Player(self.system, Habits.drawn(1), 1, self.latencies_ms)
                await self._loop_exam(player, arm, night, place)

    def _exams_s(self, arm: str) -> float:
        """Return the seconds that an offline arm's exams take."""
        return self.scale * (STATIC_S + LOOP_EXAM_S * (arm in LOOP_EXAM_ARMS))

    @cached_property
    def _workshop(self) -> Workshop:
        """What the offline arms are made from; read once, and only if one is still to be made."""
        config, folder = self.config, self.steps.folder / "seed-1"
        night = NightConfig(
            data=folder / "data",
            model=config.model,
            device=config.device,
            min_pairs=config.min_pairs,
            seed=1,
        )
        recipe = self.found.nights[1, config.num_days]["metrics"].get("recipe") or {}
        objective = str(recipe.get("objective", "sft"))
        return Workshop.open(self.base, night, folder / "workspace", objective)
