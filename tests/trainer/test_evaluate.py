"""A report tells two arms apart, and says nothing of an arm against itself."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from peft import LoraConfig, get_peft_model

from feedback_store.completions import Visit
from lsp_server.engine.arm import share_weights
from lsp_server.engine.base import Base
from lsp_server.engine.engine import Answer
from trainer import pairs
from trainer.dataset import Limits, Position, Tokens, build_corpus, held_out_positions
from trainer.evaluate import Contest, Work, _told, evaluate, mean_log_probs
from trainer.golden import golden_positions
from trainer.probes import make_probes
from trainer.report import ArmScore
from trainer.syntax import num_errors


def save_adapter(base: Base, folder: Path, scale: float) -> Path:
    """Save an untrained adapter; `scale` 0 changes nothing."""
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=scale == 0)
    model = get_peft_model(share_weights(base.model), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.mul_(scale)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def work(base: Base, lessons: list[Visit]) -> Work:
    positions = held_out_positions(lessons, Limits())[:6]
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    corpus = build_corpus(pairs.build(lessons), tokens, Limits())
    return Work(positions, corpus.dev[:4], max_generated=4, num_golden=3)


def test_an_adapter_that_changes_nothing_gains_nothing(
    base: Base, work: Work, tmp_path: Path
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
    base: Base, work: Work, tmp_path: Path
) -> None:
    noisy = save_adapter(base, tmp_path, scale=3.0)
    ticks: list[tuple[int, int]] = []
    few = replace(work, max_generated=2)
    report = evaluate(Contest(base, noisy, None), few, progress=lambda *told: ticks.append(told))
    assert all(abs(p.delta_nats) > 1e-3 for p in report.positions)
    expected = mean_log_probs(base, base.model, work.positions)
    assert [p.live.log_prob for p in report.positions] == pytest.approx(expected, abs=1e-4)
    assert ticks[-1][0] == ticks[-1][1]
    against_itself = evaluate(Contest(base, noisy, noisy), few)
    assert all(abs(p.delta_nats) < 1e-4 for p in against_itself.positions)
    assert any(abs(p.delta_nats) > 1e-3 for p in against_itself.golden)  # always against the base


def test_no_positions_is_no_error(base: Base, tmp_path: Path) -> None:
    same = save_adapter(base, tmp_path, scale=0)
    report = evaluate(Contest(base, same, None), Work((), num_golden=1))
    assert report.positions == ()
    assert report.latency_ratio() is None
    assert report.preference_accuracy is None


@pytest.mark.parametrize(
    ("text", "reason", "complete", "expected"),
    [
        ("enumerate(a):", "end", True, (13, False, False)),
        ("enumerate(a): pass", "stop", True, (13, True, False)),
        ("enumerate(a): pass", "stop", False, (13, False, False)),
        ("enumerate", "end", True, (9, False, True)),
        ("enumerate", "length", True, (9, False, False)),
        ("enum(a)", "end", True, (4, False, False)),
        ("", "end", True, (0, False, True)),
        ("enumerate(a):\n    pass", "length", True, (13, False, False)),  # cut to the line
    ],
)
def test_what_an_answer_shows(
    base: Base, text: str, reason: str, complete: bool, expected: tuple[int, bool, bool]
) -> None:
    place = golden_positions(base.prompter, 1)[0]
    place = replace(place, text="enumerate(a):", complete=complete)
    answer = cast(
        Answer,
        SimpleNamespace(
            generations=[SimpleNamespace(text=text, finish_reason=reason)],
            timings=SimpleNamespace(engine_ms=5.0, queue_ms=1.0),
        ),
    )
    told = _told(ArmScore(-1.0), place, answer)
    assert (told.matched, told.ran_on, told.stopped_early) == expected
    assert told.engine_ms == 4.0


def test_the_golden_set_is_fixed(base: Base) -> None:
    once, again = (golden_positions(base.prompter, 40) for _ in range(2))
    assert once == again
    assert len(once) == 40
    assert len({place.file_key for place in once}) == 20
    assert all(place.text and "\n" not in place.text for place in once)
    assert golden_positions(base.prompter, 5) == once[:5]


def test_probes_are_what_the_adapter_scores(base: Base, tmp_path: Path) -> None:
    probes = make_probes(base, save_adapter(base, tmp_path, scale=1.0))
    assert len(probes) == 3
    assert all(len(p.log_probs) == len(p.continuation_ids) > 0 for p in probes)
    same: Any = make_probes(base, save_adapter(base, tmp_path / "same", scale=0))
    assert [p.log_probs for p in same] != [p.log_probs for p in probes]


@pytest.mark.parametrize(
    ("source", "broken"),
    [("x = 1\n", False), ("x = (1\n", True), ("def f(:\n    pass\n", True), ("", False)],
)
def test_syntax_errors_are_counted(source: str, broken: bool) -> None:
    assert bool(num_errors(source)) is broken


def test_positions_survive_a_window_that_is_full(base: Base, lessons: list[Visit]) -> None:
    place: Position = held_out_positions(lessons, Limits())[0]
    full = replace(place, prompt_ids=(100,) * (base.window_tokens - 2))
    assert len(mean_log_probs(base, base.model, [full])) == 1
