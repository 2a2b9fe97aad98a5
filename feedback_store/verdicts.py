"""What a person can say of a pair: plain values, for those who store them and who obey them."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a person says of a pair, or (up, down) of a suggestion."""

    AGREE = "agree"
    SWAP = "swap"
    BOTH_BAD = "both_bad"
    BOTH_GOOD = "both_good"
    EDIT = "edit"
    SKIP = "skip"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class Judgement:
    """What counts of a completion's reviews. The sides are None in reviews of old."""

    verdict: Verdict
    text: str | None
    chosen: str | None
    rejected: str | None
