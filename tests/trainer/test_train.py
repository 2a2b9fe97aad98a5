"""Exact ids reach the model, the loss counts where it should, a diverging run is stopped."""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import torch
from safetensors.torch import load_file

from feedback_store.adapter_files import WEIGHTS
from feedback_store.schemas import Rule
from feedback_store.visits import Visit
from lsp_server.engine.arm import load_adapter, share_weights
from lsp_server.engine.base import Base
from lsp_server.engine.scoring import score_rows
from trainer import batches, pairs
from trainer.dataset import Limits, Tokens, TrainingRow, build_corpus
from trainer.errors import DatasetError, TrainingDiverged
from trainer.measure import load_model
from trainer.recipe import Objective, Recipe
from trainer.train import (
    CONTINUED_RATE,
    CURVE_FILE,
    ExactTokens,
    default_learning_rate,
    preference_columns,
    supervised_columns,
    train,
)

PAIR = TrainingRow(
    UUID(int=1), Rule.TYPED_INSTEAD, 0.6, "r:a", (5, 6, 7), (20, 21, 22), 1, 1, (20, 30), 1
)
KEPT = TrainingRow(UUID(int=2), Rule.KEPT, 1.0, "r:b", (5, 6), (40, 41), 1, 1)


@pytest.fixture(scope="session")
def rows(base: Base, lessons: list[Visit]) -> tuple[TrainingRow, ...]:
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    return build_corpus(pairs.build(lessons), tokens, Limits()).train


def test_no_token_but_ours_reaches_the_model() -> None:
    columns = [preference_columns(row) for row in (PAIR, KEPT)]
    noisy = [{**c, "prompt_ids": [99], "chosen_ids": [98], "rejected_ids": [97]} for c in columns]
    batch = ExactTokens(pad_token_id=0).torch_call(noisy)
    assert batch["input_ids"].tolist() == [
        [5, 6, 7, 20, 21, 22],
        [5, 6, 40, 41, 0, 0],
        [5, 6, 7, 20, 30, 0],
        [5, 6, 40, 41, 0, 0],  # a kept row stands on both sides
    ]
    assert batch["completion_mask"].tolist() == [
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
    ]


def test_supervised_labels_start_after_the_healed_piece() -> None:
    assert supervised_columns(PAIR) == {
        "input_ids": [5, 6, 7, 20, 21, 22],
        "labels": [-100, -100, -100, -100, 21, 22],
    }


@pytest.mark.parametrize("objective", ["sft", "dpo"])
def test_training_fits_what_was_preferred(
    base: Base, rows: tuple[TrainingRow, ...], tmp_path: Path, objective: str
) -> None:
    few = [*rows[:16], *(as_kept(row) for row in rows[16:20])]
    steps: list[tuple[int, int]] = []
    before = [p.clone() for p in base.model.parameters()]
    recipe = Recipe(objective=objective, epochs=2.0, batch_size=8)  # type: ignore[arg-type]
    done = train(
        base, few, recipe, tmp_path, scratch=tmp_path / "s", progress=lambda *s: steps.append(s)
    )
    assert done.num_steps == 5 == len(steps)
    assert steps[-1] == (5, 5)
    assert done.learning_rate == pytest.approx(4e-3, rel=0.1)
    assert done.curve[-1]["loss"] < done.curve[0]["loss"]
    assert ("rewards/margins" in done.curve[-1]) is (objective == "dpo")
    check_saved(tmp_path, base)
    assert all(torch.equal(a, b) for a, b in zip(before, base.model.parameters(), strict=True))
    candidate = load_adapter(share_weights(base.model), tmp_path).eval()
    assert mean_score(candidate, few) > mean_score(base.model, few) + 0.3


def test_dpo_goes_on_from_the_adapter_that_lies_there(
    base: Base, rows: tuple[TrainingRow, ...], tmp_path: Path
) -> None:
    first, second = tmp_path / "sft", tmp_path / "dpo"
    few, quick = rows[:16], Recipe(epochs=1.0, batch_size=8)
    done = train(base, few, quick, first, scratch=tmp_path / "s")
    shutil.copytree(first, second)
    recipe = replace(quick, objective="dpo", after_sft=True, dpo_weight=1.0)
    again = train(base, few, recipe, second, scratch=tmp_path / "s")
    assert again.learning_rate == pytest.approx(CONTINUED_RATE * done.learning_rate)
    check_saved(second, base)
    assert not (second / "ref").exists()  # what TRL compares with is no part of the adapter
    old, new = (load_file(folder / WEIGHTS) for folder in (first, second))
    assert old.keys() == new.keys()
    assert any(not torch.equal(old[name], new[name]) for name in old)
    moved = sum(float((new[name] - old[name]).norm() ** 2) for name in old)
    assert moved < 0.1 * sum(float(old[name].norm() ** 2) for name in old)
    gains = [mean_margin(load_model(base, f), few) for f in (None, first, second)]
    assert gains[0] < gains[1] < gains[2]


def mean_margin(model: torch.nn.Module, rows: Sequence[TrainingRow]) -> float:
    sides = ([(row.prompt_ids, row.chosen_ids) for row in rows],
             [(row.prompt_ids, row.rejected_ids) for row in rows])  # fmt: skip
    chosen, rejected = (score_rows(model, side) for side in sides)
    return sum(sum(c) - sum(r) for c, r in zip(chosen, rejected, strict=True)) / len(rows)


def as_kept(row: TrainingRow) -> TrainingRow:
    return TrainingRow(
        row.completion_id, Rule.KEPT, 1.0, row.file_key, row.prompt_ids, row.chosen_ids,
        row.healed_tokens, row.healed_tokens,
    )  # fmt: skip


def check_saved(folder: Path, base: Base) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["inference_mode"] is True
    assert config["base_model_name_or_path"] == base.name
    assert config["r"] == 16
    tensors = load_file(folder / "adapter_model.safetensors")
    assert all("lora_" in name for name in tensors)
    adapted = {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in tensors}
    assert adapted == {"v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert all(bool(t.isfinite().all()) for t in tensors.values())
    assert json.loads((folder / CURVE_FILE).read_text())
    assert not list(folder.glob("*.bin"))


def mean_score(model: torch.nn.Module, rows: Sequence[TrainingRow]) -> float:
    scores = score_rows(model, [(row.prompt_ids, row.chosen_ids) for row in rows])
    return sum(sum(s) / len(s) for s in scores) / len(scores)


def test_it_strays_less_from_the_base_where_that_costs(
    base: Base, rows: tuple[TrainingRow, ...], tmp_path: Path
) -> None:
    """What the rows ask for is learned all the same; what they do not ask for stays as it was."""
    few, others = rows[:16], [(row.prompt_ids[:-8], row.prompt_ids[-8:]) for row in rows[16:48]]
    before = [score for scores in score_rows(base.model, others) for score in scores]

    def learned(weight: float) -> tuple[float, float]:
        folder = tmp_path / f"kl-{weight:g}"
        recipe = Recipe(epochs=4.0, batch_size=8, kl_weight=weight)
        train(base, few, recipe, folder, scratch=tmp_path / "s")
        model = load_model(base, folder)
        after = [score for scores in score_rows(model, others) for score in scores]
        moved = sum(abs(new - old) for new, old in zip(after, before, strict=True)) / len(after)
        return mean_score(model, few) - mean_score(base.model, few), moved

    free, held = learned(0.0), learned(1.0)
    assert held[0] > 0.2
    assert held[1] < 0.8 * free[1]


def test_held_to_the_base_by_nothing_it_learns_what_trl_teaches(
    base: Base, rows: tuple[TrainingRow, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our loss takes the place of TRL's where there is a weight; all else must be the same."""
    longest = max(row.num_tokens for row in rows[:24])
    monkeypatch.setattr(batches, "TOKENS_AT_ONCE", 4 * longest)  # a batch goes in parts

    def learned(weight: float) -> dict[str, torch.Tensor]:
        recipe, folder = Recipe(epochs=2.0, batch_size=8, kl_weight=weight), tmp_path / f"{weight}"
        train(base, rows[:24], recipe, folder, scratch=tmp_path / "s")
        return load_file(folder / WEIGHTS)

    theirs, ours = learned(0.0), learned(1e-12)
    assert all(torch.allclose(theirs[name], ours[name], atol=2e-4) for name in theirs)
    assert any(theirs[name].abs().max() > 2e-3 for name in theirs if "lora_B" in name)


def test_the_same_seed_gives_the_same_adapter(
    base: Base, rows: tuple[TrainingRow, ...], tmp_path: Path
) -> None:
    found = []
    for name in ("a", "b"):
        train(base, rows[:8], Recipe(epochs=1.0), tmp_path / name, scratch=tmp_path / "s")
        found.append(load_file(tmp_path / name / "adapter_model.safetensors"))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("objective", ["sft", "dpo"])
def test_what_saves_memory_changes_nothing(
    base: Base,
    rows: tuple[TrainingRow, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    objective: Objective,
) -> None:
    """A batch in parts, and states made anew on the way back: a large model needs both."""
    recipe = Recipe(objective=objective, epochs=1.0, batch_size=8, sft_weight=0.0, kl_weight=4.0)

    def learned(name: str) -> dict[str, torch.Tensor]:
        train(base, rows[:32], recipe, tmp_path / name, scratch=tmp_path / "s")
        return load_file(tmp_path / name / WEIGHTS)

    usual = learned("usual")
    part = batches.in_parts(rows[:32], recipe)["per_device_train_batch_size"]
    assert part == recipe.batch_size
    longest = max(row.num_tokens for row in rows[:32])
    monkeypatch.setattr(batches, "TOKENS_AT_ONCE", 4 * longest)
    monkeypatch.setattr("trainer.train.LARGE_PARAMETERS", 0)
    parts = batches.in_parts(rows[:32], recipe)
    assert parts["per_device_train_batch_size"] == (4 if objective == "sft" else 2)
    assert parts["per_device_train_batch_size"] * parts["gradient_accumulation_steps"] == 8
    saving = learned("saving")
    assert all(torch.allclose(usual[name], saving[name], atol=2e-4) for name in usual)
    assert base.model.config.use_cache
    assert not base.model.is_gradient_checkpointing


def test_a_row_longer_than_a_part_goes_alone() -> None:
    long = replace(KEPT, prompt_ids=(5,) * batches.TOKENS_AT_ONCE)
    parts = batches.in_parts([KEPT, long], Recipe(batch_size=16))
    assert parts == {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16}


def test_a_loss_that_is_not_a_number_stops_the_run(
    base: Base, rows: tuple[TrainingRow, ...], tmp_path: Path
) -> None:
    recipe = Recipe(learning_rate=1e30, epochs=4.0)
    with pytest.raises(TrainingDiverged, match=r"learning rate 1e\+30; lower train.learning_rate"):
        train(base, rows[:16], recipe, tmp_path, scratch=tmp_path / "s")
    assert not (tmp_path / "adapter_model.safetensors").exists()


@pytest.mark.parametrize(
    ("given", "objective", "says"), [([], "sft", "no rows"), ([KEPT], "dpo", "no pairs")]
)
def test_nothing_to_train_on_is_said(
    base: Base, tmp_path: Path, given: list[TrainingRow], objective: str, says: str
) -> None:
    with pytest.raises(DatasetError, match=says):
        train(base, given, Recipe(objective=objective), tmp_path, scratch=tmp_path)  # type: ignore[arg-type]


def test_batches_hold_rows_of_like_length(rows: tuple[TrainingRow, ...]) -> None:
    order = batches.ordered(rows, Recipe(epochs=2.0, batch_size=8))
    assert len(order) == 2 * len(rows)
    lengths = [[rows[i].num_tokens for i in order[b : b + 8]] for b in range(0, len(order), 8)]
    padding = sum(max(batch) * len(batch) - sum(batch) for batch in lengths)
    assert padding < 0.25 * sum(map(sum, lengths))


@pytest.mark.parametrize(("size", "rate"), [(4e6, 4e-3), (1e6, 4e-3), (5e8, 2e-5), (7e9, 2e-5)])
def test_the_learning_rate_falls_with_the_size_of_the_model(size: float, rate: float) -> None:
    assert default_learning_rate(int(size)) == pytest.approx(rate)
    assert math.isclose(default_learning_rate(44_721_359), 2.83e-4, rel_tol=0.01)
