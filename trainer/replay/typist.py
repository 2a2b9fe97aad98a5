"""Turns what is to be typed and what is offered into a simulated developer's decisions. Pure.

Every decision is a draw keyed by its place in the true text, never by what happened before, so two
arms that meet the same place meet the same typist. This module knows nothing of clocks, documents,
editors or servers; `sitting.py` carries out what is decided here.

The habits are not measured on people: their ranges are chosen so that a day of real Python has
about 1.65 requests per typed line and about 7 % of all refused suggestions were right.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Literal, Self

from trainer.replay.comparing import num_shared, right_part
from trainer.replay.passage import Passage

Action = Literal[
    "none",
    "late",
    "missed",
    "accepted",
    "accepted_then_mended",
    "accepted_then_deleted",
    "took_word",
    "took_line",
    "dismissed",
    "typed_on",
]

MIN_GAP_MS = 25  # no finger is faster
_NORMAL = NormalDist()

# From, to: what `Habits.drawn` draws from, and what `Habits.typical` takes the middle of.
RANGES: dict[str, tuple[float, float]] = {
    "key_gap_ms": (140.0, 200.0),
    "key_gap_sigma": (0.45, 0.49),
    "word_pause_factor": (1.4, 1.6),
    "line_pause_factor": (2.2, 2.8),
    "pause_gaps": (2.37, 2.49),
    "read_base_ms": (420.0, 620.0),
    "read_ms_per_character": (9.0, 19.0),
    "max_read_characters": (80.0, 160.0),
    "notice_probability": (0.84, 0.96),
    "accept_bias": (-1.6, -1.0),
    "accept_per_match": (0.18, 0.26),
    "accept_per_mismatch": (0.35, 0.65),
    "mend_ratio": (1.5, 2.5),
    "careless_probability": (0.002, 0.008),
    "take_part_probability": (0.35, 0.6),
    "min_part_characters": (3.0, 5.0),
    "dismiss_probability": (0.03, 0.09),
    "correct_ms": (900.0, 2_500.0),
    "move_ms": (1_500.0, 4_000.0),
}


@dataclass(frozen=True)
class Habits:
    """Every parameter of the simulated developer; `RANGES` documents what each may be."""

    key_gap_ms: float  # median of the log-normal pause between two keys
    key_gap_sigma: float  # its spread, in logarithms
    word_pause_factor: float  # the pause before the first letter of a word is so much longer
    line_pause_factor: float  # and before the first key of a line
    pause_gaps: float  # after so many median gaps of silence an editor asks
    read_base_ms: float  # what any glance at a suggestion costs
    read_ms_per_character: float  # and each character of it
    max_read_characters: float  # as far as one reads; the rest of a long one is skimmed
    notice_probability: float  # that a suggestion on screen is looked at
    accept_bias: float  # log-odds of accepting: bias + per_match * m - per_mismatch * x
    accept_per_match: float  # m: characters of the beginning that is right
    accept_per_mismatch: float  # x: characters that are wrong
    mend_ratio: float  # a partly right one is accepted whole only where m >= ratio * x
    careless_probability: float  # of accepting a wrong one, and deleting it at once
    take_part_probability: float  # of taking the right words or lines of a partly right one
    min_part_characters: float  # fewer right characters are not worth taking
    dismiss_probability: float  # of waving a refused one away by a key, instead of typing on
    correct_ms: float  # from accepting to the first correction
    move_ms: float  # to the next place in a file

    @classmethod
    def drawn(cls, seed: int) -> Self:
        """Return one run's habits: every parameter uniform in its range."""
        luck = Luck(seed, "habits")
        return cls(**{f.name: _between(*RANGES[f.name], luck(0, f.name)) for f in fields(cls)})

    @classmethod
    def typical(cls) -> Self:
        """Return the middle of every range."""
        return cls(**{f.name: _between(*RANGES[f.name], 0.5) for f in fields(cls)})

    @property
    def min_pause_ms(self) -> float:
        """From so long a pause on the editor asks for a suggestion."""
        return self.pause_gaps * self.key_gap_ms


@dataclass(frozen=True)
class Luck:
    """Draws keyed by seed, file, offset in the true text and a name: same key, same draw."""

    seed: int
    file_id: str

    def __call__(self, offset: int, name: str) -> float:
        """Return a uniform number in 0 < u < 1."""
        key = f"{self.seed}\0{self.file_id}\0{offset}\0{name}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return ((int.from_bytes(digest) >> 12) + 0.5) / 2**52

    def normal(self, offset: int, name: str) -> float:
        """Return a draw from the standard normal distribution."""
        return _NORMAL.inv_cdf(self(offset, name))


@dataclass(frozen=True)
class Decision:
    """What is done about a suggestion that was read; `length` first characters of it are taken."""

    action: Action
    length: int = 0


class Typist:
    """Decides for one file. Offsets are those of the passage; draws are keyed by true offsets."""

    def __init__(self, habits: Habits, luck: Luck, latencies_ms: Sequence[float]) -> None:
        """`latencies_ms`: measured once, shared by all arms. Raises ValueError if empty."""
        if not latencies_ms:
            raise ValueError("latencies_ms is empty: measure some requests first")
        self.habits = habits
        self._luck = luck
        self._latencies_ms = sorted(latencies_ms)

    def gap_ms(self, passage: Passage, offset: int) -> int:
        """Return the pause before the key at `offset`."""
        habits = self.habits
        factors = {"line": habits.line_pause_factor, "word": habits.word_pause_factor, None: 1.0}
        spread = habits.key_gap_sigma * self._luck.normal(passage.start + offset, "gap")
        gap_ms = habits.key_gap_ms * factors[passage.begins(offset)] * math.exp(spread)
        return max(MIN_GAP_MS, round(gap_ms))

    def asks(self, gap_ms: float) -> bool:
        """Tell whether an editor asks for a suggestion in a pause that long."""
        return gap_ms >= self.habits.min_pause_ms

    def latency_ms(self, passage: Passage, offset: int) -> int:
        """Return how long the answer to a request made here takes in the typist's time."""
        draw = self._luck(passage.start + offset, "latency")
        return round(self._latencies_ms[int(draw * len(self._latencies_ms))])

    def notices(self, passage: Passage, offset: int) -> bool:
        """Tell whether a suggestion shown here is looked at."""
        return self._luck(passage.start + offset, "notice") < self.habits.notice_probability

    def read_ms(self, offered: str) -> int:
        """Return what reading costs."""
        habits = self.habits
        num_read = min(len(offered), habits.max_read_characters)
        return round(habits.read_base_ms + habits.read_ms_per_character * num_read)

    def decide(
        self, passage: Passage, offset: int, offered: str, truth: str, *, whole: bool = True
    ) -> Decision:
        """Return what is done about `offered` by one who means to write `truth`.

        `whole` False: taking all of it would replace text that has to stay, so parts may be taken
        at most.
        """
        at = passage.start + offset
        offered = offered.rstrip()
        num_right = num_shared(offered, truth)
        num_wrong = len(offered) - num_right
        if whole and self._luck(at, "accept") < self._accept_probability(num_right, num_wrong):
            return Decision("accepted_then_mended" if num_wrong else "accepted", len(offered))
        if whole and num_wrong and self._luck(at, "careless") < self.habits.careless_probability:
            return Decision("accepted_then_deleted", len(offered))
        if num_wrong and self._luck(at, "part") < self.habits.take_part_probability:
            part = right_part(offered, truth)
            if part and part.length >= self.habits.min_part_characters:
                return Decision(part.action, part.length)
        is_dismissed = self._luck(at, "dismiss") < self.habits.dismiss_probability
        return Decision("dismissed" if is_dismissed else "typed_on")

    def _accept_probability(self, num_right: int, num_wrong: int) -> float:
        habits = self.habits
        if not num_right or num_right < habits.mend_ratio * num_wrong:
            return 0.0
        weight = habits.accept_per_match * num_right - habits.accept_per_mismatch * num_wrong
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, habits.accept_bias + weight))))


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
