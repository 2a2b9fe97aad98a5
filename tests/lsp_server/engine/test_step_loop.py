"""The step loop: same text as `generate`, any mixture of jobs, prefixes reused, cancelled jobs."""

import queue
import random
from collections.abc import Callable, Iterator

import pytest
import torch

from lsp_server.engine.arm import share_weights
from lsp_server.engine.base import Base
from lsp_server.engine.errors import EngineClosed, Superseded
from lsp_server.engine.jobs import Generation, Job, Limits
from lsp_server.engine.scoring import score_rows
from lsp_server.engine.step_loop import LoopConfig, StepLoop

WAIT_SECONDS = 60
Ask = Callable[..., "queue.SimpleQueue[Generation | BaseException]"]


@pytest.fixture
def loop(base: Base) -> Iterator[StepLoop]:
    loop = StepLoop(base.model, LoopConfig(max_batch=4), "test")
    loop.start()
    yield loop
    loop.close()


def submit(
    loop: StepLoop, base: Base, prompt: tuple[int, ...], num_tokens: int, **limits: object
) -> tuple[Job, "queue.SimpleQueue[Generation | BaseException]"]:
    results: queue.SimpleQueue[Generation | BaseException] = queue.SimpleQueue()
    owed = limits.pop("owed", b"")
    bounds = Limits(None, num_tokens, frozenset(), **limits)  # type: ignore[arg-type]
    job = Job("job", prompt, owed, bounds, base.spelling, results.put)  # type: ignore[arg-type]
    loop.submit(job)
    return job, results


def generated(results: "queue.SimpleQueue[Generation | BaseException]") -> Generation:
    result = results.get(timeout=WAIT_SECONDS)
    assert isinstance(result, Generation), result
    return result


def greedy(base: Base, prompt: tuple[int, ...], num_tokens: int) -> list[int]:
    """What transformers generates, one prompt at a time."""
    ids = torch.tensor([prompt])
    for _ in range(num_tokens):
        scores = base.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
        ids = torch.cat([ids, scores.argmax()[None, None]], dim=1)
    return ids[0, len(prompt) :].tolist()


def prompts_of(base: Base, source: str, number: int) -> list[tuple[int, ...]]:
    ids, rng = base.prompter.continuation_ids("", source[:30_000]), random.Random(0)
    starts = [rng.randrange(len(ids) - 200) for _ in range(number)]
    return [(1, 3, 2, *ids[start : start + rng.randrange(20, 150)]) for start in starts]


def test_more_jobs_than_rows_give_the_same_text_as_one_at_a_time(
    base: Base, loop: StepLoop, source: str
) -> None:
    prompts = prompts_of(base, source, 9)
    lengths = [3 + 2 * index for index in range(9)]
    waiting = [submit(loop, base, p, n)[1] for p, n in zip(prompts, lengths, strict=True)]
    for results, prompt, length in zip(waiting, prompts, lengths, strict=True):
        assert list(generated(results).token_ids) == greedy(base, prompt, length)


def test_a_shared_beginning_is_reused_and_changes_nothing(
    base: Base, loop: StepLoop, source: str
) -> None:
    (prompt,) = prompts_of(base, source, 1)
    first = generated(submit(loop, base, prompt, 6)[1])
    longer = (*prompt, *first.token_ids[:3], 300, 301)
    second = generated(submit(loop, base, longer, 6)[1])
    assert first.num_cached_tokens == 0
    assert second.num_cached_tokens == len(prompt) + 3
    assert list(second.token_ids) == greedy(base, longer, 6)


def test_log_probabilities_are_those_of_the_model(base: Base, loop: StepLoop, source: str) -> None:
    (prompt,) = prompts_of(base, source, 1)
    result = generated(submit(loop, base, prompt, 8, temperature=1.5, seed=4)[1])
    (scores,) = score_rows(base.model, [(prompt, result.token_ids)])
    assert result.log_probs == pytest.approx(scores, abs=1e-3)
    assert list(result.token_ids) != greedy(base, prompt, 8)


def test_the_healed_piece_is_spelled_again(base: Base, loop: StepLoop) -> None:
    prompt = base.prompter.build("import os\n\n\ndef main():\n    retu", "", max_prompt_tokens=99)
    result = generated(submit(loop, base, prompt.ids, 4, owed=prompt.healed.encode())[1])
    assert prompt.healed == "retu"
    assert base.spelling.text_of(result.token_ids).startswith("return")
    assert result.text.startswith("rn")


def test_a_cancelled_job_ends_and_the_others_go_on(base: Base, loop: StepLoop, source: str) -> None:
    one, two = prompts_of(base, source, 2)
    job, cancelled = submit(loop, base, one, 800)
    _, kept = submit(loop, base, two, 40)
    loop.cancel(job)
    assert isinstance(cancelled.get(timeout=WAIT_SECONDS), Superseded)
    assert list(generated(kept).token_ids) == greedy(base, two, 40)


def test_closing_ends_what_is_pending(base: Base, source: str) -> None:
    loop = StepLoop(base.model, LoopConfig(), "closing")
    loop.start()
    _, results = submit(loop, base, prompts_of(base, source, 1)[0], 900)
    loop.close()
    assert isinstance(results.get(timeout=WAIT_SECONDS), EngineClosed)
    with pytest.raises(EngineClosed):
        submit(loop, base, (1, 2, 3), 1)


def test_a_job_is_pending_while_its_prompt_is_computed(base: Base, source: str) -> None:
    """An arm drains until nothing is pending: a prompt under way must not look like nothing."""
    seen: list[int] = []
    model = share_weights(base.model)
    loop = StepLoop(model, LoopConfig(), "prefill")
    model.register_forward_pre_hook(lambda *_: seen.append(loop.num_pending))
    loop.start()
    generated(submit(loop, base, prompts_of(base, source, 1)[0], 2)[1])
    loop.close()
    assert seen == [1, 1]


def test_a_job_whose_prompt_fails_is_told_so(base: Base, source: str) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a broken layer")

    model = share_weights(base.model)
    broken = model.register_forward_pre_hook(fail)
    loop = StepLoop(model, LoopConfig(), "broken")
    loop.start()
    prompt = prompts_of(base, source, 1)[0]
    assert isinstance(submit(loop, base, prompt, 2)[1].get(timeout=WAIT_SECONDS), ValueError)
    broken.remove()
    assert list(generated(submit(loop, base, prompt, 2)[1]).token_ids) == greedy(base, prompt, 2)
    loop.close()
