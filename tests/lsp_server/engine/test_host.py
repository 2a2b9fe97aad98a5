"""The host through its HTTP door: a real process, the real store, the registry it follows."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from running_host import WAIT_SECONDS, RunningHost, host_on, until

from feedback_store import rollups, show_filters
from feedback_store.database import Database, default_url
from feedback_store.registry import Registry
from feedback_store.schemas import Event, EventKind
from feedback_store.visits import load_window
from lsp_server.engine.base import Base
from lsp_server.engine.host import _keep_figures, settle
from lsp_server.engine.show_filter import ShowFilter


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    with host_on(tmp_path_factory.mktemp("host")) as running:
        yield running


@pytest_asyncio.fixture
async def client(host: RunningHost) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=host.url, timeout=60, trust_env=False) as client:
        yield client


def question(**fields: object) -> dict[str, object]:
    facts: dict[str, object] = {
        "completion_id": str(uuid4()),
        "document_id": str(uuid4()),
        "language": "python",
        "path": "src/app.py",
        "prefix": "import os\n\n\ndef main():\n    for index in ran",
        "suffix": "\n        print(index)\n",
        "requested_at": datetime.now(UTC).isoformat(),
    }
    return facts | fields


async def test_an_answer_says_who_served_and_how_long_it_took(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/hone/completions", json=question())).json()
    assert answer["candidates"][0]["text"].startswith("ge(")
    assert (answer["adapter"], answer["arm"], answer["model"]) == (None, "live", "starter")
    assert answer["timings"]["engine_ms"] >= answer["timings"]["decode_ms"] > 0


async def test_recorded_answers_are_stored_with_the_exact_ids(
    client: httpx.AsyncClient, host: RunningHost, base: Base
) -> None:
    kept, unkept = question(record=True), question(record=False)
    for asked in (unkept, kept):
        assert (await client.post("/v1/hone/completions", json=asked)).status_code == 200
    database = Database.open(default_url(host.data))
    since = datetime.now(UTC) - timedelta(minutes=5)
    visits = await until(lambda: load_window(database, since=since))
    database.close()
    (visit,) = [
        v for v in visits if str(v.completion.request.completion_id) == kept["completion_id"]
    ]
    assert unkept["completion_id"] not in {str(v.completion.request.completion_id) for v in visits}
    served = visit.completion
    prompt = base.prompter.build(str(kept["prefix"]), str(kept["suffix"]), max_prompt_tokens=900)
    assert (served.prompt_ids, served.healed) == (prompt.ids, prompt.healed)
    assert served.model_sha256 == base.sha256
    candidate = served.candidates[0]
    assert base.spelling.text_of(candidate.token_ids) == served.healed + candidate.text
    assert len(candidate.log_probs) == len(candidate.token_ids)


async def test_what_nobody_would_take_is_hidden_unless_asked_for(
    client: httpx.AsyncClient, host: RunningHost, base: Base
) -> None:
    hides_all = ShowFilter(("num_words",), (0.0,), (1.0,), (0.0,), 0.0, threshold=0.9)
    database = Database.open(default_url(host.data))
    keep = partial(
        show_filters.keep, database, model_sha256=base.sha256, run_id="night", verdict={}
    )
    keep(content=hides_all.to_json(), passed=True)

    async def hidden() -> str | None:
        asked = question(record=True)
        answer = (await client.post("/v1/hone/completions", json=asked)).json()
        assert (answer["show"], answer["propensity"]) in [(True, 1.0), (True, 0.05), (False, 0.95)]
        return None if answer["show"] else str(asked["completion_id"])

    completion_id = await until(hidden)
    asked = question(trigger="invoked")
    answer = (await client.post("/v1/hone/completions", json=asked)).json()
    assert (answer["show"], answer["propensity"]) == (True, 1.0)

    since = datetime.now(UTC) - timedelta(minutes=5)
    stored = await until(
        lambda: [
            v.completion
            for v in load_window(database, since=since)
            if str(v.completion.request.completion_id) == completion_id
        ]
    )
    assert [(one.show, one.propensity) for one in stored] == [(False, 0.95)]

    keep(content='{"names": ["mood"]}', passed=True)  # of a version that knows more: hides nothing

    async def shown() -> bool:
        answer = (await client.post("/v1/hone/completions", json=question())).json()
        return bool(answer["propensity"] == 1.0)

    await until(shown)
    database.close()


async def test_an_event_sent_twice_is_stored_once(client: httpx.AsyncClient) -> None:
    event = Event.new(uuid4(), EventKind.SHOWN, 0, datetime.now(UTC), text="x = 1")
    batch = {"events": [event.model_dump(mode="json"), {"event_id": "nonsense"}]}
    first = (await client.post("/v1/events", json=batch)).json()["items"]
    second = (await client.post("/v1/events", json=batch)).json()["items"]
    assert [item["status"] for item in first] == ["stored", "refused"]
    assert [item["status"] for item in second] == ["duplicate", "refused"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
async def test_what_a_web_page_could_send_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    content_type = {"Content-Type": "application/json"}
    answer = await client.post("/v1/events", content=b"{}", headers=content_type | headers)
    assert answer.status_code == status


async def test_an_oversized_body_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/v1/events", content=b" " * (5 << 20), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"prefix": 1}', b"\xff\xfe"])
async def test_a_malformed_question_is_refused_with_a_reason(
    client: httpx.AsyncClient, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/v1/hone/completions", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"]


async def test_a_client_that_leaves_cancels_its_generation(client: httpx.AsyncClient) -> None:
    slow = question(mode="block", max_new_tokens=256, num_candidates=4, prefix="x = [\n    1,\n")
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/v1/hone/completions", json=slow, timeout=0.05)
    begun = time.perf_counter()
    answer = (await client.post("/v1/hone/completions", json=question(max_new_tokens=4))).json()
    assert time.perf_counter() - begun < WAIT_SECONDS
    assert answer["timings"]["queue_ms"] < 1000


async def test_who_types_the_address_into_a_browser_is_led_to_the_pages(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/admin")


async def test_a_promotion_serves_within_five_seconds_and_a_bad_adapter_never(
    client: httpx.AsyncClient, host: RunningHost, base: Base, make_adapter: Any
) -> None:
    database = Database.open(default_url(host.data))
    registry = Registry(database, host.data / "adapters")
    for seed in (1, 2):
        folder, _, _ = make_adapter(seed)
        registry.register(folder, base_sha256=base.sha256, run_id=f"run-{seed}", metrics={})
    good, bad = (record.sha256 for record in sorted(registry.list(), key=lambda r: r.run_id))

    async def live() -> Any:
        return (await client.get("/health")).json()["adapter"]

    async def serves(sha256: str | None) -> bool:
        return bool(await live() == sha256)

    begun = time.monotonic()
    registry.promote(good, by="a test", reason="to see it serve")
    await until(lambda: serves(good))
    assert time.monotonic() - begun < 5
    registry.promote(bad, by="a test", reason="to see it refused")
    weights = registry.get(bad).path / "adapter_model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes()[:-8] + b"\0\0\xc0\x7f" * 2)
    await until(lambda: registry.get(bad).state == "rejected" or None)
    assert await live() == good
    assert registry.live().sha256 == good  # type: ignore[union-attr]
    registry.rollback(by="a test", reason="back", to="base")
    await until(lambda: serves(None))
    database.close()


async def test_a_canary_answers_a_share_of_people_and_always_the_same_ones(
    client: httpx.AsyncClient, host: RunningHost, base: Base, make_adapter: Any
) -> None:
    database = Database.open(default_url(host.data))
    registry = Registry(database, host.data / "adapters")
    folder, _, _ = make_adapter(3)
    record = registry.register(folder, base_sha256=base.sha256, run_id="run-3", metrics={})

    async def tried() -> set[str]:
        """Return who is answered by the canary, having checked what answers whom."""
        found = set()
        for user in map(str, range(12)):
            answer = (await client.post("/v1/hone/completions", json=question(user=user))).json()
            assert (answer["arm"], answer["adapter"]) in (("live", None), ("canary", record.sha256))
            if answer["arm"] == "canary":
                found.add(user)
        return found

    assert await tried() == set()
    registry.try_out(record.sha256, share=0.5, by="a test", reason="to see it serve")
    await until(tried)  # It may have begun in the middle of the round.
    some = await tried()
    assert 0 < len(some) < 12
    assert await tried() == some
    assert (await client.get("/health")).json()["adapter"] is None
    registry.end_canary(by="a test", reason="seen")

    async def nobody() -> bool:
        return not await tried()

    await until(nobody)
    database.close()


def test_a_host_killed_at_work_starts_again_with_all_it_acknowledged(tmp_path: Path) -> None:
    stored = []
    with host_on(tmp_path) as host:
        for _ in range(20):
            event = Event.new(uuid4(), EventKind.SHOWN, 0, datetime.now(UTC), text="x")
            batch = {"events": [event.model_dump(mode="json")]}
            answer = httpx.post(f"{host.url}/v1/events", json=batch, trust_env=False).json()
            stored += [item["event_id"] for item in answer["items"] if item["status"] == "stored"]
        host.process.kill()
        host.process.wait()
    assert len(stored) == 20
    with host_on(tmp_path) as host:
        batch = {"events": [event.model_dump(mode="json")]}
        answer = httpx.post(f"{host.url}/v1/events", json=batch, trust_env=False).json()
        assert answer["items"][0]["status"] == "duplicate"


def test_the_garbage_collector_no_longer_walks_what_stays(base: Base) -> None:
    usual = gc.get_threshold()
    try:
        settle()
        num_settled, num_walked = gc.get_freeze_count(), len(gc.get_objects())
        assert gc.get_threshold()[0] > 10 * usual[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
    assert num_settled > 100 * num_walked


def test_a_host_that_stops_leaves_the_figures_that_it_is_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database.open(default_url(tmp_path))
    at_work, left, enough = threading.Event(), threading.Event(), threading.Event()

    def never_done(database: Database, rest: Callable[[], None]) -> None:
        try:
            while not enough.is_set():
                at_work.set()
                rest()
        finally:
            left.set()

    async def stop() -> None:
        task = asyncio.create_task(_keep_figures(database))
        assert await asyncio.to_thread(at_work.wait, 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        is_left = await asyncio.to_thread(left.wait, 10)
        enough.set()
        assert is_left

    monkeypatch.setattr(rollups, "refresh", never_done)
    asyncio.run(stop())
    database.close()
