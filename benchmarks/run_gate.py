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
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import facts
import torch

from feedback_store.database import Database, default_url
from lsp_server.engine.base import Base, load_base
from trainer.config import NightConfig
from trainer.dataset import TrainingRow
from trainer.gate import LiveArm, decide
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
    about = facts.facts()
    base = load_base("starter", device=options.device, num_threads=options.threads)
    night = NightConfig(data=options.replay / "seed-1" / "data", seed=LIVE_SEED)
    with tempfile.TemporaryDirectory() as name:
        figures = _play(base, night, options, Path(name))
    device = base.device if base.device == "cpu" else torch.cuda.get_device_name()
    figures = {"source": options.replay.name, "device": device, **figures}
    facts.write("gate" if base.device == "cpu" else "gate_cuda", figures, about)
    print(f"{figures['promoted']} of {options.repeats} A/A candidates promoted")


def _play(
    base: Base, night: NightConfig, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    database = Database.open(default_url(night.data))
    material = gather(night, database, base, datetime.now(UTC))
    database.close()
    rows = [*material.corpus.train, *material.corpus.code]
    random.Random(0).shuffle(rows)
    rows = rows[: options.rows]
    recipe = recipe_of(night, "sft")
    live = _scores(base, material, _trained(base, material, rows, recipe, folder / "live"))
    decisions = []
    for seed in range(1, options.repeats + 1):
        begun = time.monotonic()
        again = replace(recipe, seed=seed)
        adapter = _trained(base, material, rows, again, folder / str(seed))
        report = _report(base, material, _scores(base, material, adapter), live)
        shutil.rmtree(adapter)
        arm = LiveArm("a" * 64, recipe.name, share_new=0.0)
        decision = decide(report, arm, recipe=recipe.name, config=night.gate)
        gain = decision.numbers["gain_nats"]
        decisions.append({"seed": seed, "verdict": decision.verdict.value, "gain_nats": gain})
        seconds = time.monotonic() - begun
        print(
            f"seed {seed}: {decision.verdict.value}, {gain:+.4f} nats, {seconds:.0f} s", flush=True
        )
    return {
        "recipe": recipe.name,
        "train_rows": len(rows),
        "positions": len(material.positions),
        "files": len({p.file_key for p in material.positions}),
        "repeats": options.repeats,
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


def _scores(base: Base, material: Material, adapter: Path) -> tuple[list[ArmScore], list[ArmScore]]:
    golden = golden_positions(base.prompter)
    return (
        measure(base, adapter, material.positions),
        measure(base, adapter, golden, generate=False),
    )


def _report(
    base: Base,
    material: Material,
    candidate: tuple[list[ArmScore], list[ArmScore]],
    live: tuple[list[ArmScore], list[ArmScore]],
) -> Report:
    """Return what the gate reads; the golden set is compared with what serves, which is stricter
    than with the base only where what serves is better at it."""
    places = (material.positions, golden_positions(base.prompter))
    positions, golden = (
        tuple(
            PositionScore(p.file_key, len(p.text), num_tokens(base, p), new, old)
            for p, new, old in zip(where, news, olds, strict=True)
        )
        for where, news, olds in zip(places, candidate, live, strict=True)
    )
    return Report(positions, golden)


if __name__ == "__main__":
    main()
