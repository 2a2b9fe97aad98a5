"""Turns the loop's own events, or the saved files alone, into the adapters of the offline arms.

Every arm is trained like a night's candidate and then put through the same gate, against the bare
base, so that the report can say what the gate would have done with it. This module knows nothing
of typists or reports.
"""

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from feedback_store import adapter_files
from feedback_store.database import Database, default_url
from feedback_store.schemas import Rule
from lsp_server.engine.base import Base
from trainer import controls
from trainer.config import NightConfig
from trainer.context import learn_context
from trainer.dataset import Limits, Tokens, TrainingRow
from trainer.evaluate import Contest, Work, evaluate
from trainer.gate import LiveArm, decide
from trainer.material import Material, gather, recipe_of
from trainer.recipe import Recipe, settings_of
from trainer.replay.config import CODE_SFT
from trainer.strength import settle

MAX_LINE_CHARACTERS = 160
LINE_TOKENS = 96  # room for the rest of a line
LINE_START_SHARE = 0.3  # of the cursors, as in the exam
MAX_LINES_MISSING = 12
CONTROLS = ("flipped", "mispaired")
NOT_JUDGED = {
    "verdict": "not judged",
    "promoted": False,
    "reasons": ["It learns from all saved files, those that the gate holds out among them."],
    "numbers": {},
}


@dataclass(frozen=True)
class Workshop:
    """What offline arms are made from: the loop's folder after its last night."""

    base: Base
    night: NightConfig
    material: Material
    texts: Mapping[str, str]  # the saved files of the days
    recipe: Recipe  # of the last night's candidate

    @classmethod
    def open(
        cls, base: Base, night: NightConfig, texts: Mapping[str, str], objective: str
    ) -> "Workshop":
        """Read the loop's store as the last night did."""
        database = Database.open(default_url(night.data))
        try:
            material = gather(night, database, base, datetime.now(UTC))
        finally:
            database.close()
        recipe = recipe_of(night, "dpo" if objective == "dpo" else "sft")
        return cls(base, night, material, texts, recipe)

    def make(self, arm: str, folder: Path) -> dict[str, Any]:
        """Train one arm into `folder` and seal it; return what became of it, with rows and gate."""
        from trainer.train import train

        rows, recipe = self._rows(arm)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        scratch = folder.with_name(folder.name + ".scratch")
        training = train(self.base, rows, recipe, folder, scratch=scratch)
        shutil.rmtree(scratch, ignore_errors=True)
        # A control that must fail fails at full strength; the others are given what a night is.
        is_control = arm in CONTROLS
        strength = 1.0 if is_control else settle(self.base, folder, self._dev(arm)).strength
        self._seal(arm, rows, recipe, folder)
        return {
            "num_rows": len(rows),
            "num_pairs": sum(row.is_pair for row in rows),
            "steps": training.num_steps,
            "recipe": recipe.name,
            "strength": strength,
            **self._judged(arm, folder, recipe),
        }

    def _rows(self, arm: str) -> tuple[Sequence[TrainingRow], Recipe]:
        train = self.material.corpus.train
        sft = replace(self.recipe, objective="sft")
        if arm == "sft_chosen":
            return train, sft
        if arm == "sft_accepted":
            return controls.only_accepted(train), sft
        if arm == "context_only":
            return controls.context_only(train), sft
        # What is true before the cursor would teach the controls that must fail.
        bare = replace(self.recipe, context_tokens=0)
        if arm == "flipped":
            return controls.flipped(train), bare
        if arm == "mispaired":
            return self._mispaired(), bare
        if arm == CODE_SFT:
            return code_rows(self.base, self._code(dev=False), len(train), self.night.seed), sft
        raise ValueError(f"no offline arm is named {arm!r}")

    def _dev(self, arm: str) -> Sequence[TrainingRow]:
        """Return the rows by which an arm's strength is chosen; none of them is trained on."""
        dev = self.material.corpus.dev
        if arm != CODE_SFT:
            return dev
        return code_rows(self.base, self._code(dev=True), max(len(dev), 40), self.night.seed)

    def _code(self, *, dev: bool) -> Mapping[str, str]:
        """Return the saved files that the rival learns from, or those it is tried on."""
        ordered = sorted(self.texts, key=lambda path: uuid5(NAMESPACE_URL, f"dev:{path}").hex)
        tried = set(ordered[: max(2, len(ordered) // 10)])
        return {path: text for path, text in self.texts.items() if (path in tried) is dev}

    def _mispaired(self) -> Sequence[TrainingRow]:
        tokens = Tokens(self.base.prompter, self.base.spelling, self.base.window_tokens)
        ours = {row.completion_id for row in self.material.corpus.train}
        pairs = [pair for pair in self.material.rows if pair.completion_id in ours]
        return controls.mispaired(pairs, tokens, Limits(), self.night.seed)

    def _seal(self, arm: str, rows: Sequence[TrainingRow], recipe: Recipe, folder: Path) -> None:
        from trainer.probes import make_probes

        lineage = sorted({str(row.completion_id) for row in rows})
        (folder / adapter_files.LINEAGE).write_text(json.dumps(lineage), encoding="utf-8")
        adapter_files.seal(
            folder,
            base_model=self.base.name,
            base_sha256=self.base.sha256,
            run_id=f"replay-{arm}",
            recipe=settings_of(recipe),
            probes=make_probes(self.base, folder),
        )

    def _judged(self, arm: str, folder: Path, recipe: Recipe) -> dict[str, Any]:
        """Return what the gate says of an arm against the bare base."""
        if arm == CODE_SFT:
            return NOT_JUDGED
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


def code_rows(base: Base, texts: Mapping[str, str], num_rows: int, seed: int) -> list[TrainingRow]:
    """Return rows that complete the rest of random lines of saved files: the rival to beat.

    As many rows as the loop trains on, prompts built as they are served. As where somebody types,
    some lines below are not there yet, and three cursors of ten stand where a line begins.
    """
    generator = random.Random(f"code:{seed}")
    places = [
        (path, number, line)
        for path, text in sorted(texts.items())
        for number, line in enumerate(text.split("\n"))
        if line.strip() and len(line) <= MAX_LINE_CHARACTERS
    ]
    generator.shuffle(places)
    rows: list[TrainingRow] = []
    for path, number, line in places:
        if len(rows) == num_rows:
            break
        place = _Cursor(
            number,
            len(line) - len(line.lstrip()),
            0 if generator.random() < LINE_START_SHARE else generator.randrange(len(line.strip())),
            generator.randrange(MAX_LINES_MISSING),
        )
        row = _code_row(base, path, texts[path].split("\n"), place)
        if row is not None:
            rows.append(row)
    return learn_context(rows, base.prompter, base.spelling)


@dataclass(frozen=True)
class _Cursor:
    """A line of a file, a column in it, and how many lines below it are not written yet."""

    line: int
    indent: int
    column: int  # from the indentation on
    num_missing: int


def _code_row(base: Base, path: str, lines: Sequence[str], place: _Cursor) -> TrainingRow | None:
    line, cursor = lines[place.line], place.indent + place.column
    prefix = "\n".join([*lines[: place.line], line[:cursor]])
    suffix = "\n" + "\n".join(lines[place.line + 1 + place.num_missing :])
    limit = base.prompt_limit(LINE_TOKENS)
    prompt = base.prompter.build(prefix[-8000:], suffix[:3000], max_prompt_tokens=limit)
    ids = base.prompter.continuation_ids(prompt.healed, line[cursor:].rstrip())
    healed = base.prompter.num_healed(prompt.healed, ids)
    if healed >= len(ids):
        return None
    return TrainingRow(
        completion_id=uuid5(NAMESPACE_URL, f"code:{path}:{place.line}:{cursor}"),
        rule=Rule.KEPT,
        weight=1.0,
        file_key=path,
        prompt_ids=prompt.ids,
        chosen_ids=ids,
        chosen_start=healed,
        healed_tokens=healed,
    )
