"""Two recipes are trained, the inner dev split chooses, and what was dropped is on record."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store import adapter_files
from feedback_store.schemas import Rule
from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from trainer import candidates, pairs
from trainer.candidates import Choice, choose, make
from trainer.dataset import Corpus, Limits, Tokens, TrainingRow, build_corpus, with_enough_dev
from trainer.errors import TrainingDiverged
from trainer.ledger import Folders, Notes
from trainer.recipe import Recipe
from trainer.train import CONTINUED_RATE, default_learning_rate

SFT = Recipe(objective="sft", epochs=1.0, batch_size=8)
DPO = replace(SFT, objective="dpo", after_sft=True)


def check_choice(gains: list[float], files: int, expected: bool) -> Choice:
    names = [f"f{i % files}" for i in range(len(gains))]
    choice = choose(names, [-1.0] * len(gains), [-1.0 + gain for gain in gains])
    assert choice.takes_second is expected, choice
    return choice


def test_the_second_needs_more_than_one_standard_error() -> None:
    rng = random.Random(1)
    noise = [rng.gauss(0, 0.2) for _ in range(60)]
    mean = sum(noise) / 60
    check_choice([n - mean + 0.2 for n in noise], 6, True)
    check_choice([n - mean + 0.002 for n in noise], 6, False)
    check_choice([n - mean - 0.2 for n in noise], 6, False)


def test_ties_go_to_the_first() -> None:
    choice = check_choice([0.0] * 40, 4, False)
    assert choice.gain_nats == 0.0


@pytest.mark.parametrize(("rows", "files"), [(0, 1), (19, 4), (200, 1)])
def test_a_dev_split_that_cannot_tell_takes_the_first(rows: int, files: int) -> None:
    choice = check_choice([5.0] * rows, files, False)
    assert "cannot tell them apart" in choice.why
    assert choice.gain_nats is None


@given(st.lists(st.floats(-2, 2), min_size=20, max_size=60), st.integers(2, 6))
def test_one_of_two_is_never_better_than_the_other_both_ways(
    gains: list[float], files: int
) -> None:
    names = [f"f{i % files}" for i in range(len(gains))]
    nought = [0.0] * len(gains)
    forth, back = choose(names, nought, gains), choose(names, gains, nought)
    assert not (forth.takes_second and back.takes_second)


def test_a_thin_dev_split_takes_more_files_but_not_too_much(visit_rows: list[TrainingRow]) -> None:
    corpus = Corpus(tuple(visit_rows), ())
    grown = with_enough_dev(corpus)
    assert grown == with_enough_dev(corpus)
    assert sorted(map(repr, grown.train + grown.dev)) == sorted(map(repr, visit_rows))
    files = {row.file_key for row in grown.dev}
    assert len(files) >= 4
    assert len(grown.dev) <= 0.2 * len(visit_rows)
    assert files.isdisjoint(row.file_key for row in grown.train)
    assert with_enough_dev(grown) == grown
    alone = Corpus(tuple(replace(row, file_key="r:a") for row in visit_rows), ())
    assert with_enough_dev(alone) == alone


@pytest.fixture(scope="session")
def visit_rows(base: Base, lessons: list[Visit]) -> list[TrainingRow]:
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    corpus = build_corpus(pairs.build(lessons), tokens, Limits())
    return [*corpus.train, *corpus.dev]


@pytest.fixture
def corpus(visit_rows: list[TrainingRow]) -> Corpus:
    kept = replace(visit_rows[0], rule=Rule.KEPT, rejected_ids=(), rejected_start=0)
    return Corpus((kept, *visit_rows[1:32]), tuple(visit_rows[-24:]))


def made(base: Base, corpus: Corpus, folder: Path, *recipes: Recipe) -> tuple[Recipe, Notes, Path]:
    folders, notes = Folders(folder, "run"), Notes()
    told: list[tuple[int, int]] = []
    recipe, sha256 = make(base, corpus, recipes, folders, notes, lambda *t: told.append(t))
    assert (
        adapter_files.check(folders.staging, expected_sha256=sha256).recipe["name"] == recipe.name
    )
    assert told[-1][0] == told[-1][1] or "diverged" in notes.metrics
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert list(folders.scratch.glob("candidate-*")) == []
    return recipe, notes, folders.staging


def test_both_candidates_are_recorded_and_one_is_sealed(
    base: Base, corpus: Corpus, tmp_path: Path
) -> None:
    recipe, notes, staging = made(base, corpus, tmp_path, SFT, DPO)
    first, second = notes.metrics["candidates"]
    assert (first["objective"], second["objective"]) == ("sft", "dpo")
    assert [c["recipe"] for c in (first, second) if c["chosen"]] == [recipe.name]
    assert all(c["dev_gain_nats"] > 0.1 and c["seconds"] > 0 for c in (first, second))
    assert notes.metrics["choice"]["dev_rows"] == 24
    difference = second["dev_gain_nats"] - first["dev_gain_nats"]
    assert notes.metrics["choice"]["gain_nats"] == pytest.approx(difference, abs=1e-6)
    assert notes.metrics["recipe"]["name"] == recipe.name
    # Kept rows are learned from like pairs are, and dev rows by nobody.
    lineage = adapter_files.lineage(staging)
    assert lineage == {row.completion_id for row in corpus.train}


def test_the_choice_is_carried_out(
    base: Base, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "choose", lambda *_: Choice(True, "told so"))
    quick = [replace(recipe, epochs=0.1) for recipe in (SFT, DPO)]
    recipe, notes, staging = made(base, corpus, tmp_path, *quick)
    assert recipe.objective == "dpo"
    assert adapter_files.check(staging).recipe["objective"] == "dpo"
    assert notes.metrics["choice"]["why"] == "dpo: told so"
    size = sum(parameter.numel() for parameter in base.model.parameters())
    continued = CONTINUED_RATE * default_learning_rate(size)  # from the SFT candidate
    assert notes.metrics["recipe"]["learning_rate"] == pytest.approx(continued)


def diverging(monkeypatch: pytest.MonkeyPatch, objective: str) -> None:
    """Let every training with this objective diverge."""
    real = candidates.train

    def stumble(base: Base, rows: Any, recipe: Recipe, folder: Path, **more: Any) -> Any:
        if recipe.objective == objective:
            raise TrainingDiverged("loss is nan")
        return real(base, rows, recipe, folder, **more)

    monkeypatch.setattr(candidates, "train", stumble)


def test_a_recipe_that_diverges_leaves_the_other(
    base: Base, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging(monkeypatch, "dpo")
    quick = replace(SFT, epochs=0.1)
    recipe, notes, _ = made(base, corpus, tmp_path / "1", quick, DPO)
    assert recipe == quick
    assert notes.metrics["diverged"] == [DPO.name]
    with pytest.raises(TrainingDiverged):
        made(base, corpus, tmp_path / "2", DPO)


def test_where_sft_diverges_what_is_served_does_not_claim_to_come_after_it(
    base: Base, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe's name decides what a later night may refresh."""
    diverging(monkeypatch, "sft")
    recipe, notes, staging = made(base, corpus, tmp_path, SFT, replace(DPO, epochs=0.1))
    assert "after sft" not in recipe.name
    assert notes.metrics["diverged"] == [SFT.name]
    assert notes.metrics["recipe"]["learning_rate"] == pytest.approx(
        default_learning_rate(sum(parameter.numel() for parameter in base.model.parameters()))
    )
    assert adapter_files.lineage(staging) == {row.completion_id for row in corpus.train}
