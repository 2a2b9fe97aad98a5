"""Turns a candidate adapter and held-out positions into a Report against what is live.

Likelihood is teacher-forced over the served prompts; matched characters, ends and latency come
from greedy answers of the engine that serves, one adapter after the other. This module knows
nothing of how the candidate was made, nor of what is decided from the report.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lsp_server.engine.arm import load_adapter, share_weights
from lsp_server.engine.base import Base
from lsp_server.engine.engine import Answer, EngineConfig, GenerationRequest, LocalEngine
from lsp_server.engine.scoring import Row, score_rows
from trainer.dataset import Position, TrainingRow
from trainer.golden import golden_positions
from trainer.report import ArmScore, PositionScore, Report
from trainer.sides import cut_to_unit, first_difference
from trainer.syntax import LANGUAGES, num_errors

CONCURRENT_REQUESTS = 8
SCORED_ROWS = 16  # rows between two reports of progress
# On a CPU one row at a time is a third faster than eight: nothing is padded, and what a layer
# works on stays in the cache.
BATCH_TOKENS = {"cpu": 1024, "cuda": 16_384}
PARSED_CHARACTERS = (4000, 2000)  # of prefix and suffix

Progress = Callable[[int, int], None]  # done, total
log = logging.getLogger(__name__)


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
    base = contest.base
    candidate, live = _model(base, contest.candidate), _model(base, contest.live)
    golden = golden_positions(base.prompter, work.num_golden)
    generated = sorted(work.positions, key=lambda p: p.request.completion_id.hex[::-1])
    generated = generated[: work.max_generated]
    ticks = _Ticks(progress, 2 * (len(work.positions) + len(golden) + len(generated)))
    scores = _scores(base, (candidate, live), work.positions, ticks)
    golden_scores = _scores(base, (candidate, base.model), golden, ticks)
    answers = asyncio.run(_generate(contest, generated, ticks))
    dev = [_without_end(row, base.prompter.end_id) for row in work.dev]
    told = {id(p): pair for p, pair in zip(generated, answers, strict=True)}
    return Report(
        positions=tuple(
            _with_answers(score, position, told.get(id(position)))
            for score, position in zip(scores, work.positions, strict=True)
        ),
        golden=golden_scores,
        preference_accuracy=_preference_accuracy(candidate, base.model, dev),
        dev_gain_nats=_dev_gain(candidate, base.model, dev),
    )


def mean_log_probs(
    base: Base, model: torch.nn.Module, positions: Sequence[Position]
) -> list[float]:
    """Return, per position, the mean log-probability (nats) of the tokens of its settled text.

    Tokens that only spell the healed piece do not count; neither does an end token.
    """
    rows = [(p.prompt_ids, _continuation(base, p)) for p in positions]
    means = []
    for position, (_, ids), scores in zip(positions, rows, _scored(model, rows), strict=True):
        counted = scores[base.prompter.num_healed(position.healed, ids) :]
        means.append(sum(counted) / len(counted) if counted else 0.0)
    return means


def _model(base: Base, folder: Path | None) -> torch.nn.Module:
    if folder is None:
        return base.model
    return load_adapter(share_weights(base.model), folder).eval().requires_grad_(False)


def _scored(model: torch.nn.Module, rows: Sequence[Row]) -> list[list[float]]:
    device = next(model.parameters()).device.type
    return score_rows(model, rows, batch_tokens=BATCH_TOKENS.get(device, 8192))


class _Ticks:
    """Counts what is done and passes it on."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, count: int = 1) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _scores(
    base: Base,
    models: tuple[torch.nn.Module, torch.nn.Module],
    positions: Sequence[Position],
    ticks: _Ticks,
) -> tuple[PositionScore, ...]:
    """Return the likelihood of every position under (candidate, live)."""
    found: list[PositionScore] = []
    for begin in range(0, len(positions), SCORED_ROWS):
        part = positions[begin : begin + SCORED_ROWS]
        both = [mean_log_probs(base, model, part) for model in models]
        for position, candidate, live in zip(part, *both, strict=True):
            found.append(
                PositionScore(
                    file_key=position.file_key,
                    num_characters=len(position.text),
                    num_tokens=len(_continuation(base, position)),
                    candidate=ArmScore(candidate),
                    live=ArmScore(live),
                )
            )
        ticks.add(2 * len(part))
    return tuple(found)


def _continuation(base: Base, position: Position) -> tuple[int, ...]:
    """Return the ids after the prompt, cut to what fits the model's window."""
    room = max(1, base.window_tokens - len(position.prompt_ids))
    return base.prompter.continuation_ids(position.healed, position.text)[:room]


async def _generate(
    contest: Contest, positions: Sequence[Position], ticks: _Ticks
) -> list[tuple[Answer, Answer]]:
    """Return the greedy answers of (candidate, live) through the engine that serves.

    The arms take turns every few requests, so that whatever else the machine does slows both.
    """
    config = EngineConfig(max_batch=CONCURRENT_REQUESTS)
    engines = (LocalEngine(contest.base, config), LocalEngine(contest.base, config))
    found: list[tuple[Answer, Answer]] = []
    try:
        await engines[0].swap(contest.candidate, "candidate")
        if contest.live is not None:
            await engines[1].swap(contest.live, "live")
        for begin in range(0, len(positions), CONCURRENT_REQUESTS):
            part = positions[begin : begin + CONCURRENT_REQUESTS]
            answers = [await _answers(engine, part) for engine in engines]
            found += zip(*answers, strict=True)
            ticks.add(2 * len(part))
    finally:
        await asyncio.gather(*(engine.close() for engine in engines))
    return found


async def _answers(engine: LocalEngine, positions: Sequence[Position]) -> list[Answer]:
    """Return the answers to requests asked at once."""
    requests = [
        GenerationRequest(
            request_id=str(number),
            document_id=str(number),  # of its own, so that none supersedes another
            prefix=position.request.prefix,
            suffix=position.request.suffix,
            mode=position.request.mode,
            max_new_tokens=position.request.max_new_tokens,
        )
        for number, position in enumerate(positions)
    ]
    return list(await asyncio.gather(*map(engine.complete, requests)))


def _with_answers(
    score: PositionScore, position: Position, answers: tuple[Answer, Answer] | None
) -> PositionScore:
    if answers is None:
        return score
    candidate, live = answers
    return replace(
        score,
        candidate=_told(score.candidate, position, candidate),
        live=_told(score.live, position, live),
    )


def _told(score: ArmScore, position: Position, answer: Answer) -> ArmScore:
    """Add what a greedy answer shows to an arm's score."""
    generation = answer.generations[0]
    text = cut_to_unit(position.request, generation.text)
    matched = first_difference(text, position.text)
    ended = generation.finish_reason != "length"
    return replace(
        score,
        matched=matched,
        ran_on=position.complete and matched == len(position.text) < len(text),
        stopped_early=ended and matched == len(text) < len(position.text),
        parses=_parses(position, text),
        engine_ms=answer.timings.engine_ms - answer.timings.queue_ms,
    )


def _parses(position: Position, text: str) -> bool | None:
    """Return whether `text` brings no more syntax errors than the settled text does."""
    request = position.request
    if request.language not in LANGUAGES:
        return None
    before, after = PARSED_CHARACTERS
    prefix, suffix = request.prefix[-before:], request.suffix[:after]
    return num_errors(prefix + text + suffix) <= num_errors(prefix + position.text + suffix)


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
    scores = _scored(model, [(row.prompt_ids, row.chosen_ids) for row in rows])
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
    chosen = _scored(model, [(row.prompt_ids, row.chosen_ids) for row in rows])
    rejected = _scored(model, [(row.prompt_ids, row.rejected_ids) for row in rows])
    return [
        sum(c[row.chosen_start :]) - sum(r[row.rejected_start :])
        for c, r, row in zip(chosen, rejected, rows, strict=True)
    ]
