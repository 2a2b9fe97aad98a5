"""Turns the store's visits into what a night works with: rows, positions, and a fitting recipe.

This module knows nothing of how a recipe trains or how a candidate is judged.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from feedback_store.completions import load_window
from feedback_store.database import Database
from lsp_server.engine.base import Base
from trainer import pairs
from trainer.config import NightConfig
from trainer.dataset import (
    Corpus,
    Limits,
    Position,
    Tokens,
    build_corpus,
    held_out_positions,
    split_of,
)
from trainer.recipe import Recipe


@dataclass(frozen=True)
class Material:
    """What a night has to work with, and how much of what there was, counted."""

    rows: tuple[pairs.PreferencePair, ...]
    corpus: Corpus
    positions: tuple[Position, ...]
    counts: dict[str, Any]

    @property
    def num_pairs(self) -> int:
        """Return the pairs made, in all splits."""
        return sum(pairs.is_pair(row) for row in self.rows)


def gather(config: NightConfig, database: Database, base: Base, now: datetime) -> Material:
    """Load what users did with suggestions of this base.

    Pairs come from the window of `config`, held-out positions from everything that is kept.
    """
    limits = Limits(max_rows=config.max_pairs)
    reach = max(config.window_days, config.retention.max_age_days)
    visits = load_window(database, since=now - timedelta(days=reach))
    ours = [visit for visit in visits if visit.completion.model_sha256 == base.sha256]
    since = now - timedelta(days=config.window_days)
    window = [visit for visit in ours if visit.completion.served_at >= since]
    rows = pairs.build(window)
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    positions = held_out_positions(ours, limits)
    corpus = build_corpus(rows, tokens, limits, positions)
    counts = {
        "visits": len(window),
        "visits_of_other_models": len(visits) - len(ours),
        "outcomes": dict(Counter(visit.outcome.kind.value for visit in window)),
        "rules": dict(Counter(row.rule.value for row in rows)),
        "train_rows": len(corpus.train),
        "train_pairs": corpus.num_pairs,
        "dev_rows": len(corpus.dev),
        "left_out": corpus.counts,
        "held_out_positions": len(positions),
        "held_out_files": len({position.file_key for position in positions}),
    }
    return Material(tuple(rows), corpus, tuple(positions), counts)


def too_little(config: NightConfig, material: Material) -> tuple[str, ...]:
    """Return why there is nothing to train on yet, and what may be the matter; () if there is."""
    if material.num_pairs < config.min_pairs:
        why = f"not enough pairs: have {material.num_pairs}, need {config.min_pairs}"
        return (why, *_hints(config, material))
    if not material.corpus.train:
        return (
            f"all {material.num_pairs} pairs lie in held-out files or repeat each other: "
            "nothing to train on yet",
        )
    return ()


def _hints(config: NightConfig, material: Material) -> tuple[str, ...]:
    """Say what people most often forget when nothing at all was recorded."""
    others = material.counts["visits_of_other_models"]
    if material.counts["visits"]:
        return ()
    if others:
        return (
            f"{others} completions are recorded, but of another model than {config.model}: "
            "name the one that serves with --model.",
        )
    return (
        f"No completions are recorded in {config.data}: is it the folder of the host, and does "
        "the editor set initializationOptions.hone.record?",
    )


def recipe_for(config: NightConfig, material: Material) -> Recipe:
    """Choose by the amount of data: SFT on chosen texts while it is small, else DPO + SFT."""
    objective = config.objective
    if objective == "auto":
        objective = "dpo" if material.num_pairs >= config.dpo_min_pairs else "sft"
    return Recipe(
        objective=objective if material.corpus.num_pairs else "sft",
        learning_rate=config.learning_rate,
        epochs=config.epochs,
        rank=config.rank,
        beta=config.beta,
        sft_weight=config.sft_weight,
        batch_size=config.batch_size,
        seed=config.seed,
    )


def stored_rows(material: Material) -> list[dict[str, Any]]:
    """Return every row as the store keeps it, trained on or not."""
    return [
        {
            "completion_id": row.completion_id,
            "rule": row.rule,
            "weight": row.weight,
            "chosen": row.chosen,
            "rejected": row.rejected,
            "held_out": split_of(row.file_key) == "held_out",
            "split": split_of(row.file_key),
        }
        for row in material.rows
    ]
