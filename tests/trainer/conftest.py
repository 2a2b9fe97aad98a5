"""Builders shared by the trainer's tests: visits as the store hands them out."""

import random
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from feedback_store.completions import ServedCandidate, ServedCompletion
from feedback_store.outcomes import Outcome
from feedback_store.schemas import CompletionRequest, Mode, OutcomeKind, Timings
from feedback_store.visits import Visit
from lsp_server.engine.arm import share_weights
from lsp_server.engine.base import Base, load_base

sys.path.insert(0, str(Path(__file__).parent))  # for what stands beside the tests

START = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
VisitMaker = Callable[..., Visit]

_OUTCOME: dict[str, Any] = {
    "kind": OutcomeKind.DIVERGED,
    "candidate_index": 0,
    "suggestion": None,
    "visible_ms": 900,
    "accepted_length": 0,
    "settled_text": None,
    "reaches_suffix": True,
    "prefix_intact": True,
    "reformatted": False,
    "edit_distance": None,
    "retained_characters": None,
    "kept": False,
    "deleted": False,
    "undone": False,
    "replaced_text": None,
    "rating": None,
    "correction": None,
    "last_event_at": START,
}


def make_visit(
    number: int,
    prefix: str = "import os\n\nx = ",
    suffix: str = "\nprint(x)\n",
    *,
    answers: tuple[str, ...] = ("os.getcwd()",),
    served: dict[str, Any] | None = None,
    request: dict[str, Any] | None = None,
    barred: bool = False,
    **outcome: Any,
) -> Visit:
    """Return a visit: by default `answers[0]` was shown 900 ms and something else typed."""
    completion_id = UUID(int=number + 1)
    fields: dict[str, Any] = {
        "document_id": "d",
        "record": True,
        "language": "python",
        "path": "a.py",
        "repository": "r",
        "line": prefix.count("\n"),
        "mode": Mode.LINE,
    }
    fields |= request or {}
    asked = CompletionRequest(
        completion_id=completion_id, prefix=prefix, suffix=suffix, requested_at=START, **fields
    )
    candidates = tuple(
        ServedCandidate(i, text, (10 + i,), (-0.5,), "stop") for i, text in enumerate(answers)
    )
    facts: dict[str, Any] = {
        "request": asked,
        "served_at": START + timedelta(seconds=number),
        "model": "starter",
        "model_sha256": "0" * 64,
        "adapter": None,
        "arm": "live",
        "prompt_ids": (1, 2, 3, number),
        "healed": "",
        "num_cached_tokens": 0,
        "candidates": candidates,
        "show": True,
        "propensity": 1.0,
        "timings": Timings(queue_ms=0, prompt_ms=0, prefill_ms=0, decode_ms=0, engine_ms=1),
    }
    said = {"suggestion": answers[0]} if answers else {}
    result = Outcome(completion_id=completion_id, **(_OUTCOME | said | outcome))
    return Visit(ServedCompletion(**(facts | (served or {}))), result, barred)


@pytest.fixture(scope="session")
def visit() -> VisitMaker:
    return make_visit


@dataclass(frozen=True)
class Place:
    """A cursor in a real source file: the text before it, what stands there, the text after."""

    path: str
    line: int
    prefix: str
    text: str
    suffix: str


def library_places(num_files: int, per_file: int) -> list[Place]:
    """Return places in the standard library of this Python, the same ones on every run."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [p for p in sorted(root.glob("*.py")) if 15_000 < p.stat().st_size < 60_000]
    return [place for file in files[:num_files] for place in _places(file.name, file, per_file)]


def _places(name: str, file: Path, count: int) -> list[Place]:
    lines = file.read_text(encoding="utf-8").split("\n")
    generator = random.Random(name)
    wanted = [i for i, line in enumerate(lines) if i > 20 and "self." in line and len(line) < 90]
    places = []
    for number in sorted(generator.sample(wanted, min(count, len(wanted)))):
        line = lines[number]
        cursor = len(line) - len(line.lstrip()) + generator.randrange(5)
        before = "\n".join([*lines[number - 12 : number], line[:cursor]])
        after = "\n" + "\n".join(lines[number + 1 : number + 4])
        places.append(Place(name, number, before, line[cursor:].rstrip(), after))
    return places


@pytest.fixture(scope="session")
def base() -> Base:
    return load_base("starter", device="cpu", num_threads=1)


@pytest.fixture(scope="session")
def lessons(base: Base) -> list[Visit]:
    """Visits to real places whose users hold to a convention that the starter does not know.

    The suggestion is the true text, the settled text names `self` otherwise; both are plausible.
    """
    visits = []
    for number, place in enumerate(library_places(num_files=40, per_file=5)):
        prompt = base.prompter.build(place.prefix, place.suffix, max_prompt_tokens=400)
        ids = base.prompter.continuation_ids(prompt.healed, place.text)
        answer = ServedCandidate(0, place.text, ids, (-1.0,) * len(ids), "end")
        facts = {
            "prompt_ids": prompt.ids,
            "healed": prompt.healed,
            "model_sha256": base.sha256,
            "candidates": (answer,),
        }
        visits.append(
            make_visit(
                number,
                place.prefix,
                place.suffix,
                answers=(place.text,),
                served=facts,
                request={"path": place.path, "line": place.line, "max_new_tokens": 24},
                settled_text=place.text.replace("self.", "this_one."),
            )
        )
    return visits


@pytest.fixture(scope="session")
def save_adapter() -> Callable[..., Path]:
    """Save an untrained adapter of `base` into a folder; `scale` 0 changes nothing."""
    import torch
    from peft import LoraConfig, get_peft_model

    def save(base: Base, folder: Path, scale: float) -> Path:
        torch.manual_seed(1)
        config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=scale == 0)
        model = get_peft_model(share_weights(base.model), config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.mul_(scale)
        model.save_pretrained(folder)
        return folder

    return save
