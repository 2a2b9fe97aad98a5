"""An adapter is weakened as far as the dev split wants it, and stays an ordinary one."""

import math
from pathlib import Path

import pytest
from safetensors.torch import load_file

from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from trainer import dev_split, pairs
from trainer.dataset import Limits, Tokens, TrainingRow, build_corpus
from trainer.measure import load_model
from trainer.recipe import Recipe
from trainer.strength import STRENGTHS, UNKNOWN_STRENGTH, choose, settle
from trainer.train import train


def check(files: list[str], measured: dict[float, list[float]], expected: float) -> None:
    """`measured` are gains over a base that gives every row -2 nats."""
    told = {s: [gain - 2.0 for gain in gains] for s, gains in measured.items()}
    assert choose(files, [-2.0] * len(files), told) == expected


def test_the_likeliest_strength_wins_and_ties_go_to_the_weaker() -> None:
    files = [f"f{i % 3}" for i in range(30)]
    check(files, {0.25: [0.0] * 30, 0.5: [1.0] * 30, 1.0: [0.5] * 30}, 0.5)
    check(files, {0.25: [1.0] * 30, 0.5: [1.0] * 30, 1.0: [1.0] * 30}, 0.25)


def test_a_gain_that_files_disagree_about_loses_to_a_surer_one() -> None:
    files = [f"f{i % 3}" for i in range(30)]
    apart = [{"f0": 1.2, "f1": 0.1, "f2": 0.05}[file] for file in files]
    check(files, {0.5: [0.3] * 30, 1.0: apart}, 0.5)  # 0.45 on average, 0.37 less or more
    check(files, {0.5: [0.05] * 30, 1.0: apart}, 1.0)


def test_a_strength_whose_scores_are_no_numbers_is_never_taken() -> None:
    files = [f"f{i % 3}" for i in range(30)]
    broken = [math.nan] + [9.0] * 29
    check(files, {0.25: broken, 0.5: [-0.1] * 30, 1.0: [-math.inf] * 30}, 0.5)
    check(files, {0.25: broken, 1.0: broken}, UNKNOWN_STRENGTH)


@pytest.mark.parametrize("files", [["a"] * 40, ["a", "b"] * 9, []])
def test_a_thin_dev_split_means_half_the_way(files: list[str]) -> None:
    check(files, {s: [s] * len(files) for s in STRENGTHS} if files else {}, UNKNOWN_STRENGTH)


@pytest.fixture(scope="module")
def rows(base: Base, lessons: list[Visit]) -> list[TrainingRow]:
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    return list(build_corpus(pairs.build(lessons), tokens, Limits()).train)


@pytest.fixture(scope="module")
def trained(base: Base, rows: list[TrainingRow], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    recipe = Recipe(epochs=1.0, batch_size=8)
    train(base, rows[:32], recipe, folder, scratch=folder.parent / "scratch")
    return folder


def test_what_is_kept_is_what_was_measured(
    base: Base, rows: list[TrainingRow], trained: Path
) -> None:
    dev = rows[-24:]
    whole = load_file(trained / "adapter_model.safetensors")
    settled = settle(base, trained, dev)
    assert set(settled.gains) == set(STRENGTHS)
    assert settled.gains[settled.strength] > 0
    plain = dev_split.without_ends(dev, base.prompter.end_id)
    again = dev_split.chosen_nats(load_model(base, trained), plain)
    assert again == pytest.approx(settled.dev_nats, abs=1e-5)
    for name, tensor in load_file(trained / "adapter_model.safetensors").items():
        factor = settled.strength if "lora_B" in name else 1.0
        assert (tensor - factor * whole[name]).abs().max() < 1e-6, name


def test_without_dev_rows_it_goes_half_the_way(base: Base, trained: Path) -> None:
    whole = load_file(trained / "adapter_model.safetensors")
    settled = settle(base, trained, [])
    assert (settled.strength, settled.dev_nats, settled.gains) == (UNKNOWN_STRENGTH, (), {})
    half = load_file(trained / "adapter_model.safetensors")
    name = next(n for n in whole if "lora_B" in n)
    assert (half[name] - UNKNOWN_STRENGTH * whole[name]).abs().max() < 1e-6
