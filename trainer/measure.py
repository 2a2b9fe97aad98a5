"""Turns adapters and positions into scores: how likely the settled text is, and what is answered.

Likelihood is teacher-forced over the served prompts; matched characters, ends and latency come
from greedy answers of the engine that serves. This module knows nothing of how an adapter was
made, of which one is live, nor of what is decided from the scores.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import torch

from lsp_server.engine.arm import load_adapter, share_weights
from lsp_server.engine.base import Base
from lsp_server.engine.engine import Answer, EngineConfig, GenerationRequest, LocalEngine
from lsp_server.engine.scoring import Row, score_rows
from trainer.dataset import Position
from trainer.report import ArmScore
from trainer.sides import cut_to_unit, first_difference
from trainer.syntax import LANGUAGES, num_errors

CONCURRENT_REQUESTS = 8  # asked at once of one of several arms, before the next has its turn
REQUESTS_ALONE = 128  # asked at once where only one arm is measured: no batch waits for its last
SCORED_ROWS = 16  # rows between two reports of progress
# On a CPU one row at a time is a third faster than eight: nothing is padded, and what a layer
# works on stays in the cache.
BATCH_TOKENS = {"cpu": 1024, "cuda": 16_384}
PARSED_CHARACTERS = (4000, 2000)  # of prefix and suffix

Progress = Callable[[int, int], None]  # done, total


def measure(
    base: Base,
    adapter: Path | None,
    positions: Sequence[Position],
    *,
    progress: Progress | None = None,
    generate: bool = True,
) -> list[ArmScore]:
    """Return what one adapter folder (None: the bare base) scores at every position, in order.

    Without `generate` only the likelihood is measured and `matched` stays None. Raises
    AdapterRefused when the folder cannot be loaded.
    """
    (scores,) = measure_arms(
        base, [adapter], positions, max_generated=None if generate else 0, progress=progress
    )
    return scores


def measure_arms(
    base: Base,
    adapters: Sequence[Path | None],
    positions: Sequence[Position],
    *,
    max_generated: int | None = None,
    progress: Progress | None = None,
) -> list[list[ArmScore]]:
    """Return the scores of several adapters at the same positions, one list per adapter.

    Answers are costly: only the first `max_generated` positions by hash are answered, None: all.
    """
    answered = answered_of(positions, max_generated)
    ticks = _Ticks(progress, len(adapters) * (len(positions) + len(answered)))
    models = [load_model(base, adapter) for adapter in adapters]
    scores = _scores(base, models, positions, ticks)
    del models  # the engine loads its own
    if answered:
        rows = asyncio.run(_generate(base, adapters, [positions[i] for i in answered], ticks))
        for arm, answers in zip(scores, rows, strict=True):
            for index, answer in zip(answered, answers, strict=True):
                arm[index] = _told(arm[index], positions[index], answer)
    return scores


def answered_of(positions: Sequence[Position], max_generated: int | None) -> list[int]:
    """Return the indices of the positions that are answered: the first so many by hash."""
    order = sorted(
        range(len(positions)), key=lambda i: positions[i].request.completion_id.hex[::-1]
    )
    return order[:max_generated]


def likelihoods(
    base: Base, model: torch.nn.Module, positions: Sequence[Position]
) -> list[ArmScore]:
    """Return, per position, the mean log-probability (nats) of the tokens of its settled text, and
    how many characters of it an answer drawn at temperature 1 matches in the mean.

    Tokens that only spell the healed piece do not count; neither does an end token.
    """
    rows = [(p.prompt_ids, _continuation(base, p)) for p in positions]
    found = []
    for position, (_, ids), scores in zip(positions, rows, score(model, rows), strict=True):
        num_healed = base.prompter.num_healed(position.healed, ids)
        counted = scores[num_healed:]
        mean = sum(counted) / len(counted) if counted else 0.0
        found.append(ArmScore(mean, _expected_matched(base, ids[num_healed:], counted)))
    return found


def _expected_matched(base: Base, ids: Sequence[int], log_probs: Sequence[float]) -> float:
    """Return the sum over tokens of (its characters) x (the chance of all tokens up to it).

    Greedy answers tell little: most match nothing, a few match a line. The expectation needs no
    answers at all and varies far less.
    """
    reached = accumulate(log_probs)
    return sum(math.exp(r) * _num_characters(base, i) for i, r in zip(ids, reached, strict=True))


def _num_characters(base: Base, token_id: int) -> int:
    """Count a token's characters; one that is spelled by several tokens counts for its first."""
    return sum(byte & 0xC0 != 0x80 for byte in base.spelling.bytes_of(token_id))


def num_tokens(base: Base, position: Position) -> int:
    """Return how many tokens of the settled text its mean log-probability is of; at least 1."""
    ids = _continuation(base, position)
    return max(1, len(ids) - base.prompter.num_healed(position.healed, ids))


def load_model(base: Base, adapter: Path | None) -> torch.nn.Module:
    """Return the base with an adapter folder on shared weights, or the base itself for None."""
    if adapter is None:
        return base.model
    return load_adapter(share_weights(base.model), adapter).eval().requires_grad_(False)


def score(model: torch.nn.Module, rows: Sequence[Row]) -> list[list[float]]:
    """Return the log-probabilities of each row's continuation, in batches that suit the device."""
    device = next(model.parameters()).device.type
    return score_rows(model, rows, batch_tokens=BATCH_TOKENS.get(device, 8192))


@dataclass
class _Ticks:
    """Counts what is done and passes it on."""

    progress: Progress | None
    total: int
    done: int = 0

    def add(self, count: int = 1) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)


def _scores(
    base: Base, models: Sequence[torch.nn.Module], positions: Sequence[Position], ticks: _Ticks
) -> list[list[ArmScore]]:
    """Return the likelihood of every position under each model."""
    found: list[list[ArmScore]] = [[] for _ in models]
    for begin in range(0, len(positions), SCORED_ROWS):
        part = positions[begin : begin + SCORED_ROWS]
        for arm, model in zip(found, models, strict=True):
            arm += likelihoods(base, model, part)
        ticks.add(len(models) * len(part))
    return found


def _continuation(base: Base, position: Position) -> tuple[int, ...]:
    """Return the ids after the prompt, cut to what fits the model's window."""
    room = max(1, base.window_tokens - len(position.prompt_ids))
    return base.prompter.continuation_ids(position.healed, position.text)[:room]


async def _generate(
    base: Base, adapters: Sequence[Path | None], positions: Sequence[Position], ticks: _Ticks
) -> list[list[Answer]]:
    """Return the greedy answers of each adapter through the engine that serves.

    The arms take turns every few requests, so that whatever else the machine does slows all.
    """
    found: list[list[Answer]] = [[] for _ in adapters]
    async with AsyncExitStack() as stack:
        engines = []
        for number, adapter in enumerate(adapters):
            engine = LocalEngine(base, EngineConfig(max_batch=CONCURRENT_REQUESTS))
            stack.push_async_callback(engine.close)
            if adapter is not None:
                await engine.swap(adapter, f"arm {number}")
            engines.append(engine)
        num_at_once = CONCURRENT_REQUESTS if len(engines) > 1 else REQUESTS_ALONE
        for begin in range(0, len(positions), num_at_once):
            part = positions[begin : begin + num_at_once]
            for arm, engine in zip(found, engines, strict=True):
                arm += await _answers(engine, part)
            ticks.add(len(engines) * len(part))
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


def _told(score: ArmScore, position: Position, answer: Answer) -> ArmScore:
    """Add what a greedy answer shows to an arm's score."""
    generation = answer.generations[0]
    text = cut_to_unit(position.request, generation.text)
    matched = first_difference(text, position.text)
    whole = matched == len(position.text)
    ran_on = position.complete and whole and len(text) > matched
    ended = generation.finish_reason != "length"
    return replace(
        score,
        matched=matched,
        exact=whole and not ran_on,
        ran_on=ran_on,
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
