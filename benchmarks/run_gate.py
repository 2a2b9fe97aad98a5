"""Puts A/A candidates through the real gate: same data and recipe as what serves, another seed.

    python benchmarks/run_gate.py hone-replay/rich-15.0.0 --repeats 20 --rows 300

Takes the loop's data of a finished replay (`run_replay.py`). The gate should promote at most two of
twenty: there is nothing new in them. With `--rows` a fixed sample of the training rows is used.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import facts
import torch

from feedback_store.database import Database, default_url
from lsp_server.engine.base import Base, load_base
from trainer.config import NightConfig
from trainer.dataset import Position, TrainingRow
from trainer.gate import Decision, GateConfig, LiveArm, Verdict, decide
from trainer.golden import golden_positions
from trainer.material import Material, gather, recipe_of
from trainer.measure import measure, num_tokens
from trainer.recipe import Recipe
from trainer.report import ArmScore, PositionScore, Report
from trainer.strength import settle
from trainer.train import train

LIVE_SEED = 1000


def main() -> None:
    """Train what serves and the candidates, gate each, and write how many were promoted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("replay", type=Path, help="folder of a replay")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rows", type=int, help="train on so many rows; all by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", help="cpu, cuda, or what there is")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats is at least 1")
    about = facts.facts()
    base = load_base("starter", device=options.device, num_threads=options.threads)
    night = NightConfig(data=options.replay / "seed-1" / "data", seed=LIVE_SEED)
    with tempfile.TemporaryDirectory() as name:
        device = base.device if base.device == "cpu" else torch.cuda.get_device_name()
        for found in _play(base, night, options, Path(name)):  # a run that is killed leaves some
            figures = {"source": options.replay.name, "device": device, **found}
            facts.write("gate" if base.device == "cpu" else "gate_cuda", figures, about)
    print(f"{figures['promoted']} of {figures['repeats']} A/A candidates promoted")


def _play(
    base: Base, night: NightConfig, options: argparse.Namespace, folder: Path
) -> Iterator[dict[str, Any]]:
    """Yield the figures after every candidate."""
    database = Database.open(default_url(night.data))
    material = gather(night, database, base, datetime.now(UTC))
    database.close()
    rows = [*material.corpus.train, *material.corpus.code]
    random.Random(0).shuffle(rows)
    rows = rows[: options.rows]
    recipe = recipe_of(night, "sft")
    serving = _trained(base, material, rows, recipe, folder / "live")
    trial = _Trial(base, material.positions, serving, recipe.name, night.gate)
    decisions = []
    for seed in range(1, options.repeats + 1):
        begun = time.monotonic()
        again = replace(recipe, seed=seed)
        adapter = _trained(base, material, rows, again, folder / str(seed))
        decision = trial.decide(adapter)
        shutil.rmtree(adapter)
        numbers = {key: decision.numbers[key] for key in ("gain_nats", "gain_bound_nats")}
        seconds = time.monotonic() - begun
        decisions.append({"seed": seed, "verdict": decision.verdict.value, **numbers})
        print(f"seed {seed}: {decision.verdict.value}, {numbers}, {seconds:.0f} s", flush=True)
        yield {
            "recipe": recipe.name,
            "train_rows": len(rows),
            "positions": len(material.positions),
            "files": len({p.file_key for p in material.positions}),
            "repeats": len(decisions),
            "promoted": sum(d["verdict"] in ("promote", "refresh") for d in decisions),
            "goal": "at most 2 of 20",
            "decisions": decisions,
        }


def _trained(
    base: Base, material: Material, rows: list[TrainingRow], recipe: Recipe, folder: Path
) -> Path:
    folder.mkdir(parents=True)
    train(base, rows, recipe, folder, scratch=folder.with_name(folder.name + ".scratch"))
    settle(base, folder, material.corpus.dev)
    return folder


@dataclass(frozen=True)
class _Trial:
    """The gate before candidates that learned the same rows by the same recipe as what serves."""

    base: Base
    positions: tuple[Position, ...]
    serving: Path
    recipe: str
    config: GateConfig

    def decide(self, adapter: Path) -> Decision:
        """Return what the gate says to an adapter.

        Guardrails can only take a promotion back, so that what they need (answers, the golden set)
        is measured only where the gain is enough. The golden set is compared with what serves, not
        with the base as a night does.
        """
        decision = self._answer(Report(self._told(adapter), ()))
        if decision.verdict in (Verdict.NOT_ENOUGH_EVIDENCE, Verdict.NOT_BETTER):
            return decision
        golden = tuple(golden_positions(self.base.prompter))
        answered = self._both(adapter, self.positions, generate=True)
        return self._answer(Report(answered, self._both(adapter, golden, generate=False)))

    def _answer(self, report: Report) -> Decision:
        live = LiveArm("a" * 64, self.recipe, share_new=0.0)
        return decide(report, live, recipe=self.recipe, config=self.config)

    @cached_property
    def _served(self) -> list[ArmScore]:
        return measure(self.base, self.serving, self.positions, generate=False)

    def _told(self, adapter: Path) -> tuple[PositionScore, ...]:
        scores = measure(self.base, adapter, self.positions, generate=False)
        return self._beside(self.positions, scores, self._served)

    def _both(
        self, adapter: Path, positions: tuple[Position, ...], *, generate: bool
    ) -> tuple[PositionScore, ...]:
        new, old = (
            measure(self.base, folder, positions, generate=generate)
            for folder in (adapter, self.serving)
        )
        return self._beside(positions, new, old)

    def _beside(
        self, positions: tuple[Position, ...], new: list[ArmScore], old: list[ArmScore]
    ) -> tuple[PositionScore, ...]:
        return tuple(
            PositionScore(p.file_key, len(p.text), num_tokens(self.base, p), *scores)
            for p, *scores in zip(positions, new, old, strict=True)
        )


if __name__ == "__main__":
    main()
