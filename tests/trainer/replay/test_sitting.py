"""Whatever is offered, the true text stands in the end, and every request is accounted for."""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer.errors import ReplayError
from trainer.replay.lsp_client import LspClient, offset_of, position_of
from trainer.replay.sessions import latencies_of
from trainer.replay.sitting import Sitting, TypingSession, WrongText
from trainer.replay.typist import Habits
from trainer.replay.work import Hunk, Work

NOON_MS = 1_790_000_000_000
BEFORE = "def one(table):\n\n\ndef two(a):\n    old = a\n    return old\n"
HUNKS = (
    Hunk(15, 15, "\n    for key in table:\n        print(key, table[key])\n    return len(table)"),
    Hunk(34, 58, "value = a.get('ü𝄞') + 1\n    return value"),
)
WORK = Work("pkg/m.py", "m", BEFORE, HUNKS)
SMALL = Habits.typical()
KEEN = replace(SMALL, notice_probability=1.0, accept_bias=30.0, pause_gaps=1.2, mend_ratio=0.5)


class Offering(LspClient):
    """A server without a process: `offer(text, offset)` makes up what it suggests, if anything.

    What is told it is noted; `num_replaced` characters behind the caret are to be replaced.
    """

    def __init__(self, offer: Any, num_replaced: int = 0) -> None:
        """Nothing is started."""
        self.texts, self._versions = {}, {}
        self._offer, self._num_replaced = offer, num_replaced
        self.told: list[tuple[str, Any]] = []

    async def notify(self, method: str, params: Any) -> None:
        self.told.append((method, params))

    async def request(self, method: str, params: Any) -> Any:
        self.told.append((method, params))
        if method != "textDocument/inlineCompletion":
            return None
        text = self.texts[params["textDocument"]["uri"]]
        offset = offset_of(text, params["position"])
        end = min(len(text), offset + self._num_replaced)
        offered = self._offer(text, offset)
        if not offered:
            return {"items": []}
        spot = {"start": params["position"], "end": position_of(text, end)}
        command = {"command": "hone.accepted", "arguments": [str(uuid4()), 0]}
        return {"items": [{"insertText": offered, "range": spot, "command": command}]}

    def kinds(self) -> Counter[str]:
        """How often each method was told."""
        return Counter(method for method, _ in self.told)


def play(
    folder: Path, client: LspClient, *works: Work, habits: Habits = SMALL, **options: Any
) -> list[Sitting]:
    given = {"seed": 0, "latencies_ms": [50, 150], "now_ms": NOON_MS, **options}
    session = TypingSession(client, folder, habits, **given)

    async def all_of_it() -> list[Sitting]:
        return [await session.play(work) for work in works]

    return asyncio.run(all_of_it())


def true_rest(text: str, offset: int) -> str:
    """What the work still needs at a place of its document; "" where that is not clear."""
    after = WORK.after
    return after[offset:] if text[:offset] == after[:offset] else ""


def mangled(rng: random.Random) -> Any:
    """Make up suggestions that are right, nearly right, run on, or are nonsense."""

    def offer(text: str, offset: int) -> str:
        rest = true_rest(text, offset)[: rng.choice((1, 4, 12, 40, 90))]
        match rng.randrange(6):
            case 0:
                return ""
            case 1:
                return rest
            case 2:
                return rest + rng.choice(("  ", "\n", ")", "\n    more(1)\n"))
            case 3 if rest:
                at = rng.randrange(len(rest))
                return rest[:at] + rng.choice(("x", "()", "", "\n ", "𝄞")) + rest[at + 1 :]
            case 4:
                return rest[: rng.randrange(9)] + "nonsense(here)\n    and = there"
        return rest[:20]

    return offer


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.sampled_from((0, 0, 1, 3)), st.booleans(), st.booleans())
def test_the_true_text_stands_in_the_end(
    tmp_path: Path, seed: int, num_replaced: int, is_keen: bool, reads: bool
) -> None:
    client = Offering(mangled(random.Random(seed)), num_replaced)
    habits = KEEN if is_keen else replace(Habits.drawn(seed), careless_probability=0.2)
    (sitting,) = play(tmp_path, client, WORK, habits=habits, seed=seed, reads=reads)
    assert (tmp_path / WORK.path).read_text(encoding="utf-8") == WORK.after
    assert sitting.num_true_characters == 95
    for seen in sitting.observations:
        assert WORK.hunks[seen.hunk].text[seen.offset :] == seen.truth
        assert 0 <= seen.retained <= seen.accepted
        assert seen.accepted == 0 or (seen.shown and seen.read_ms > 0)
        assert seen.deleted <= len(seen.offered)
    assert sum(seen.retained for seen in sitting.observations) <= sitting.num_true_characters


@pytest.mark.parametrize(
    ("before", "hunk"),
    [
        ("", Hunk(0, 0, "import os\n\nprint(os)\n")),
        ("x = 1\n", Hunk(0, 0, "import os\n")),
        ("x = 1\n", Hunk(0, 6, "")),
        ("if x:\n    a()\n", Hunk(6, 14, "    b()\n    c()\n")),
        ("a\r\nb\r\n", Hunk(1, 1, "\r\n    c\r\n    d")),
        ("a = f(x)\n", Hunk(6, 7, "y, z")),
    ],
)
def test_hunks_of_every_shape_are_typed(tmp_path: Path, before: str, hunk: Hunk) -> None:
    work = Work("m.py", "m", before, (hunk,))
    play(tmp_path, Offering(lambda text, offset: ""), work)
    assert (tmp_path / "m.py").read_bytes().decode() == work.after


def test_one_key_is_one_change_and_one_tick(tmp_path: Path) -> None:
    client = Offering(lambda text, offset: "")
    (sitting,) = play(tmp_path, client, WORK)
    kinds = client.kinds()
    assert sitting.num_keys == kinds["textDocument/didChange"] == 95 + 1  # old text is removed
    assert kinds["hone/tick"] < 95 + 20 + len(sitting.observations)
    assert {seen.action for seen in sitting.observations} == {"none"}
    ticks = [params["now_ms"] for method, params in client.told if method == "hone/tick"]
    assert ticks == sorted(ticks)
    assert ticks[-1] - NOON_MS > 600_000
    assert [method for method, _ in client.told][-2:] == [
        "textDocument/didSave",
        "textDocument/didClose",
    ]


def test_two_arms_meet_the_same_pauses(tmp_path: Path) -> None:
    (quiet,) = play(tmp_path, Offering(lambda text, offset: ""), WORK)
    (wrong,) = play(tmp_path, Offering(lambda text, offset: "§§§"), WORK)
    places = [[(seen.hunk, seen.offset) for seen in s.observations] for s in (quiet, wrong)]
    assert places[0] == places[1]
    assert {seen.action for seen in wrong.observations} <= {"typed_on", "dismissed", "missed"}
    (again,) = play(tmp_path, Offering(lambda text, offset: "§§§"), WORK)
    assert [seen.action for seen in again.observations] == [s.action for s in wrong.observations]
    (other,) = play(tmp_path, Offering(lambda text, offset: ""), WORK, seed=1)
    assert [(seen.hunk, seen.offset) for seen in other.observations] != places[0]


def test_accepting_saves_keys(tmp_path: Path) -> None:
    client = Offering(lambda text, offset: true_rest(text, offset).split("\n")[0])
    (sitting,) = play(tmp_path, client, WORK, habits=KEEN)
    taken = [seen for seen in sitting.observations if seen.action == "accepted"]
    retained = sum(seen.retained for seen in taken)
    assert retained > 30
    assert sitting.num_keys == 95 + 1 - retained + len(taken)
    assert client.kinds()["workspace/executeCommand"] == len(taken)


def test_late_answers_are_never_shown(tmp_path: Path) -> None:
    client = Offering(lambda text, offset: "x")
    (sitting,) = play(tmp_path, client, WORK, latencies_ms=[60_000])
    assert {(s.action, s.shown) for s in sitting.observations} == {("late", False)}
    shown = [params for method, params in client.told if method == "hone/shown"]
    assert [UUID(params["completion_id"]).int for params in shown] == [0]


def test_a_survey_asks_and_never_looks(tmp_path: Path) -> None:
    client = Offering(lambda text, offset: true_rest(text, offset)[:5])
    (sitting,) = play(tmp_path, client, WORK, reads=False)
    assert {(s.action, s.shown) for s in sitting.observations} == {("late", False)}
    assert client.kinds()["hone/dismissed"] == len(sitting.observations)
    (plain,) = play(tmp_path, Offering(lambda text, offset: ""), WORK)
    assert [s.offset for s in sitting.observations] == [s.offset for s in plain.observations]


def test_a_wrong_text_is_an_error(tmp_path: Path) -> None:
    client = Offering(lambda text, offset: "")
    overlapping = Work("m.py", "m", "abcdef", (Hunk(0, 4, "x"), Hunk(1, 3, "y")))
    with pytest.raises(WrongText, match="typed wrong from character"):
        play(tmp_path, client, overlapping)


def test_a_survey_without_a_suggestion_is_an_error() -> None:
    with pytest.raises(ReplayError, match="nothing was suggested at 0 places"):
        latencies_of([Sitting("a.py", 10, 10, ())])
