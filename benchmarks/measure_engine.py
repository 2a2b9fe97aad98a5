"""Measures one arm in this process: throughput against `generate`, and reuse of work done."""

import argparse
import queue
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facts import summary  # isort: skip  # first: it sets what torch reads

import torch

from lsp_server.engine.arm import Arm
from lsp_server.engine.base import Base
from lsp_server.engine.jobs import Generation, Job, Limits
from lsp_server.engine.step_loop import LoopConfig

SOURCE = Path(argparse.__file__).read_text(encoding="utf-8")  # the starter never saw it


def measure_throughput(base: Base, repeats: int = 7) -> dict[str, Any]:
    """16 prompts of 300 tokens, 25 new tokens each: one arm against one-at-a-time generate."""
    rng = random.Random(0)
    ids = base.prompter.continuation_ids("", SOURCE)
    starts = [rng.randrange(len(ids) - 300) for _ in range(16)]
    prompts = [(1, 3, 2, *ids[start : start + 297]) for start in starts]
    one_by_one(base, prompts[:2])
    ratios, ours, theirs, same = [], [], [], True
    for _ in range(repeats):
        arm = Arm(base, None, None)
        arm.start(LoopConfig())
        run_jobs(arm, base, [tuple(prompts[0][:60])], 2)
        begun = time.perf_counter()
        batch = run_jobs(arm, base, prompts, 25)
        ours.append(time.perf_counter() - begun)
        arm.close()
        begun = time.perf_counter()
        reference = one_by_one(base, prompts)
        theirs.append(time.perf_counter() - begun)
        ratios.append(theirs[-1] / ours[-1])
        same &= [list(result.token_ids) for result in batch] == reference
    return {
        "throughput_ratio": round(summary(ratios)["p50"], 3),
        "throughput": {
            "ratio": summary(ratios),
            "arm_tokens_per_s": round(16 * 25 / summary(ours)["p50"], 1),
            "generate_tokens_per_s": round(16 * 25 / summary(theirs)["p50"], 1),
            "identical_greedy_text": same,
        },
    }


def measure_one_character_later(base: Base, repeats: int = 40) -> dict[str, Any]:
    """600-token prompts, 16 new tokens: one typed character later against cold."""
    rng, ratios, cold, warm = random.Random(1), [], [], []
    arm = Arm(base, None, None)
    arm.start(LoopConfig())
    for _ in range(repeats):
        end = rng.randrange(8_000, len(SOURCE) - 2_000)
        suffix = SOURCE[SOURCE.find("\n", end) :][:800]
        first, second = (
            base.prompter.build(SOURCE[:stop], suffix, max_prompt_tokens=600)
            for stop in (end, end + 1)
        )
        times = []
        for prompt in (first, second):
            begun = time.perf_counter()
            run_jobs(arm, base, [prompt.ids], 16, healed=prompt.healed)
            times.append(1e3 * (time.perf_counter() - begun))
        cold.append(times[0])
        warm.append(times[1])
        ratios.append(times[1] / times[0])
    arm.close()
    return {
        "one_character_later_ratio": round(summary(warm)["p50"] / summary(cold)["p50"], 3),
        "one_character_later": {
            "cold_ms": summary(cold),
            "later_ms": summary(warm),
            "ratio_per_pair": summary(ratios),
        },
    }


def run_jobs(
    arm: Arm, base: Base, prompts: Sequence[tuple[int, ...]], num_tokens: int, healed: str = ""
) -> list[Generation]:
    """Generate exactly `num_tokens` for every prompt at once; return the results in order."""
    results: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    for number, prompt in enumerate(prompts):
        limits = Limits(None, num_tokens, frozenset())
        done = lambda result, number=number: results.put((number, result))  # noqa: E731
        arm.loop.submit(Job(str(number), prompt, healed.encode(), limits, base.spelling, done))
    answers = dict(results.get(timeout=120) for _ in prompts)
    return [answers[number] for number in range(len(prompts))]


@torch.inference_mode()
def one_by_one(base: Base, prompts: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Generate 25 tokens per prompt with transformers, one prompt at a time."""
    answers = []
    for prompt in prompts:
        out = base.model.generate(
            torch.tensor([prompt]), max_new_tokens=25, min_new_tokens=25, do_sample=False
        )
        answers.append(out[0, len(prompt) :].tolist())
    return answers
