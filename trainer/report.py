"""What an evaluation found: plain numbers per held-out position, for the gate and the run record.

This module knows nothing of how they were measured, nor of what is decided from them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ArmScore:
    """What one arm did at one position. `matched` counts characters of the common start of its
    greedy answer and the settled text, `expected_matched` those of an answer drawn by chance;
    `parses` is None where that cannot be told."""

    log_prob: float  # nats per token of the settled text, mean
    expected_matched: float = 0.0  # at temperature 1, in the mean over all answers
    matched: int | None = None  # None: nothing was generated here
    exact: bool = False  # all of the settled text, and no more where more would be too much
    ran_on: bool = False  # went on after the settled text was complete
    stopped_early: bool = False  # ended by itself before the settled text did
    parses: bool | None = None
    engine_ms: float | None = None


@dataclass(frozen=True)
class PositionScore:
    """Both arms at one held-out position (or one item of the golden set)."""

    file_key: str
    num_characters: int  # of the settled text
    num_tokens: int
    candidate: ArmScore
    live: ArmScore

    @property
    def delta_nats(self) -> float:
        """Candidate minus live, mean log-probability per token."""
        return self.candidate.log_prob - self.live.log_prob

    @property
    def is_generated(self) -> bool:
        return self.candidate.matched is not None and self.live.matched is not None


@dataclass(frozen=True)
class Report:
    """Everything measured of one candidate against what is live."""

    positions: tuple[PositionScore, ...]
    golden: tuple[
        PositionScore, ...
    ]  # `live` is the bare base there: forgetting adds up over nights
    preference_accuracy: float | None = None  # reported, never gated
    dev_gain_nats: float | None = None  # on the inner split, for choosing between candidates

    def rate(self, arm: Literal["candidate", "live"], of: Callable[[ArmScore], bool]) -> float:
        """Return the share of generated positions at which `of` holds for one arm."""
        scores = [getattr(p, arm) for p in self.positions if p.is_generated]
        return sum(map(of, scores)) / len(scores) if scores else 0.0

    def parse_rate(self, arm: Literal["candidate", "live"]) -> float | None:
        """Return the share that parses, of the positions where it can be told for both arms."""
        told = [
            p
            for p in self.positions
            if p.candidate.parses is not None and p.live.parses is not None
        ]
        return sum(bool(getattr(p, arm).parses) for p in told) / len(told) if told else None

    def latency_ratio(self) -> float | None:
        """Return the candidate's median engine time over the live arm's."""
        candidate = _median([p.candidate.engine_ms for p in self.positions])
        live = _median([p.live.engine_ms for p in self.positions])
        return candidate / live if candidate is not None and live else None


def _median(values: list[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None
