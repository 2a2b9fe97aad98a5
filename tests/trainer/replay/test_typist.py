"""The simulated developer decides by place alone, and about as often as it was calibrated to."""

import argparse
import random
import shutil
import statistics
import textwrap
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.replay.bodies import pieces_of
from trainer.replay.comparing import is_right
from trainer.replay.passage import Passage
from trainer.replay.typist import RANGES, Decision, Habits, Luck, Typist

TEXTS = st.text(alphabet="ab_.(), \n", min_size=1, max_size=40)
SEEDS = range(8)
RIGHT_SHARE = 0.23


def typist_of(seed: int = 0, habits: Habits | None = None, file_id: str = "a.py") -> Typist:
    return Typist(habits or Habits.typical(), Luck(seed, file_id), [80, 120, 300])


def passages() -> list[tuple[str, Passage]]:
    """Real function bodies, with the file that each is from."""
    found = []
    for module in (argparse, shutil, textwrap):
        path = Path(str(module.__file__))
        text = path.read_text(encoding="utf-8")
        found += [(path.name, Passage(p.text, p.start)) for p in pieces_of(text, 30)]
    return found


REAL = passages()


def pauses(typist: Typist, passage: Passage) -> Iterator[int]:
    offset = 0
    while offset < len(passage.text):
        if typist.asks(typist.gap_ms(passage, offset)):
            yield offset
        offset += len(passage.key(offset))


def requests_per_line(seed: int, habits: Habits) -> float:
    num_lines = sum(1 for _, p in REAL for line in p.text.split("\n") if line.strip())
    asked = sum(1 for name, p in REAL for _ in pauses(typist_of(seed, habits, name), p))
    return asked / num_lines


def refused_right_share(seed: int, habits: Habits) -> float:
    """The share of refused suggestions that were right, where 23 % are right."""
    rng = random.Random(seed)
    lines = [line.strip() for _, p in REAL for line in p.text.split("\n") if len(line.strip()) > 8]
    refused = []
    for name, passage in REAL:
        typist = typist_of(seed, habits, name)
        for offset in pauses(typist, passage):
            truth = passage.text[offset:]
            line = truth.split("\n")[0]
            if line and typist.notices(passage, offset):
                offered = suggestion(rng, line, lines)
                decision = typist.decide(passage, offset, offered, truth)
                if decision.action in ("typed_on", "dismissed"):
                    refused.append(is_right(offered, truth))
    return statistics.fmean(refused)


def suggestion(rng: random.Random, line: str, lines: list[str]) -> str:
    """The rest of the line or half of it; or some first characters, then another line's."""
    if rng.random() < RIGHT_SHARE:
        return line[: max(1, int(len(line) * rng.choice((1, 1, 0.5))))]
    num_right = min(len(line) - 1, int(rng.expovariate(0.25)))
    return line[:num_right] + rng.choice(lines)[rng.randrange(4) :]


def test_habits_stay_in_their_ranges() -> None:
    assert {field.name for field in fields(Habits)} == set(RANGES)
    for seed in SEEDS:
        for name, (low, high) in RANGES.items():
            assert low <= getattr(Habits.drawn(seed), name) <= high
    assert Habits.drawn(1) == Habits.drawn(1) != Habits.drawn(2)


def test_luck_is_keyed_by_everything() -> None:
    keys = [(s, f, o, n) for s in (0, 1) for f in "ab" for o in range(50) for n in ("gap", "part")]
    draws = [Luck(s, f)(o, n) for s, f, o, n in keys]
    assert len(set(draws)) == len(draws)
    assert all(0 < draw < 1 for draw in draws)
    assert abs(statistics.fmean(draws) - 0.5) < 0.06


@given(st.lists(st.integers(0, 500), unique=True, min_size=2), st.randoms())
def test_draws_do_not_depend_on_order(offsets: list[int], rng: random.Random) -> None:
    passage, shuffled = Passage("x = 1\n" * 100), list(offsets)
    rng.shuffle(shuffled)
    draws = [{o: typist_of().gap_ms(passage, o) for o in order} for order in (offsets, shuffled)]
    assert draws[0] == draws[1]


def test_a_place_is_the_same_wherever_the_passage_starts() -> None:
    text = "value = table[key]\nreturn value"
    whole, rest = Passage(text), Passage(text[8:], 8)
    assert typist_of().gap_ms(whole, 19) == typist_of().gap_ms(rest, 11)
    assert typist_of().latency_ms(whole, 19) == typist_of().latency_ms(rest, 11)


@given(TEXTS, TEXTS, TEXTS, st.integers(0, 300), st.booleans())
def test_decisions_make_sense(
    shared: str, offered: str, truth: str, seed: int, whole: bool
) -> None:
    offered, truth = shared + offered, shared + truth
    decision = typist_of(seed).decide(Passage(truth), 0, offered, truth, whole=whole)
    right = is_right(offered, truth)
    match decision.action:
        case "accepted":
            assert whole
            assert right or not offered.strip()
        case "accepted_then_mended" | "accepted_then_deleted":
            assert whole
            assert not right
        case "took_word" | "took_line":
            assert not right
            assert offered[: decision.length] == truth[: decision.length]
        case action:
            assert action in ("dismissed", "typed_on")


def test_the_longer_a_right_suggestion_the_surer_it_is_taken() -> None:
    def share(length: int) -> float:
        truth = "x" * 60
        decisions = [
            typist_of(seed).decide(Passage(truth), 0, truth[:length], truth) for seed in range(400)
        ]
        return sum(d.action == "accepted" for d in decisions) / len(decisions)

    assert share(2) < 0.45
    assert share(2) < share(8) < share(20)
    assert share(20) > 0.9


def test_mending_needs_much_to_be_right() -> None:
    keen = replace(Habits.typical(), accept_bias=30.0, careless_probability=0.0)
    truth = "return self.table.get(key)"
    check = typist_of(habits=keen).decide
    offered = "return self.table.get(kex)"
    assert check(Passage(truth), 0, offered, truth) == Decision("accepted_then_mended", 26)
    assert check(Passage(truth), 0, "return None if self is None", truth).action != "accepted"


def test_reading_takes_longer_up_to_a_length() -> None:
    typist = typist_of()
    assert typist.read_ms("x") < typist.read_ms("x" * 50) < typist.read_ms("x" * 500)
    assert typist.read_ms("x" * 500) == typist.read_ms("x" * 5_000) < 10_000


def test_every_latency_is_drawn() -> None:
    passage = Passage("x" * 300)
    drawn = {typist_of().latency_ms(passage, offset) for offset in range(300)}
    assert drawn == {80, 120, 300}
    with pytest.raises(ValueError, match="latencies_ms is empty"):
        Typist(Habits.typical(), Luck(0, "a"), [])


def test_real_code_has_about_so_many_requests_per_line() -> None:
    # The lines of these modules are longer than most: 1.65 was calibrated on `rich`.
    assert requests_per_line(0, Habits.typical()) == pytest.approx(1.85, abs=0.2)
    rates = [requests_per_line(seed, Habits.drawn(seed)) for seed in SEEDS]
    assert statistics.fmean(rates) == pytest.approx(1.85, abs=0.2)
    assert min(rates) > 1.2
    assert max(rates) < 2.6


def test_about_seven_percent_of_refusals_are_wrong() -> None:
    shares = [refused_right_share(seed, Habits.drawn(seed)) for seed in SEEDS]
    assert statistics.fmean(shares) == pytest.approx(0.07, abs=0.015)
    assert min(shares) > 0.03
    assert max(shares) < 0.12
