"""From the engine through the store to a training batch: what is trained is what was served."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from feedback_store import events
from feedback_store.completions import ServedCandidate, ServedCompletion, record_completions
from feedback_store.database import Database, default_url
from feedback_store.schemas import CompletionRequest, Event, EventKind, Mode
from feedback_store.visits import Visit, load_window
from lsp_server.engine.base import Base
from lsp_server.engine.engine import Answer, GenerationRequest, LocalEngine
from trainer import pairs
from trainer.dataset import Limits, Tokens, TrainingRow, split_of, tokenise
from trainer.sides import cut_to_unit
from trainer.train import ExactTokens, preference_columns, supervised_columns

NOW = datetime.now(UTC)
PATH = next(f"m{i}.py" for i in range(99) if split_of(f"r:m{i}.py") == "train")
ASKED = [
    # prefix, suffix, mode, what is typed instead, whether that reaches the suffix
    ("import os\n\n\ndef size(path):\n    retu", "\n", Mode.LINE, "rn os.stat(path)[6]", True),
    ("import os\n\n\ndef size(path):\n    return os.pa", ")\n", Mode.LINE, "th.size(", True),
    (
        "class A:\n    def __init__(self, x):\n        ",
        "\n",
        Mode.BLOCK,
        "self.y = x\n        z()",
        1,
    ),
    ("# <|fim_middle|> is only text\nx = '<|fim_suf", "'\n", Mode.LINE, "fix|>", True),
    ("def f():\n    é = 'ü", "'\n    return é\n", Mode.LINE, "ßx", False),
    ("for i in ran", "\n    print(i)\n", Mode.LINE, "ge(3): pass\n    pass", True),
]


async def _answers(base: Base, requests: list[CompletionRequest]) -> list[Answer]:
    engine = LocalEngine(base)
    try:
        return [
            await engine.complete(
                GenerationRequest(
                    r.document_id, r.document_id, r.prefix, r.suffix, r.mode, r.max_new_tokens
                )
            )
            for r in requests
        ]
    finally:
        await engine.close()


def _served(base: Base, request: CompletionRequest, answer: Answer) -> ServedCompletion:
    return ServedCompletion(
        request=request,
        served_at=NOW,
        model=base.name,
        model_sha256=base.sha256,
        adapter=None,
        arm="live",
        prompt_ids=answer.prompt.ids,
        healed=answer.prompt.healed,
        num_cached_tokens=answer.num_cached_tokens,
        candidates=tuple(
            ServedCandidate(i, g.text, g.token_ids, g.log_probs, g.finish_reason)
            for i, g in enumerate(answer.generations)
        ),
        show=True,
        propensity=1.0,
        timings=answer.timings,
    )


@pytest.fixture(scope="module")
def served(base: Base) -> list[ServedCompletion]:
    requests = [
        CompletionRequest(
            completion_id=UUID(int=n + 1),
            document_id=f"d{n}",
            record=True,
            language="python",
            path=PATH,
            repository="r",
            prefix=prefix,
            suffix=suffix,
            line=n,
            mode=mode,
            max_new_tokens=16,
            requested_at=NOW,
        )
        for n, (prefix, suffix, mode, _, _) in enumerate(ASKED)
    ]
    answers = asyncio.run(_answers(base, requests))
    return [_served(base, *both) for both in zip(requests, answers, strict=True)]


def _told(completion: ServedCompletion, settled: str, reaches: bool) -> list[dict[str, object]]:
    told = [
        (EventKind.SHOWN, 0, {"text": completion.candidates[0].text}),
        (EventKind.DIVERGED, 2, {"visible_ms": 900}),
        (
            EventKind.SETTLED,
            12,
            {"text": settled, "reaches_suffix": reaches, "prefix_intact": True},
        ),
    ]
    return [
        Event.new(
            completion.request.completion_id, kind, 0, NOW + timedelta(seconds=after), **data
        ).model_dump(mode="json")
        for kind, after, data in told
    ]


@pytest.fixture
def visits(served: list[ServedCompletion], tmp_path: Path) -> list[Visit]:
    database = Database.open(default_url(tmp_path))
    record_completions(database, served)
    for completion, (_, _, _, settled, reaches) in zip(served, ASKED, strict=True):
        events.append(database, _told(completion, settled, bool(reaches)))
    found = load_window(database, since=NOW - timedelta(days=1))
    database.close()
    return found


def test_batches_hold_what_was_served_and_settled(
    base: Base, served: list[ServedCompletion], visits: list[Visit]
) -> None:
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    rows = {pair.completion_id: tokenise(pair, tokens, Limits()) for pair in pairs.build(visits)}
    assert len(rows) == len(ASKED)
    for completion, (_, _, _, settled, reaches) in zip(served, ASKED, strict=True):
        row = rows[completion.request.completion_id]
        assert isinstance(row, TrainingRow)
        _check_row(base, completion, settled, bool(reaches), row)


def _check_row(
    base: Base, completion: ServedCompletion, settled: str, reaches: bool, row: TrainingRow
) -> None:
    batch = ExactTokens(base.tokenizer.pad_token_id).torch_call([preference_columns(row)])
    size = len(completion.prompt_ids)
    chosen, rejected = (
        ids[mask.bool()].tolist()
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    )
    assert tuple(chosen[:size]) == tuple(rejected[:size]) == completion.prompt_ids
    end, request = base.prompter.end_id, completion.request
    unit = cut_to_unit(request, settled)
    assert base.spelling.text_of(chosen[size:]) == completion.healed + unit
    ends = reaches and unit == settled.rstrip()
    assert (chosen[-1] == end) is ends
    offered = cut_to_unit(request, completion.candidates[0].text)
    assert base.spelling.text_of(rejected[size:]) == completion.healed + offered
    assert chosen.count(end) + rejected.count(end) <= 2 * ends
    if offered == completion.candidates[0].text:
        served_ids = completion.candidates[0].token_ids
        assert tuple(rejected[size:][: len(served_ids)]) == served_ids
    _check_masks(base, completion, batch["completion_mask"].tolist(), batch["input_ids"].tolist())
    columns = supervised_columns(row)
    counted = [i for i, label in enumerate(columns["labels"]) if label != -100]
    spelled = base.spelling.text_of(columns["input_ids"][counted[0] :])
    assert (completion.healed + unit).endswith(spelled)
    assert len(spelled) >= len(unit)  # nothing that the user wrote goes uncounted


def _check_masks(
    base: Base, completion: ServedCompletion, masks: list[list[int]], ids: list[list[int]]
) -> None:
    """The loss starts at the first token that differs, never inside the healed piece."""
    chosen, rejected = ids
    first = next(i for i, (a, b) in enumerate(zip(chosen, rejected, strict=True)) if a != b)
    for mask, side in zip(masks, ids, strict=True):
        if 1 in mask:
            start = mask.index(1)
            assert start >= first
            spelled = base.spelling.text_of(side[len(completion.prompt_ids) : start])
            assert start == first or len(spelled) <= len(completion.healed)


def test_text_that_looks_like_control_tokens_stays_text(
    base: Base, served: list[ServedCompletion], visits: list[Visit]
) -> None:
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    controls = set(base.prompter.control_ids)
    (pair,) = [p for p in pairs.build(visits) if p.completion_id == UUID(int=4)]
    row = tokenise(pair, tokens, Limits())
    assert isinstance(row, TrainingRow)
    assert not controls & set(row.chosen_ids[:-1])
    assert sum(i in controls for i in row.prompt_ids) == 3  # those of the template
    assert "'<|fim_suffix|>" in base.spelling.text_of(row.prompt_ids + row.chosen_ids)
