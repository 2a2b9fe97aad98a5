"""Drafts: what followed before is guessed, guesses grow with success, and passes are saved."""

import pytest

from lsp_server.engine.base import Base
from lsp_server.engine.drafting import FIRST_GUESSES, MOST_GUESSES, Drafter
from lsp_server.engine.jobs import Generation, Job, Limits
from lsp_server.engine.step_loop import LoopConfig, StepLoop


@pytest.mark.parametrize(
    ("prompt", "previous", "last", "expected"),
    [
        ([1, 2, 3, 4, 5, 6, 7], [], (2, 3), [4, 5, 6, 7]),
        ([1, 2, 3, 9, 1, 2, 4], [], (1, 2), [4]),
        ([1, 2, 3, 4], [1, 2, 7, 8], (1, 2), [7, 8]),
        ([1, 2, 3], [], (3, 1), []),
        ([], [], (1, 2), []),
    ],
)
def test_the_latest_continuation_is_guessed(
    prompt: list[int], previous: list[int], last: tuple[int, int], expected: list[int]
) -> None:
    assert Drafter(prompt, previous).guess(*last, most=16) == expected


def test_guesses_grow_with_success_and_shrink_with_failure() -> None:
    drafter = Drafter(range(100), [])
    assert len(drafter.guess(0, 1, 99)) == FIRST_GUESSES
    for _ in range(5):
        drafter.learn(3, 3)
    assert len(drafter.guess(0, 1, 99)) == MOST_GUESSES
    assert len(drafter.guess(0, 1, 2)) == 2
    for _ in range(9):
        drafter.learn(0, 3)
    assert len(drafter.guess(0, 1, 99)) == 1


def test_the_answer_before_saves_passes_and_changes_nothing(base: Base, source: str) -> None:
    prompt = base.prompter.build(source[4000:6000], "\n", max_prompt_tokens=400)
    num_passes = 0

    def count(*_: object) -> None:
        nonlocal num_passes
        num_passes += 1

    hook = base.model.register_forward_hook(count)
    loop = StepLoop(base.model, LoopConfig(), "drafts")
    found, passes = [], []
    for _ in range(2):
        results: list[Generation | BaseException] = []
        limits = Limits(None, 24, frozenset())
        owed = prompt.healed.encode()
        job = Job("job", prompt.ids, owed, limits, base.spelling, results.append)
        loop.submit(job)
        num_passes = 0
        while not results:
            loop.step()
        assert isinstance(results[0], Generation)
        found.append(results[0].token_ids)
        passes.append(num_passes)
    hook.remove()
    assert found[0] == found[1]
    assert passes[0] >= 12  # of 24 tokens: guesses from the prompt alone save little
    assert passes[1] <= passes[0] / 2
