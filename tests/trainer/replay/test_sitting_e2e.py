"""What the typist does to a real language server is what the real store says was done."""

import asyncio
import bisect
import heapq
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest

from feedback_store.schemas import OutcomeKind
from feedback_store.visits import Visit
from trainer.replay.bodies import pieces_of, sitting
from trainer.replay.exam import visits_by_place
from trainer.replay.sitting import Observation, Sitting, TypingSession
from trainer.replay.system import System
from trainer.replay.typist import Habits
from trainer.replay.work import Work

pytestmark = pytest.mark.slow

NOON_MS = 1_790_000_000_000
# Keen on everything, so that a few lines hold all that can be done; some answers are late.
HABITS = replace(
    Habits.typical(), accept_bias=1.0, careless_probability=0.06, dismiss_probability=0.15
)
LATENCIES_MS = (60, 90, 120, 200, 3_000)
MAY_BE: dict[str, set[str]] = {
    "accepted": {"accepted"},
    "accepted_then_mended": {"accepted"},
    "accepted_then_deleted": {"accepted"},
    "took_word": {"partially_accepted", "accepted"},
    "took_line": {"partially_accepted", "accepted"},
    "dismissed": {"dismissed"},
    "typed_on": {"diverged", "typed_through"},
    "missed": {"diverged", "typed_through", "unseen"},
    "late": {"unseen"},
    "none": {"unseen"},
}


WORKS = ((textwrap, "pkg/wrap.py", 3), (heapq, "heap.py", 3))
SURVEYED = ((bisect, "bisect.py", 2),)


@dataclass(frozen=True)
class Played:
    """What the typist did, and what the store knows of it."""

    sittings: list[Sitting]
    visits: Mapping[tuple[str, int], Visit]

    @property
    def observations(self) -> list[Observation]:
        return [seen for sitting in self.sittings for seen in sitting.observations]

    def last_of_each(self) -> list[tuple[Observation, Visit]]:
        """Every stored request with what was done about it in the end."""
        last = {(seen.path, seen.requested_ms): seen for seen in self.observations}
        assert set(last) == set(self.visits)
        return [(seen, self.visits[key]) for key, seen in last.items()]


def work_of(module: ModuleType, name: str, num_pieces: int) -> Work:
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    pieces = pieces_of(text, 12)[:num_pieces]
    return sitting(name, name, text, pieces, pieces)


async def play(data: Path) -> tuple[list[Sitting], list[Sitting]]:
    """Type some works, survey another, in one editor after the other."""
    system, workspace = System("starter", "cpu", 1, 40), data.parent / "workspace"
    played = []
    async with system.host(data) as url:
        for works, reads in ((WORKS, True), (SURVEYED, False)):
            async with system.editor(data, url, workspace) as client:
                session = TypingSession(
                    client,
                    workspace,
                    HABITS,
                    seed=3,
                    latencies_ms=LATENCIES_MS,
                    now_ms=NOON_MS,
                    reads=reads,
                )
                played.append([await session.play(work_of(*work)) for work in works])
    for work in (work_of(*work) for work in WORKS + SURVEYED):
        assert (workspace / work.path).read_text(encoding="utf-8") == work.after
    return played[0], played[1]


@pytest.fixture(scope="module")
def typed_and_surveyed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Played, Played]:
    """One host for both tests: starting it is what takes long."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / ".git").mkdir()  # a repository that ignores what is replayed in it
    (folder / ".gitignore").write_text("*\n")
    data = folder / "data"
    typed, surveyed = asyncio.run(play(data))
    visits = visits_by_place(data)
    paths = {name for _, name, _ in SURVEYED}
    of = [
        {key: v for key, v in visits.items() if (key[0] in paths) is wanted}
        for wanted in (False, True)
    ]
    return Played(typed, of[0]), Played(surveyed, of[1])


def check_settled(seen: Observation, visit: Visit) -> None:
    """What stands there in the end is the truth, or the part of it that was accepted."""
    outcome = visit.outcome
    assert outcome.settled_text is not None
    assert outcome.prefix_intact
    if outcome.reaches_suffix:
        assert outcome.settled_text == seen.truth
    else:
        assert seen.truth.startswith(outcome.settled_text.rstrip())
        assert outcome.kind in (OutcomeKind.ACCEPTED, OutcomeKind.TYPED_THROUGH)


def test_the_store_says_what_the_typist_did(typed_and_surveyed: tuple[Played, Played]) -> None:
    played, _ = typed_and_surveyed
    assert {"accepted", "took_word", "typed_on", "late"} <= {s.action for s in played.observations}
    for seen, visit in played.last_of_each():
        assert visit.outcome.kind.value in MAY_BE[seen.action], seen
        if not seen.is_repeat:
            check_settled(seen, visit)
        if seen.completion_id:
            assert str(visit.completion.request.completion_id) == seen.completion_id
        if seen.action == "accepted_then_deleted":
            assert visit.outcome.undone
        if seen.is_refused and not seen.is_right:
            assert visit.outcome.kind.value in ("diverged", "dismissed")


def test_a_survey_leaves_a_row_with_the_truth_for_every_place(
    typed_and_surveyed: tuple[Played, Played],
) -> None:
    _, played = typed_and_surveyed
    assert len(played.visits) == len(played.observations) > 10
    for seen, visit in played.last_of_each():
        assert visit.outcome.kind is OutcomeKind.UNSEEN
        assert visit.outcome.settled_text == seen.truth
        assert visit.outcome.reaches_suffix
        assert visit.outcome.prefix_intact
