"""The engine: answers, supersession, and swaps that no request notices."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import torch
from safetensors.torch import load_file, save_file

from feedback_store.adapter_files import Probe
from feedback_store.schemas import Mode
from lsp_server.engine.base import Base
from lsp_server.engine.engine import Answer, GenerationRequest, LocalEngine
from lsp_server.engine.errors import AdapterRefused, EngineClosed, Superseded


@pytest_asyncio.fixture
async def engine(base: Base) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(base)
    yield engine
    await engine.close()


def request(number: int, source: str, **fields: object) -> GenerationRequest:
    end = 2000 + 137 * number
    facts: dict[str, object] = {
        "request_id": f"request-{number}",
        "document_id": f"document-{number}",
        "prefix": source[end - 1500 : end],
        "suffix": source[end : end + 300],
        "max_new_tokens": 12,
    }
    return GenerationRequest(**facts | fields)  # type: ignore[arg-type]


async def test_candidates_are_ranked_and_share_the_prompt(engine: LocalEngine, source: str) -> None:
    answer = await engine.complete(request(1, source, num_candidates=3, mode=Mode.BLOCK))
    assert len(answer.generations) == 3
    assert answer.adapter is None
    assert answer.generations[1].num_cached_tokens == len(answer.prompt.ids) - 1
    for generation in answer.generations:
        spelled = engine.base.spelling.text_of(generation.token_ids)
        assert spelled.startswith(answer.prompt.healed + generation.text)
        assert len(generation.token_ids) == len(generation.log_probs)
    assert answer.timings.engine_ms >= answer.timings.prefill_ms


async def test_the_healed_piece_is_spelled_as_the_model_knows_it(engine: LocalEngine) -> None:
    """A line break and eight spaces are one token; nobody has ever seen them spelled by two."""
    prefix = "class Reader:\n    def read(self, size: int) -> bytes:\n        "
    asked = GenerationRequest("one", "document", prefix, "\n\n    def close(self):\n")
    answer = await engine.complete(asked)
    assert answer.prompt.healed == "\n        "
    (generation,) = answer.generations
    first = engine.base.spelling.bytes_of(generation.token_ids[0])
    assert first.startswith(b"\n        ")
    assert min(generation.log_probs[:2]) > -6


async def test_a_newer_request_of_a_document_cancels_the_older(
    engine: LocalEngine, source: str
) -> None:
    old = request(1, source, document_id="same", max_new_tokens=200, mode=Mode.BLOCK)
    older = asyncio.create_task(engine.complete(old))
    await asyncio.sleep(0)
    newer = await engine.complete(request(2, source, document_id="same"))
    with pytest.raises(Superseded):
        await older
    assert newer.generations


async def test_a_closed_engine_refuses(base: Base, source: str) -> None:
    engine = LocalEngine(base)
    await engine.close()
    with pytest.raises(EngineClosed):
        await engine.complete(request(1, source))


async def test_swaps_under_load_fail_nothing_and_mix_nothing(
    engine: LocalEngine, base: Base, source: str, make_adapter
) -> None:
    folder, sha256, probes = make_adapter()
    shared = {id(parameter) for parameter in base.model.parameters()}
    expected = {None: await answers(engine, source)}
    await engine.swap(folder, sha256, probes)
    expected[sha256] = await answers(engine, source)
    assert expected[None] != expected[sha256]
    served: list[tuple[int, Answer]] = []
    stop = asyncio.Event()

    async def client(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            fields = {"request_id": f"{number}/{count}", "document_id": f"client-{number}"}
            served.append((number, await engine.complete(request(number, source, **fields))))

    clients = [asyncio.create_task(client(number)) for number in range(4)]
    for turn in range(4):
        before = len(served)
        while len(served) < before + 4:
            await asyncio.sleep(0.01)
        await (engine.swap(None, None) if turn % 2 == 0 else engine.swap(folder, sha256, probes))
    stop.set()
    await asyncio.gather(*clients)
    assert {answer.adapter for _, answer in served} == {None, sha256}
    for number, answer in served:
        assert answer.generations[0].text == expected[answer.adapter][number]
    arm = engine._router.routes.live
    own = [n for n, p in arm.model.named_parameters() if id(p) not in shared]
    assert own  # the adapter's, and no copy of a base weight
    assert {name.rpartition(".")[2] for name in own} == {"down", "up"}


async def answers(engine: LocalEngine, source: str) -> list[str]:
    found = [await engine.complete(request(number, source)) for number in range(4)]
    return [answer.generations[0].text for answer in found]


async def test_an_adapter_that_scores_its_probes_wrongly_is_refused(
    engine: LocalEngine, source: str, make_adapter
) -> None:
    folder, sha256, (probe,) = make_adapter()
    wrong = Probe(probe.prompt_ids, probe.continuation_ids, (-0.5, -0.5))
    with pytest.raises(AdapterRefused, match="training recorded"):
        await engine.swap(folder, sha256, (wrong,))
    assert engine.live_adapter is None
    assert (await engine.complete(request(1, source))).adapter is None


@pytest.mark.parametrize(
    ("device", "nats", "is_served"),
    [
        (None, 0.1, False),
        ("cpu", 0.1, False),
        ("cuda", 0.1, True),  # in half precision
        ("cuda", 0.3, False),
    ],
)
async def test_probes_that_cuda_scored_may_differ_more(
    engine: LocalEngine, make_adapter, device: str | None, nats: float, is_served: bool
) -> None:
    folder, sha256, (probe,) = make_adapter()
    scores = tuple(score - nats for score in probe.log_probs)
    other = Probe(probe.prompt_ids, probe.continuation_ids, scores, device)
    if is_served:
        await engine.swap(folder, sha256, (other,))
    else:
        with pytest.raises(AdapterRefused, match="training recorded"):
            await engine.swap(folder, sha256, (other,))
    assert (engine.live_adapter == sha256) is is_served


@pytest.mark.parametrize("damage", ["nan", "torn", "missing"])
async def test_a_damaged_adapter_leaves_what_serves_untouched(
    engine: LocalEngine, source: str, make_adapter, damage: str
) -> None:
    folder, sha256, probes = make_adapter()
    break_weights(folder / "adapter_model.safetensors", damage)
    before = (await engine.complete(request(1, source))).generations[0].text
    with pytest.raises(AdapterRefused):
        await engine.swap(folder, sha256, probes)
    assert engine.live_adapter is None
    again = await engine.complete(request(1, source, request_id="again"))
    assert again.generations[0].text == before


def break_weights(weights: Path, damage: str) -> None:
    if damage == "nan":
        tensors = load_file(weights)
        first = next(iter(tensors))
        tensors[first] = torch.full_like(tensors[first], float("nan"))
        save_file(tensors, weights)
    elif damage == "torn":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        weights.unlink()
