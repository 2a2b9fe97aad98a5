"""Turns an answer into the chance that it is of use, and that into whether it is shown.

A suggestion that nobody takes costs reading. What a team read and left, or never read, is enough
to tell many of those beforehand: a logistic regression on what the host knows of an answer, fitted
each night (`trainer/show_filter.py`). It knows nothing of how it was fitted. Pure.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

EXPLORED = 0.05  # of what would be hidden is shown, so that the next filter learns of it too
_NEAR_CHARACTERS = 3000
_WORD = re.compile(r"[^\W\d]\w+")
_UNSURE = -1.0  # nats


@dataclass(frozen=True)
class Offer:
    """What the host knows of an answer before anybody sees it. `log_probs` in nats per token."""

    prefix: str
    suffix: str
    text: str
    log_probs: Sequence[float]
    finish_reason: str


@dataclass(frozen=True)
class ShowFilter:
    """Weights of standardised features; an offer whose chance is below `threshold` is hidden."""

    names: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    threshold: float

    def chance(self, offer: Offer) -> float:
        """Return the chance, 0 to 1, that what is offered is of use."""
        return self.chance_of(features(offer))

    def chance_of(self, values: Mapping[str, float]) -> float:
        """Return the chance of an offer with these features."""
        logit = self.intercept
        for name, mean, scale, weight in zip(
            self.names, self.means, self.scales, self.weights, strict=True
        ):
            logit += weight * (values[name] - mean) / scale
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))

    def decide(self, offer: Offer, completion_id: UUID) -> tuple[bool, float]:
        """Return whether to show an offer, and the probability with which that was decided.

        A fixed share of what would be hidden is shown all the same. The draw depends on nothing
        but the id, so a decision can be repeated.
        """
        if self.chance(offer) >= self.threshold:
            return True, 1.0
        drawn = int.from_bytes(hashlib.sha256(completion_id.bytes).digest()[:8], "big") / 2**64
        shown = drawn < EXPLORED
        return shown, EXPLORED if shown else 1 - EXPLORED

    def to_json(self) -> str:
        """Return the filter as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ShowFilter":
        """Return the filter that `to_json` wrote. ValueError: it is none, or of other features."""
        try:
            told: Mapping[str, Any] = json.loads(text)
            found = cls(
                names=tuple(told["names"]),
                means=tuple(map(float, told["means"])),
                scales=tuple(map(float, told["scales"])),
                weights=tuple(map(float, told["weights"])),
                intercept=float(told["intercept"]),
                threshold=float(told["threshold"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a show filter: {error!r}") from error
        if unknown := set(found.names) - set(FEATURES):
            raise ValueError(f"a show filter with unknown features: {', '.join(sorted(unknown))}")
        if len({len(found.names), len(found.means), len(found.scales), len(found.weights)}) != 1:
            raise ValueError("a show filter whose columns differ in length")
        return found


def features(offer: Offer) -> dict[str, float]:
    """Return what the chance depends on, by name: numbers about confidence, place and text."""
    left = offer.prefix.rsplit("\n", 1)[-1]
    first_line = offer.text.split("\n", 1)[0].strip()
    return {**_confidence(offer), **_place(offer, left), **_novelty(offer, first_line)}


def _confidence(offer: Offer) -> dict[str, float]:
    log_probs = list(offer.log_probs) or [0.0]
    return {
        "mean_log_prob": sum(log_probs) / len(log_probs),
        "sum_log_prob": sum(log_probs),
        "lowest_log_prob": min(log_probs),
        "first_log_prob": log_probs[0],
        "second_log_prob": log_probs[min(1, len(log_probs) - 1)],
        "share_unsure": sum(one < _UNSURE for one in log_probs) / len(log_probs),
        "num_tokens": float(len(log_probs)),
        "cut_by_length": float(offer.finish_reason == "length"),
    }


def _place(offer: Offer, left: str) -> dict[str, float]:
    written = left.strip()
    return {
        "line_is_blank": float(not written),
        "characters_left": len(written) / 20,
        "inside_word": float(bool(left) and (left[-1].isalnum() or left[-1] == "_")),
        "after_opener": float(left.endswith((".", "("))),
        "characters_right": math.log1p(len(offer.suffix.split("\n", 1)[0].strip())),
    }


def _novelty(offer: Offer, first_line: str) -> dict[str, float]:
    near = offer.prefix[-_NEAR_CHARACTERS:]
    words = _WORD.findall(first_line)
    return {
        "log_characters": math.log1p(len(offer.text)),
        "num_words": float(len(words)),
        "share_of_words_near": sum(word in near for word in words) / max(1, len(words)),
        "line_is_near": float(bool(first_line) and first_line in near),
    }


FEATURES = tuple(features(Offer("", "", "", (), "")))
