"""Turns rows into the batches of a training run: which rows, in which order, how many at once.

Knows nothing of trainers or models.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from trainer.dataset import TrainingRow, draw, draw_weights
from trainer.recipe import Recipe

SORTED_BATCHES = 8  # so many batches are drawn, sorted by length and shuffled again
TOKENS_AT_ONCE = 8_192  # that go through the model in one pass, padded to the longest row


class FixedOrder(torch.utils.data.Sampler[int]):
    """The indices of rows, in the order given."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = order

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)


def ordered(rows: Sequence[TrainingRow], recipe: Recipe) -> list[int]:
    """Return row indices drawn by weight, rows of like length in one batch to save padding."""
    num_draws = max(1, round(recipe.epochs * len(rows)))
    drawn = draw(draw_weights(rows), num_draws, recipe.seed)
    generator, order = random.Random(recipe.seed + 1), []
    chunk = SORTED_BATCHES * recipe.batch_size
    for begin in range(0, len(drawn), chunk):
        part = sorted(drawn[begin : begin + chunk], key=lambda index: rows[index].num_tokens)
        size = recipe.batch_size
        batches = [part[i : i + size] for i in range(0, len(part), size)]
        last = batches.pop() if len(batches[-1]) < size else []  # a short batch stays last
        generator.shuffle(batches)
        order += [index for batch in [*batches, last] for index in batch]
    return order


def in_parts(rows: Sequence[TrainingRow], recipe: Recipe) -> dict[str, Any]:
    """Return how many rows go through the model at once, and how many such parts make a batch."""
    sides = 2 if recipe.objective == "dpo" else 1
    most = TOKENS_AT_ONCE // (sides * max(row.num_tokens for row in rows))
    sizes = range(min(most, recipe.batch_size), 1, -1)
    part = next((size for size in sizes if recipe.batch_size % size == 0), 1)
    return {
        "per_device_train_batch_size": part,
        "gradient_accumulation_steps": recipe.batch_size // part,
    }
