"""Turns works and an adapter into sittings: the typist at the real system, days and exams alike.

A day plays against the loop's own folder. An exam plays against a throw-away folder in which one
arm serves, so that nothing of it can ever be trained on. This module knows nothing of scores.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feedback_store import adapter_files
from feedback_store.database import Database, default_url
from feedback_store.registry import Registry
from feedback_store.visits import Visit
from lsp_server.engine.show_filter import features
from trainer.errors import ReplayError
from trainer.replay.exam import visits_by_place
from trainer.replay.measures import LoopRequest, LoopRun
from trainer.replay.sitting import Observation, Sitting, TypingSession
from trainer.replay.system import System
from trainer.replay.typist import Habits
from trainer.replay.work import Work
from trainer.show_filter import offer_of

BEGIN_MS = 1_790_000_000_000
DAY_MS = 24 * 3600 * 1000
PROMOTER = "hone replay"

Share = Callable[[float], None]  # told what share is done


@dataclass(frozen=True)
class Player:
    """The typist of one seed, and the latencies that all arms are given alike."""

    system: System
    habits: Habits
    seed: int
    latencies_ms: tuple[float, ...]
    reads: bool = True

    async def play(
        self, data: Path, workspace: Path, works: Sequence[Work], *, day: int, share: Share
    ) -> list[Sitting]:
        """Type all works against the host of `data`; feedback is delivered when this returns."""
        sittings: list[Sitting] = []
        async with (
            self.system.host(data) as url,
            self.system.editor(data, url, workspace) as client,
        ):
            session = TypingSession(
                client,
                workspace,
                self.habits,
                seed=self.seed,
                latencies_ms=self.latencies_ms,
                now_ms=BEGIN_MS + day * DAY_MS,
                reads=self.reads,
            )
            for work in works:
                sittings.append(await session.play(work))
                share(len(sittings) / len(works))
        return sittings

    async def exam(
        self, folder: Path, adapter: Path | None, works: Sequence[Work], *, share: Share
    ) -> tuple[list[Sitting], Mapping[tuple[str, int], Visit]]:
        """Play the closed-loop exam of one arm in a folder that is gone afterwards."""
        shutil.rmtree(folder, ignore_errors=True)
        data = folder / "data"
        try:
            if adapter is not None:
                install(data, adapter)
            sittings = await self.play(data, folder / "workspace", works, day=0, share=share)
            return sittings, visits_by_place(data)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def install(data: Path, adapter: Path) -> None:
    """Make a sealed adapter the live one of a fresh data folder."""
    staging = data / "adapters" / ".staging-exam"
    shutil.copytree(adapter, staging)
    manifest = adapter_files.check(staging)
    database = Database.open(default_url(data))
    try:
        registry = Registry(database, data / "adapters")
        record = registry.register(
            staging, base_sha256=manifest.base_sha256, run_id=manifest.run_id, metrics={}
        )
        registry.promote(record.sha256, by=PROMOTER, reason="the exam of this arm")
    finally:
        database.close()


def loop_run(sittings: Sequence[Sitting], visits: Mapping[tuple[str, int], Visit]) -> LoopRun:
    """Return what the closed-loop measures are made from."""
    characters: dict[str, int] = {}
    for sitting in sittings:
        known = characters.get(sitting.file_id, 0)
        characters[sitting.file_id] = known + sitting.num_true_characters
    requests = tuple(
        _request(sitting.file_id, seen, visits.get((seen.path, seen.requested_ms)))
        for sitting in sittings
        for seen in sitting.observations
    )
    return LoopRun(requests, characters)


def latencies_of(sittings: Sequence[Sitting]) -> tuple[float, ...]:
    """Return how long each offer took, ms, ascending; ReplayError where nothing was offered."""
    seen = [seen for sitting in sittings for seen in sitting.observations]
    latencies = tuple(sorted(one.latency_ms for one in seen if one.offered))
    if not latencies:
        raise ReplayError(f"nothing was suggested at {len(seen)} places: nothing can be compared")
    return latencies


def as_json(sittings: Sequence[Sitting]) -> list[dict[str, Any]]:
    """Return sittings as JSON values."""
    return [asdict(sitting) for sitting in sittings]


def sittings_of(values: Sequence[Mapping[str, Any]]) -> list[Sitting]:
    """Return the sittings of `as_json`."""
    return [
        Sitting(**{**value, "observations": tuple(Observation(**o) for o in value["observations"])})
        for value in values
    ]


def _request(file_id: str, seen: Observation, visit: Visit | None) -> LoopRequest:
    candidates = visit.completion.candidates if visit else ()
    log_probs = candidates[0].log_probs if candidates else ()
    known = features(offer_of(visit)) if visit and candidates else None
    return LoopRequest(
        file_id=file_id,
        shown=seen.shown,
        confidence=sum(log_probs) / len(log_probs) if log_probs else None,
        accepted=seen.accepted,
        retained=seen.retained,
        deleted=seen.deleted,
        read_ms=seen.read_ms,
        action=seen.action,
        was_right=bool(seen.offered.strip()) and seen.truth.startswith(seen.offered.rstrip()),
        features=known,
    )
