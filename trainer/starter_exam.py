"""Turns a model and source files it never saw into figures: how many lines it completes exactly.

The answers come from the engine that serves, greedy, with and without token healing and suffix.
This module knows nothing of how the model was made.
"""

import asyncio
import copy
import difflib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lsp_server.engine.base import Base, load_base
from lsp_server.engine.engine import EngineConfig, GenerationRequest, LocalEngine


@dataclass(frozen=True)
class Place:
    """A cursor in a file that was never trained on, and the rest of its line."""

    prefix: str
    text: str
    suffix: str


def evaluate(
    folder: Path | str, texts: Mapping[str, str], num_samples: int = 400, seed: int = 7
) -> dict[str, float]:
    """Complete the rest of unseen lines greedily, through the engine that serves.

    Returns exact match and edit similarity, and exact match without healing or without suffix.
    """
    base = load_base(str(folder))
    places = list(_places(texts, num_samples, seed))
    truths = [place.text for place in places]
    healed = asyncio.run(_complete(base, places))
    unhealed = asyncio.run(_complete(_without_healing(base), places))
    alone = asyncio.run(_complete(base, [replace(place, suffix="") for place in places]))
    alike = [
        difflib.SequenceMatcher(None, a, b).ratio() for a, b in zip(healed, truths, strict=True)
    ]
    return {
        "samples": len(places),
        "exact_match": _share_equal(healed, truths),
        "edit_similarity": round(sum(alike) / len(alike), 4),
        "exact_match_unhealed": _share_equal(unhealed, truths),
        "exact_match_prefix_only": _share_equal(alone, truths),
    }


def _places(texts: Mapping[str, str], count: int, seed: int) -> Iterator[Place]:
    rng, paths = random.Random(seed), sorted(texts)
    while count:
        lines = texts[rng.choice(paths)].split("\n")
        number = rng.randrange(len(lines))
        line = lines[number]
        if len(line.strip()) < 8 or line.strip()[0] in "#\"'":
            continue
        indent = len(line) - len(line.lstrip())
        cursor = indent + rng.randrange(max(1, len(line.strip()) - 3))
        before = [*lines[max(0, number - 60) : number], line[:cursor]]
        after = "\n" + "\n".join(lines[number + 1 : number + 15])
        yield Place("\n".join(before), line[cursor:].rstrip(), after)
        count -= 1


async def _complete(base: Base, places: Sequence[Place]) -> list[str]:
    engine = LocalEngine(base, EngineConfig())
    try:
        return list(await asyncio.gather(*(_answer(engine, i, p) for i, p in enumerate(places))))
    finally:
        await engine.close()


async def _answer(engine: LocalEngine, number: int, place: Place) -> str:
    name = str(number)
    request = GenerationRequest(name, name, place.prefix, place.suffix, max_new_tokens=36)
    return (await engine.complete(request)).generations[0].text.rstrip()


def _without_healing(base: Base) -> Base:
    prompter = copy.copy(base.prompter)
    prompter.family = replace(prompter.family, heal=False)
    return replace(base, prompter=prompter)


def _share_equal(answers: Sequence[str], truths: Sequence[str]) -> float:
    equal = sum(a == b for a, b in zip(answers, truths, strict=True))
    return round(equal / len(truths), 4)
