"""The CUDA arms' loop, run on a CPU: same text as the step loop, and cancelling."""

import queue
from collections.abc import Iterator

import pytest

from feedback_store.schemas import Mode
from lsp_server.engine.arm import share_weights
from lsp_server.engine.base import Base
from lsp_server.engine.continuous import ContinuousLoop
from lsp_server.engine.errors import Superseded
from lsp_server.engine.jobs import Generation, Job, Limits
from lsp_server.engine.step_loop import LoopConfig, StepLoop
from lsp_server.engine.stopping import stop_rule

WAIT_SECONDS = 60
Results = queue.SimpleQueue[Generation | BaseException]


@pytest.fixture(scope="module")
def loops(base: Base) -> Iterator[tuple[ContinuousLoop, StepLoop]]:
    config = LoopConfig(max_batch=4)
    pair = (
        ContinuousLoop(share_weights(base.model), config, "test"),
        StepLoop(base.model, config, "test"),
    )
    for loop in pair:
        loop.start()
    yield pair
    for loop in pair:
        loop.close()


def job_for(base: Base, name: str, prefix: str, num_tokens: int = 20) -> tuple[Job, Results]:
    prompt = base.prompter.build(prefix, "\n", max_prompt_tokens=400)
    results: Results = queue.SimpleQueue()
    ends = base.prompter.control_ids
    limits = Limits(stop_rule(prefix, Mode.LINE), num_tokens, ends)
    owed = prompt.healed.encode()
    return Job(name, prompt.ids, owed, limits, base.spelling, results.put), results


def test_text_and_log_probabilities_are_those_of_the_step_loop(
    base: Base, source: str, loops: tuple[ContinuousLoop, StepLoop]
) -> None:
    prefixes = [source[end - 800 : end] for end in (3000, 3500, 4007, 5013, 6001)]
    waiting: list[list[Results]] = []
    for loop in loops:
        jobs = [job_for(base, f"job-{number}", prefix) for number, prefix in enumerate(prefixes)]
        for job, _ in jobs:
            loop.submit(job)
        waiting.append([results for _, results in jobs])
    for continuous, stepped in zip(*waiting, strict=True):
        one, other = continuous.get(timeout=WAIT_SECONDS), stepped.get(timeout=WAIT_SECONDS)
        assert isinstance(one, Generation)
        assert isinstance(other, Generation)
        assert (one.text, one.token_ids) == (other.text, other.token_ids)
        assert one.finish_reason == other.finish_reason
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-3)


def test_a_cancelled_job_is_resolved_by_us(
    base: Base, source: str, loops: tuple[ContinuousLoop, StepLoop]
) -> None:
    job, results = job_for(base, "cancelled", source[:900], num_tokens=400)
    loops[0].submit(job)
    loops[0].cancel(job)
    assert isinstance(results.get(timeout=WAIT_SECONDS), Superseded)
    again, answer = job_for(base, "after", source[:900])
    loops[0].submit(again)
    assert isinstance(answer.get(timeout=WAIT_SECONDS), Generation)
