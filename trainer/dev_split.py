"""Turns rows of the inner dev split into what a model makes of them: gains, never a decision.

How likely a text is, and how likely its end is, are two questions: the starter gives an end token
0.5 % where one belongs, and learning that alone would look like a great gain in everything. So end
tokens do not count here. This module knows nothing of adapters, files or gates.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from trainer.dataset import TrainingRow
from trainer.measure import score


def without_ends(rows: Sequence[TrainingRow], end_id: int) -> list[TrainingRow]:
    """Return the rows without the end tokens of either side."""
    return [
        replace(
            row,
            chosen_ids=_without_end(row.chosen_ids, end_id),
            rejected_ids=_without_end(row.rejected_ids, end_id),
        )
        for row in rows
    ]


def chosen_nats(model: torch.nn.Module, rows: Sequence[TrainingRow]) -> list[float]:
    """Return, per row, the mean log-probability per token of the chosen side, in nats."""
    scores = score(model, [(row.prompt_ids, row.chosen_ids) for row in rows])
    counted = [s[row.healed_tokens :] for s, row in zip(scores, rows, strict=True)]
    return [sum(s) / len(s) if s else 0.0 for s in counted]


def gain(
    candidate: torch.nn.Module, base: torch.nn.Module, rows: Sequence[TrainingRow]
) -> float | None:
    """Return the gain over the base on the chosen side, nats per token; None without rows."""
    if not rows:
        return None
    gains = zip(chosen_nats(candidate, rows), chosen_nats(base, rows), strict=True)
    return sum(new - old for new, old in gains) / len(rows)


def preference_accuracy(
    candidate: torch.nn.Module, base: torch.nn.Module, rows: Sequence[TrainingRow]
) -> float | None:
    """Return how often the candidate widened chosen over rejected against the base.

    None without pairs.
    """
    pairs = [row for row in rows if row.is_pair]
    if not pairs:
        return None
    margins = zip(_margins(candidate, pairs), _margins(base, pairs), strict=True)
    return sum(new > old for new, old in margins) / len(pairs)


def _without_end(ids: tuple[int, ...], end_id: int) -> tuple[int, ...]:
    return ids[:-1] if ids and ids[-1] == end_id else ids


def _margins(model: torch.nn.Module, rows: Sequence[TrainingRow]) -> list[float]:
    chosen = score(model, [(row.prompt_ids, row.chosen_ids) for row in rows])
    rejected = score(model, [(row.prompt_ids, row.rejected_ids) for row in rows])
    return [
        sum(c[row.chosen_start :]) - sum(r[row.rejected_start :])
        for c, r, row in zip(chosen, rejected, rows, strict=True)
    ]
