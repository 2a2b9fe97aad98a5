"""Turns the store's visits into what a night works with: rows, positions, and fitting recipes.

This module knows nothing of how a recipe trains or how a candidate is judged.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from feedback_store import adapter_files, runs
from feedback_store.completions import num_without_content
from feedback_store.database import Database
from feedback_store.registry import AdapterRecord
from feedback_store.visits import Visit, load_window, stream_older
from lsp_server.engine.base import Base
from trainer import pairs
from trainer.code_rows import CodeText, code_rows, recorded_texts
from trainer.config import NightConfig
from trainer.dataset import (
    Corpus,
    Limits,
    Position,
    Tokens,
    TrainingRow,
    build_corpus,
    held_out_positions,
    is_held_out,
    measured_at,
    split_of,
    with_enough_dev,
    without_copies_of_dev,
)
from trainer.gate import LiveArm
from trainer.recipe import Objective, Recipe
from trainer.show_filter import SeenOffer, seen_offers
from trainer.sides import file_key_of

LINE_TOKENS = 96  # room for the rest of a line


@dataclass(frozen=True)
class Material:
    """What a night has to work with, and how much of what there was, counted."""

    rows: tuple[pairs.PreferencePair, ...]
    corpus: Corpus
    positions: tuple[Position, ...]
    counts: dict[str, Any]
    recipes: tuple[Recipe, ...]  # to train; with two, the dev split chooses
    reviewed: Mapping[UUID, datetime] = field(default_factory=dict)  # not held out: when, last
    offers: tuple[SeenOffer, ...] = ()  # what was on a screen, for the show filter

    @property
    def num_pairs(self) -> int:
        """Return the pairs that can teach tonight: without held-out, repeated and surplus ones."""
        return self.corpus.num_pairs

    def share_new(self, lineage: Collection[UUID], begun_at: datetime | None = None) -> float:
        """Return the share of tonight's training rows that an adapter was not made from.

        Its `lineage` has the rows; what people judged, or took back, since its night began is new,
        as far as it is, or was, trained on.
        """
        trained = {row.completion_id for row in self.corpus.train}
        new = trained - set(lineage)
        judged = {key for key, at in self.reviewed.items() if begun_at and at > begun_at}
        judged &= trained.union(lineage)
        return min(1.0, len(new | judged) / max(1, len(trained)))


def gather(config: NightConfig, database: Database, base: Base, now: datetime) -> Material:
    """Load what users did with suggestions of this base.

    Pairs come from the window of `config`, held-out positions from everything that is kept.
    """
    limits = Limits(max_rows=config.max_pairs)
    since = now - timedelta(days=config.window_days)
    oldest = now - timedelta(days=config.retention.max_age_days)
    visits = load_window(database, since=since)
    window = [visit for visit in visits if visit.completion.model_sha256 == base.sha256]
    rows = pairs.build(window)
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    positions = held_out_positions(chain(_older(database, base, oldest, since), window), limits)
    corpus = with_enough_dev(build_corpus(rows, tokens, limits, positions))
    corpus = without_copies_of_dev(corpus, rows)
    recipes = recipes_for(config, corpus)
    if config.learn_code:
        code = code_beside(
            corpus, positions, recorded_texts(window), len(corpus.train), base, config.seed
        )
        corpus = replace(corpus, code=code)
    counts = {
        "visits": len(window),
        "visits_of_other_models": len(visits) - len(window),
        "visits_without_content": num_without_content(database, since=since),
        "outcomes": dict(Counter(visit.outcome.kind.value for visit in window)),
        "rules": dict(Counter(row.rule.value for row in rows)),
        "train_rows": len(corpus.train),
        "train_pairs": sum(row.is_pair for row in corpus.train),
        "code_rows": len(corpus.code),
        "dev_rows": len(corpus.dev),
        "left_out": corpus.counts,
        "held_out_positions": len(positions),
        "held_out_files": len({position.file_key for position in positions}),
    }
    offers = tuple(seen_offers(window))
    reviewed = {
        visit.outcome.completion_id: visit.reviewed_at
        for visit in window
        if visit.reviewed_at and split_of(file_key_of(visit.completion.request)) != "held_out"
    }
    return Material(tuple(rows), corpus, tuple(positions), counts, recipes, reviewed, offers)


def _older(database: Database, base: Base, oldest: datetime, before: datetime) -> Iterator[Visit]:
    """Yield what is held out of the time before the window, as far back as it is kept."""
    older = stream_older(
        database,
        since=oldest,
        before=before,
        is_wanted=is_held_out,
    )
    return (visit for visit in older if visit.completion.model_sha256 == base.sha256)


def code_beside(
    corpus: Corpus,
    positions: Sequence[Position],
    texts: Iterable[CodeText],
    num_cursors: int,
    base: Base,
    seed: int,
) -> tuple[TrainingRow, ...]:
    """Return rows of the texts that may be learned beside a corpus: `num_cursors` rests of lines.

    Files that are held out, or in the dev split, are left out, and so is elsewhere what they say at
    `positions` and in dev rows.
    """
    measured = measured_at(positions)
    tried = {row.file_key for row in corpus.dev}

    def is_learned(file_key: str) -> bool:
        is_free = split_of(file_key) == "train" and file_key not in tried
        return is_free and not measured.has_file(file_key)

    rows = code_rows(
        (text for text in texts if is_learned(text.file_key)),
        base.prompter,
        num_cursors=num_cursors,
        max_prompt_tokens=base.prompt_limit(LINE_TOKENS),
        seed=seed,
        measured=measured.content_keys | corpus.dev_content_keys,
    )
    return tuple(rows)


def too_little(config: NightConfig, material: Material) -> tuple[str, ...]:
    """Return why there is nothing to train on yet, and what may be the matter; () if there is."""
    if material.num_pairs < config.min_pairs:
        why = f"not enough pairs: have {material.num_pairs}, need {config.min_pairs}"
        return (why, *_left_out(material), *_hints(config, material))
    if not material.corpus.train:
        return (f"all {material.num_pairs} pairs lie in files of the dev split: wait for others",)
    return ()


def _left_out(material: Material) -> tuple[str, ...]:
    """Say where the other pairs went: people count what they saw recorded."""
    others = sum(map(pairs.is_pair, material.rows)) - material.num_pairs
    if others <= 0:
        return ()
    return (
        f"{others} more were recorded, but are held out to measure with, repeat others or are over "
        "a cap.",
    )


def _hints(config: NightConfig, material: Material) -> tuple[str, ...]:
    """Say what people most often forget when nothing at all was recorded."""
    others = material.counts["visits_of_other_models"]
    if material.counts["visits"]:
        return ()
    if num_blank := material.counts["visits_without_content"]:
        return (
            f"{num_blank} completions are stored without code (privacy.content is off on the "
            "host): there is nothing to train on, by intent.",
        )
    if others:
        return (
            f"{others} completions are recorded, but of another model than {config.model}: "
            "name the one that serves with --model.",
        )
    return (
        f"No completions are recorded in {config.data}: is it the folder of the host, and does "
        "the editor set initializationOptions.hone.record?",
    )


def recipes_for(config: NightConfig, corpus: Corpus) -> tuple[Recipe, ...]:
    """Return what `auto` tries with so much data: SFT on chosen texts, and DPO + SFT with plenty.

    Preferences say nothing without pairs; then every objective means SFT.
    """
    if not any(row.is_pair for row in corpus.train):
        return (recipe_of(config, "sft"),)
    if config.objective != "auto":
        return (recipe_of(config, config.objective),)
    supervised = recipe_of(config, "sft")
    if corpus.num_pairs < config.dpo_min_pairs:
        return (supervised,)
    once = min(1.0, config.epochs)  # SFT has seen the pairs already
    preferring = recipe_of(config, "dpo")
    return (
        supervised,
        replace(preferring, after_sft=True, epochs=once, sft_epochs=supervised.epochs),
    )


def recipe_of(config: NightConfig, objective: Objective) -> Recipe:
    """Return the recipe of an objective with a night's settings."""
    return Recipe(
        objective=objective,
        learning_rate=config.learning_rate,
        epochs=config.epochs,
        rank=config.rank,
        beta=config.beta,
        dpo_weight=config.dpo_weight,
        sft_weight=config.sft_weight,
        kl_weight=config.kl_weight,
        batch_size=config.batch_size,
        learn_code=config.learn_code,
        seed=config.seed,
    )


def live_arm(database: Database, live: AdapterRecord | None, material: Material) -> LiveArm:
    """Return what serves, as the gate wants it; AdapterError when its files are not whole."""
    if live is None:
        return LiveArm()
    # A judgement made while its night trained came too late for that night.
    night = runs.find_run(database, live.run_id)
    begun_at = night.started_at if night else live.created_at
    share_new = material.share_new(adapter_files.lineage(live.path), begun_at)
    return LiveArm(live.sha256, live.metrics.get("recipe"), share_new)


def nothing_new(material: Material, live: LiveArm) -> tuple[str, ...]:
    """Return why a night would only repeat what serves already; () if there is something to learn.

    A night after a candidate that was rejected goes on: its rows are not in what serves, and the
    held-out positions may have grown since.
    """
    if live.share_new or live.recipe not in {recipe.name for recipe in material.recipes}:
        return ()
    return (
        f"nothing new since adapter {(live.sha256 or '')[:12]} was made by the same recipe: "
        "wait for more feedback",
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
