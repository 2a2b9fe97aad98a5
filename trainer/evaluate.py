"""Turns a candidate adapter and held-out positions into a Report against what is live.

Both arms answer through the path that serves (`trainer.measure`); the golden set is measured
against the bare base, because forgetting adds up over nights. This module knows nothing of how
the candidate was made, nor of what is decided from the report.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lsp_server.engine.base import Base
from trainer.dataset import Position, TrainingRow
from trainer.golden import golden_positions
from trainer.measure import answered_of, load_model, measure_arms, num_tokens, score
from trainer.report import ArmScore, PositionScore, Report

Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Work:
    """What a candidate is measured on. Answers are costly, so only the first so many by hash."""

    positions: Sequence[Position]
    dev: Sequence[TrainingRow] = ()
    max_generated: int = 300
    num_golden: int = 120


@dataclass(frozen=True)
class Contest:
    """Two adapter folders on one base; None is the bare base."""

    base: Base
    candidate: Path
    live: Path | None


def evaluate(contest: Contest, work: Work, *, progress: Progress | None = None) -> Report:
    """Measure a candidate against what is live; leaves both folders and the base as they are."""
    base, candidate = contest.base, contest.candidate
    golden = golden_positions(base.prompter, work.num_golden)
    num_answered = len(answered_of(work.positions, work.max_generated))
    first = 2 * (len(work.positions) + num_answered)
    total = first + 2 * len(golden)

    def passed_on(already: int) -> Progress:
        return lambda done, _: progress(already + done, total) if progress else None

    against_live = measure_arms(
        base,
        (candidate, contest.live),
        work.positions,
        max_generated=work.max_generated,
        progress=passed_on(0),
    )
    against_base = measure_arms(
        base, (candidate, None), golden, max_generated=0, progress=passed_on(first)
    )
    model = load_model(base, candidate)
    dev = [_without_end(row, base.prompter.end_id) for row in work.dev]
    return Report(
        positions=_paired(base, work.positions, *against_live),
        golden=_paired(base, golden, *against_base),
        preference_accuracy=_preference_accuracy(model, base.model, dev),
        dev_gain_nats=_dev_gain(model, base.model, dev),
    )


def _paired(
    base: Base,
    positions: Sequence[Position],
    candidate: Sequence[ArmScore],
    live: Sequence[ArmScore],
) -> tuple[PositionScore, ...]:
    return tuple(
        PositionScore(place.file_key, len(place.text), num_tokens(base, place), new, old)
        for place, new, old in zip(positions, candidate, live, strict=True)
    )


def _without_end(row: TrainingRow, end_id: int) -> TrainingRow:
    """Drop end tokens: how likely a text is, and how likely its end is, are two questions.

    The starter gives an end token 0.5 % where one belongs; learning that alone would look like a
    great gain in everything.
    """
    chosen, rejected = (
        ids[:-1] if ids and ids[-1] == end_id else ids for ids in (row.chosen_ids, row.rejected_ids)
    )
    return replace(row, chosen_ids=chosen, rejected_ids=rejected)


def _dev_gain(
    candidate: torch.nn.Module, base: torch.nn.Module, rows: Sequence[TrainingRow]
) -> float | None:
    """Return the gain over the base on the chosen side of the inner dev split, nats per token."""
    if not rows:
        return None
    gains = [a - b for a, b in zip(_sides(candidate, rows), _sides(base, rows), strict=True)]
    return sum(gains) / len(gains)


def _sides(model: torch.nn.Module, rows: Sequence[TrainingRow]) -> list[float]:
    scores = score(model, [(row.prompt_ids, row.chosen_ids) for row in rows])
    counted = [s[row.healed_tokens :] for s, row in zip(scores, rows, strict=True)]
    return [sum(s) / len(s) if s else 0.0 for s in counted]


def _preference_accuracy(
    candidate: torch.nn.Module, base: torch.nn.Module, rows: Sequence[TrainingRow]
) -> float | None:
    """Return how often the candidate widened chosen over rejected against the base, on dev."""
    pairs = [row for row in rows if row.is_pair]
    if not pairs:
        return None
    margins = zip(_margins(candidate, pairs), _margins(base, pairs), strict=True)
    return sum(new > old for new, old in margins) / len(pairs)


def _margins(model: torch.nn.Module, rows: Sequence[TrainingRow]) -> list[float]:
    chosen = score(model, [(row.prompt_ids, row.chosen_ids) for row in rows])
    rejected = score(model, [(row.prompt_ids, row.rejected_ids) for row in rows])
    return [
        sum(c[row.chosen_start :]) - sum(r[row.rejected_start :])
        for c, r, row in zip(chosen, rejected, rows, strict=True)
    ]
