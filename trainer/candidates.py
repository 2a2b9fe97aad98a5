"""Turns a night's rows into one sealed candidate: every recipe is trained, the dev split chooses.

Held-out positions take no part in the choice: a candidate picked by them would pass the gate too
easily. The other candidate is recorded and dropped. This module knows nothing of what is live, of
the gate or of the registry.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feedback_store import adapter_files
from lsp_server.engine.base import Base
from trainer.bounds import clustered_mean
from trainer.dataset import Corpus, TrainingRow
from trainer.errors import TrainingDiverged
from trainer.ledger import Folders, Notes
from trainer.probes import make_probes
from trainer.recipe import Recipe, settings_of
from trainer.strength import Settled, settle
from trainer.train import Training, train

MIN_CHOICE_ROWS = 20
MIN_CHOICE_FILES = 2

Progress = Callable[[int, int], None]  # done, total
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """One trained recipe, at the strength that suits the dev split."""

    recipe: Recipe
    folder: Path
    training: Training
    seconds: float
    settled: Settled

    @property
    def dev_gain_nats(self) -> float | None:
        """Return the mean gain over the base on the dev rows, nats per token."""
        return self.settled.gains.get(self.settled.strength)


@dataclass(frozen=True)
class Choice:
    """Whether the second candidate is taken, and why, in a sentence."""

    takes_second: bool
    why: str
    gain_nats: float | None = None  # of the second over the first
    standard_error: float | None = None


def make(
    base: Base,
    corpus: Corpus,
    recipes: Sequence[Recipe],
    folders: Folders,
    notes: Notes,
    progress: Progress | None = None,
) -> tuple[Recipe, str]:
    """Train every recipe, seal the one chosen in the staging folder; return it and its SHA-256.

    What was trained, chosen and dropped is noted. Raises DatasetError without rows and
    TrainingDiverged when every recipe diverged.
    """
    trained = _train_all(base, corpus, recipes, folders, notes, progress)
    winner, choice = trained[0], None
    if len(trained) > 1:
        files = [row.file_key for row in corpus.dev]
        choice = choose(files, trained[0].settled.dev_nats, trained[1].settled.dev_nats)
        winner = trained[1] if choice.takes_second else trained[0]
    _note(corpus, trained, winner, choice, notes)
    folders.staging.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(winner.folder, folders.staging)
    for other in recipes:
        shutil.rmtree(_folder(folders, other), ignore_errors=True)
    rows = (*corpus.train, *corpus.code)
    return winner.recipe, seal(base, rows, folders.staging, folders.run_id, _settings(winner))


def seal(
    base: Base,
    rows: Sequence[TrainingRow],
    folder: Path,
    run_id: str,
    settings: Mapping[str, Any],
) -> str:
    """Write lineage and manifest of a trained adapter, check the whole, return its SHA-256."""
    lineage = sorted({str(row.completion_id) for row in rows})
    (folder / adapter_files.LINEAGE).write_text(json.dumps(lineage), encoding="utf-8")
    sha256 = adapter_files.seal(
        folder,
        base_model=base.name,
        base_sha256=base.sha256,
        run_id=run_id,
        recipe=dict(settings),
        probes=make_probes(base, folder),
    )
    adapter_files.check(folder, base_sha256=base.sha256, expected_sha256=sha256)
    return sha256


def choose(files: Sequence[str], first: Sequence[float], second: Sequence[float]) -> Choice:
    """Choose between two candidates by their nats per token on the same dev rows; ties: the first.

    The second, which costs more and strays further, has to be better by more than one standard
    error, clustered by file, and the dev split must hold enough rows in enough files to tell.
    """
    estimate = clustered_mean(
        (file, new - old) for file, old, new in zip(files, first, second, strict=True)
    )
    if estimate.num_items < MIN_CHOICE_ROWS or estimate.num_clusters < MIN_CHOICE_FILES:
        return Choice(
            False,
            f"{estimate.num_items} dev rows in {estimate.num_clusters} files cannot tell them "
            f"apart ({MIN_CHOICE_ROWS} in {MIN_CHOICE_FILES} are needed)",
        )
    error = estimate.standard_error
    found = f"{estimate.mean:+.3f} nats per token on the dev split, standard error {error:.3f}"
    return Choice(estimate.mean > error, found, estimate.mean, error)


def _train_all(
    base: Base,
    corpus: Corpus,
    recipes: Sequence[Recipe],
    folders: Folders,
    notes: Notes,
    progress: Progress | None,
) -> list[Candidate]:
    """Return the candidates in the order of their recipes, without those that diverged."""
    found: list[Candidate] = []
    for number, recipe in enumerate(recipes):

        def passed_on(done: int, total: int, already: int = number) -> None:
            if progress is not None:
                progress(already * total + done, len(recipes) * total)

        if not found:  # SFT diverged: there is nothing to come after
            recipe = replace(recipe, after_sft=False)
        try:
            start = found[0].folder if recipe.after_sft else None
            found.append(_train(base, corpus, recipe, folders, passed_on, start))
        except TrainingDiverged as error:
            if not found and number == len(recipes) - 1:
                raise
            log.warning("%s left out: %s", recipe.name, error)
            notes.metrics.setdefault("diverged", []).append(recipe.name)
    return found


def _train(
    base: Base,
    corpus: Corpus,
    recipe: Recipe,
    folders: Folders,
    progress: Progress,
    start: Path | None,
) -> Candidate:
    folder = _folder(folders, recipe)
    if start is None:
        folder.mkdir(parents=True)
    else:
        shutil.copytree(start, folder)
    begun = time.monotonic()
    pairs = tuple(row for row in corpus.train if row.is_pair)
    training = train(
        base,
        pairs if start else (*corpus.train, *corpus.code),
        recipe,
        folder,
        scratch=folders.scratch / "trainer",
        progress=progress,
    )
    settled = settle(base, folder, corpus.dev)
    return Candidate(recipe, folder, training, time.monotonic() - begun, settled)


def _folder(folders: Folders, recipe: Recipe) -> Path:
    return folders.scratch / f"candidate-{recipe.objective}"


def _note(
    corpus: Corpus,
    trained: Sequence[Candidate],
    winner: Candidate,
    choice: Choice | None,
    notes: Notes,
) -> None:
    """Note the winner as the night's recipe, and what each candidate gained and cost."""
    notes.metrics |= {
        "recipe": _settings(winner),
        "steps": winner.training.num_steps,
        "curve": list(winner.training.curve),
        "candidates": [
            {
                "objective": each.recipe.objective,
                "recipe": each.recipe.name,
                "seconds": round(each.seconds, 3),
                "steps": each.training.num_steps,
                "dev_gain_nats": each.dev_gain_nats,
                "strength": each.settled.strength,
                "dev_gain_by_strength": {str(s): g for s, g in each.settled.gains.items()},
                "chosen": each is winner,
            }
            for each in trained
        ],
    }
    if choice is not None:
        notes.metrics["choice"] = {
            "dev_rows": len(corpus.dev),
            "dev_files": len({row.file_key for row in corpus.dev}),
            "gain_nats": choice.gain_nats,
            "standard_error": choice.standard_error,
            "why": f"{winner.recipe.objective}: {choice.why}",
        }


def _settings(candidate: Candidate) -> dict[str, Any]:
    """Return the recipe with the learning rate that was really used."""
    rate = candidate.training.learning_rate
    told = {"learning_rate": rate, "strength": candidate.settled.strength}
    return settings_of(candidate.recipe) | told
