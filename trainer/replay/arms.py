"""Turns the loop's own events, or the saved files alone, into the adapters of the offline arms.

Every arm is trained like a night's candidate and then put through the same gate, against the bare
base, so that the report can say what the gate would have done with it. This module knows nothing
of typists or reports.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from feedback_store import runs
from feedback_store.database import Database, default_url
from lsp_server.engine.base import Base
from trainer import controls
from trainer.candidates import seal
from trainer.code_rows import CodeText
from trainer.config import NightConfig
from trainer.dataset import Limits, Tokens, TrainingRow
from trainer.errors import DatasetError
from trainer.evaluate import Contest, Work, evaluate
from trainer.gate import LiveArm, decide
from trainer.material import Material, code_beside, gather, recipe_of
from trainer.recipe import Recipe, settings_of
from trainer.replay import config
from trainer.strength import settle


@dataclass(frozen=True)
class Workshop:
    """What offline arms are made from: the loop's folder after its last night."""

    base: Base
    night: NightConfig
    material: Material
    texts: Mapping[str, str]  # the saved files of the days, by path
    recipe: Recipe  # of the last night's candidate

    @classmethod
    def open(cls, base: Base, night: NightConfig, workspace: Path, objective: str) -> "Workshop":
        """Read the loop's store as the last night did, however long ago that was, and its files."""
        texts = {
            file.relative_to(workspace).as_posix(): file.read_text(encoding="utf-8")
            for file in sorted(workspace.rglob("*.py"))
        }
        database = Database.open(default_url(night.data))
        try:
            last = runs.list_runs(database, 1)
            now = last[0].started_at if last else datetime.now(UTC)
            material = gather(night, database, base, now)
        finally:
            database.close()
        recipe = recipe_of(night, "dpo" if objective == "dpo" else "sft")
        return cls(base, night, material, texts, recipe)

    def make(self, arm: str, folder: Path) -> dict[str, Any]:
        """Train one arm into `folder` and seal it; return what became of it, with rows and gate.

        DatasetError when nothing was recorded that it could learn from.
        """
        from trainer.train import train

        rows, recipe = self._rows(arm)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        scratch = folder.with_name(folder.name + ".scratch")
        training = train(self.base, rows, recipe, folder, scratch=scratch)
        shutil.rmtree(scratch, ignore_errors=True)
        # A control that must fail fails at full strength; the others are given what a night is.
        dev = self.material.corpus.dev
        strength = 1.0 if arm in config.CONTROLS else settle(self.base, folder, dev).strength
        settings = settings_of(recipe) | {"strength": strength}
        seal(self.base, rows, folder, f"replay-{arm}", settings)
        return {
            "num_rows": len(rows),
            "num_pairs": sum(row.is_pair for row in rows),
            "steps": training.num_steps,
            "recipe": recipe.name,
            "strength": strength,
            **self._judged(folder, recipe),
        }

    def _rows(self, arm: str) -> tuple[Sequence[TrainingRow], Recipe]:
        corpus = self.material.corpus
        bare = replace(self.recipe, learn_code=False)
        sft = replace(bare, objective="sft")
        match arm:
            case "sft_chosen":
                return corpus.train, sft
            case "sft_accepted":
                return controls.only_accepted(corpus.train), sft
            case "context_only":
                return corpus.code, replace(sft, learn_code=True)
            case "flipped":
                return controls.flipped(corpus.train), bare
            case "mispaired":
                return self._mispaired(), bare
            case config.UNGATED:
                return (*corpus.train, *corpus.code), replace(sft, learn_code=True)
            case config.CODE_SFT:
                return self._saved_code(), replace(sft, learn_code=True)
        raise ValueError(f"no offline arm is named {arm!r}")

    def _saved_code(self) -> Sequence[TrainingRow]:
        """Return rows of the saved files, rests of lines in place of the loop's feedback.

        What the loop leaves out the rival leaves out too: it has to pass the same gate.
        """
        material = self.material
        if not material.rows:
            raise DatasetError("nothing was recorded that could be learned from")
        repository = material.rows[0].file_key.partition(":")[0]
        saved = [
            CodeText(f"{repository}:{path}", text, uuid5(NAMESPACE_URL, f"code:{path}"))
            for path, text in sorted(self.texts.items())
        ]
        num_cursors, seed = 2 * len(material.corpus.train), self.night.seed
        return code_beside(material.corpus, material.positions, saved, num_cursors, self.base, seed)

    def _mispaired(self) -> Sequence[TrainingRow]:
        tokens = Tokens(self.base.prompter, self.base.spelling, self.base.window_tokens)
        ours = {row.completion_id for row in self.material.corpus.train}
        pairs = [pair for pair in self.material.rows if pair.completion_id in ours]
        return controls.mispaired(pairs, tokens, Limits(), self.night.seed)

    def _judged(self, folder: Path, recipe: Recipe) -> dict[str, Any]:
        """Return what the gate says of an arm against the bare base."""
        work = Work(
            self.material.positions,
            self.material.corpus.dev,
            self.night.max_generated,
            self.night.num_golden,
        )
        report = evaluate(Contest(self.base, folder, None), work)
        decision = decide(report, LiveArm(), recipe=recipe.name, config=self.night.gate)
        return {
            "verdict": decision.verdict.value,
            "promoted": decision.promote,
            "reasons": list(decision.reasons),
            "numbers": decision.numbers,
        }
