"""Scores of one adapter: likelihood of the settled text, and what its greedy answers show."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from lsp_server.engine.engine import Answer
from lsp_server.engine.errors import AdapterRefused
from trainer.dataset import Limits, Position, held_out_positions
from trainer.golden import golden_positions
from trainer.measure import (
    _told,
    answered_of,
    likelihoods,
    measure,
    measure_arms,
    num_tokens,
    score,
)
from trainer.report import ArmScore

AdapterMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def places(base: Base) -> list[Position]:
    return golden_positions(base.prompter, 6)


def test_the_bare_base_is_measured_like_any_adapter(
    base: Base, places: list[Position], tmp_path: Path, save_adapter: AdapterMaker
) -> None:
    ticks: list[tuple[int, int]] = []
    bare = measure(base, None, places, progress=lambda *told: ticks.append(told))
    same = measure(base, save_adapter(base, tmp_path, scale=0), places)
    assert [s.log_prob for s in bare] == pytest.approx([s.log_prob for s in same], abs=1e-4)
    assert [(s.matched, s.exact, s.ran_on) for s in bare] == [
        (s.matched, s.exact, s.ran_on) for s in same
    ]
    assert ticks[-1] == (12, 12)


def test_likelihood_alone_answers_nothing(base: Base, places: list[Position]) -> None:
    scores = measure(base, None, places, generate=False)
    assert scores == likelihoods(base, base.model, places)
    assert {s.matched for s in scores} == {None}


def test_expected_matches_are_those_of_answers_drawn_by_chance(
    base: Base, places: list[Position]
) -> None:
    """Against a plain sum: each token's characters times the chance of all tokens up to it."""
    for place, found in zip(places, likelihoods(base, base.model, places), strict=True):
        ids = base.prompter.continuation_ids(place.healed, place.text)
        num_healed = base.prompter.num_healed(place.healed, ids)
        (scores,) = score(base.model, [(place.prompt_ids, ids)])
        expected, chance = 0.0, 1.0
        for token_id, log_prob in zip(ids[num_healed:], scores[num_healed:], strict=True):
            chance *= math.exp(log_prob)
            expected += chance * len(base.spelling.text_of((token_id,)))
        assert found.expected_matched == pytest.approx(expected, rel=1e-4)  # batched otherwise
        assert 0 < found.expected_matched < len(place.text)


def test_only_the_first_by_hash_are_answered(base: Base, places: list[Position]) -> None:
    (scores,) = measure_arms(base, [None], places, max_generated=2)
    answered = [i for i, s in enumerate(scores) if s.matched is not None]
    assert answered == sorted(answered_of(places, 2))
    assert set(answered) < set(answered_of(places, 3))
    assert measure_arms(base, [None], [], max_generated=2) == [[]]


def test_a_folder_that_is_no_adapter_is_refused(
    base: Base, places: list[Position], tmp_path: Path
) -> None:
    with pytest.raises(AdapterRefused, match="cannot load"):
        measure(base, tmp_path, places)


@pytest.mark.parametrize(
    ("text", "reason", "complete", "expected"),
    [
        # (matched characters, exact, ran on, stopped early)
        ("enumerate(a):", "end", True, (13, True, False, False)),
        ("enumerate(a): pass", "stop", True, (13, False, True, False)),
        ("enumerate(a): pass", "stop", False, (13, True, False, False)),
        ("enumerate", "end", True, (9, False, False, True)),
        ("enumerate", "length", True, (9, False, False, False)),
        ("enum(a)", "end", True, (4, False, False, False)),
        ("", "end", True, (0, False, False, True)),
        ("enumerate(a):\n    pass", "length", True, (13, True, False, False)),  # cut to the line
    ],
)
def test_what_an_answer_shows(
    places: list[Position],
    text: str,
    reason: str,
    complete: bool,
    expected: tuple[int, bool, bool, bool],
) -> None:
    place = replace(places[0], text="enumerate(a):", complete=complete)
    answer = cast(
        Answer,
        SimpleNamespace(
            generations=[SimpleNamespace(text=text, finish_reason=reason)],
            timings=SimpleNamespace(engine_ms=5.0, queue_ms=1.0),
        ),
    )
    told = _told(ArmScore(-1.0), place, answer)
    assert (told.matched, told.exact, told.ran_on, told.stopped_early) == expected
    assert told.engine_ms == 4.0


def test_positions_survive_a_window_that_is_full(base: Base, lessons: list[Visit]) -> None:
    place = held_out_positions(lessons, Limits())[0]
    full = replace(place, prompt_ids=(100,) * (base.window_tokens - 2))
    assert len(likelihoods(base, base.model, [full])) == 1
    assert num_tokens(base, full) >= 1


def test_the_golden_set_is_fixed_and_grows_at_its_end(base: Base) -> None:
    once, again = (golden_positions(base.prompter, 300) for _ in range(2))
    assert once == again
    assert len({place.request.completion_id for place in once}) == 300
    assert len({place.file_key for place in once}) >= 150
    assert all(place.text and "\n" not in place.text for place in once)
    assert golden_positions(base.prompter, 40) == once[:40]
    assert {"/" in place.request.path for place in once[:120] if place.request.path} == {False}


def test_the_golden_set_can_be_large(base: Base) -> None:
    large = golden_positions(base.prompter, 1500)
    assert len(large) == 1500
    assert len({place.request.completion_id for place in large}) == 1500
    paths = {place.request.path or "" for place in large}
    assert len(paths) > 150
    assert not any("/test/" in f"/{path}" for path in paths)
