"""Turns a trained adapter into one between the base and itself, as far as the dev split wants it.

A night has few rows and fits them too well; a part of the way it keeps most of the gain and loses
little elsewhere (Wortsman et al. 2022, Robust Fine-Tuning of Zero-Shot Models). The whole way often
gains as much on average and is far less certain of it, so certainty decides. Only the adapter's
outer factor is scaled, so that it stays an ordinary LoRA. This module knows nothing of recipes,
gates or registries.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from feedback_store.adapter_files import WEIGHTS
from lsp_server.engine.base import Base
from trainer import dev_split
from trainer.bounds import clustered_mean
from trainer.dataset import TrainingRow
from trainer.measure import load_model

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
UNKNOWN_STRENGTH = 0.5  # where the dev split is too thin to tell
MIN_ROWS, MIN_FILES = 20, 2
_OUTER = "lora_B"


@dataclass(frozen=True)
class Settled:
    """What was chosen, and what the dev split says of it: nats per token of each row."""

    strength: float
    dev_nats: tuple[float, ...]
    gains: dict[float, float]  # mean over the base by strength, nats per token


def settle(base: Base, folder: Path, dev: Sequence[TrainingRow]) -> Settled:
    """Scale the adapter in `folder` to the strength whose gain on the dev rows is surest.

    Rows count without their end tokens. Too few rows or files: half the way, whatever they say.
    """
    rows = dev_split.without_ends(dev, base.prompter.end_id)
    whole = load_file(folder / WEIGHTS)
    measured: dict[float, list[float]] = {}
    for strength in STRENGTHS if rows else ():
        _write(folder, whole, strength)
        measured[strength] = dev_split.chosen_nats(load_model(base, folder), rows)
    bare = dev_split.chosen_nats(base.model, rows) if rows else []
    chosen = choose([row.file_key for row in rows], bare, measured)
    _write(folder, whole, chosen)
    gains = {s: (sum(nats) - sum(bare)) / len(rows) for s, nats in measured.items()}
    return Settled(chosen, tuple(measured.get(chosen, ())), gains)


def choose(
    files: Sequence[str], bare: Sequence[float], measured: Mapping[float, Sequence[float]]
) -> float:
    """Return the strength whose mean gain over the bare base, less one standard error, is highest.

    `files` and nats are per dev row; errors are clustered by file, ties go to the weaker strength.
    One whose score of a row is no number is never taken.
    """
    measured = {s: nats for s, nats in measured.items() if all(map(math.isfinite, nats))}
    if len(files) < MIN_ROWS or len(set(files)) < MIN_FILES or not measured:
        return UNKNOWN_STRENGTH

    def surest(strength: float) -> float:
        gains = (new - old for new, old in zip(measured[strength], bare, strict=True))
        found = clustered_mean(zip(files, gains, strict=True))
        return found.mean - found.standard_error

    return max(sorted(measured), key=surest)


def _write(folder: Path, whole: Mapping[str, torch.Tensor], strength: float) -> None:
    weights = {
        name: (tensor * strength if _OUTER in name else tensor).contiguous()
        for name, tensor in whole.items()
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
