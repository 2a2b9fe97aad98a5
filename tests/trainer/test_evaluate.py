"""A report tells two arms apart, and says nothing of an arm against itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from trainer import pairs
from trainer.dataset import Limits, Tokens, build_corpus, held_out_positions
from trainer.evaluate import Contest, Work, evaluate
from trainer.measure import likelihoods
from trainer.probes import make_probes
from trainer.syntax import num_errors

AdapterMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def work(base: Base, lessons: list[Visit]) -> Work:
    positions = held_out_positions(lessons, Limits())[:6]
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    corpus = build_corpus(pairs.build(lessons), tokens, Limits())
    return Work(positions, corpus.dev[:4], max_generated=4, num_golden=3)


def test_an_adapter_that_changes_nothing_gains_nothing(
    base: Base, work: Work, tmp_path: Path, save_adapter: AdapterMaker
) -> None:
    same = save_adapter(base, tmp_path, scale=0)
    report = evaluate(Contest(base, same, None), work)
    assert len(report.positions) == 6
    assert [p.delta_nats for p in report.positions] == pytest.approx([0.0] * 6, abs=1e-4)
    assert [p.delta_nats for p in report.golden] == pytest.approx([0.0] * 3, abs=1e-4)
    assert sum(p.is_generated for p in report.positions) == 4
    for place in report.positions:
        assert (place.candidate.matched, place.candidate.parses) == (
            place.live.matched,
            place.live.parses,
        )
    assert report.latency_ratio() is not None
    assert report.dev_gain_nats == pytest.approx(0.0, abs=1e-4)


def test_another_adapter_scores_otherwise_and_the_live_one_is_the_measure(
    base: Base, work: Work, tmp_path: Path, save_adapter: AdapterMaker
) -> None:
    noisy = save_adapter(base, tmp_path, scale=3.0)
    ticks: list[tuple[int, int]] = []
    few = replace(work, max_generated=2)
    report = evaluate(Contest(base, noisy, None), few, progress=lambda *told: ticks.append(told))
    assert all(abs(p.delta_nats) > 1e-3 for p in report.positions)
    expected = [s.log_prob for s in likelihoods(base, base.model, work.positions)]
    assert [p.live.log_prob for p in report.positions] == pytest.approx(expected, abs=1e-4)
    assert ticks[-1][0] == ticks[-1][1]
    against_itself = evaluate(Contest(base, noisy, noisy), few)
    assert all(abs(p.delta_nats) < 1e-4 for p in against_itself.positions)
    assert any(abs(p.delta_nats) > 1e-3 for p in against_itself.golden)  # always against the base


def test_no_positions_is_no_error(base: Base, tmp_path: Path, save_adapter: AdapterMaker) -> None:
    same = save_adapter(base, tmp_path, scale=0)
    report = evaluate(Contest(base, same, None), Work((), num_golden=1))
    assert report.positions == ()
    assert report.latency_ratio() is None
    assert report.preference_accuracy is None


def test_probes_are_what_the_adapter_scores(
    base: Base, tmp_path: Path, save_adapter: AdapterMaker
) -> None:
    probes = make_probes(base, save_adapter(base, tmp_path, scale=1.0))
    assert len(probes) == 3
    assert {probe.device for probe in probes} == {"cpu"}
    assert all(len(p.log_probs) == len(p.continuation_ids) > 0 for p in probes)
    same: Any = make_probes(base, save_adapter(base, tmp_path / "same", scale=0))
    assert [p.log_probs for p in same] != [p.log_probs for p in probes]


@pytest.mark.parametrize(
    ("source", "broken"),
    [("x = 1\n", False), ("x = (1\n", True), ("def f(:\n    pass\n", True), ("", False)],
)
def test_syntax_errors_are_counted(source: str, broken: bool) -> None:
    assert bool(num_errors(source)) is broken
