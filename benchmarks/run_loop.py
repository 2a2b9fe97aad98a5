"""Measures the loop's goals on this machine: latency of our own, throughput, reuse, swap, memory.

    python benchmarks/run_loop.py                # all, writes results/loop.json
    python benchmarks/run_loop.py engine swap    # some, prints only

Real processes, the starter model, float32. Both sides of every ratio are measured in this run,
in turn, so that a drifting machine hurts both.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from facts import facts, summary, write  # isort: skip  # first: it sets what torch reads
from measure_engine import SOURCE, measure_one_character_later, measure_throughput  # isort: skip

import httpx
import psutil
import torch
from peft import LoraConfig, get_peft_model
from sqlalchemy import select

from feedback_store.adapter_files import seal
from feedback_store.database import Database, default_url
from feedback_store.models import CompletionRow
from feedback_store.registry import Registry
from hone.demo_traffic import Question, ask, health_of
from lsp_server.engine.arm import share_weights
from lsp_server.engine.base import Base, load_base
from lsp_server.engine.engine import GenerationRequest, LocalEngine
from trainer.replay.lsp_client import LspClient

GOALS = {
    "initialize_s": 0.7,
    "server_resident_mb": 90.0,
    "round_trip_minus_engine_p95_ms": 10.0,
    "did_change_p99_ms": 2.0,
    "throughput_ratio": 2.0,
    "one_character_later_ratio": 0.5,
    "swap_failed": 0,
    "swap_mixed": 0,
    "host_resident_mb": 1200.0,
}


async def measure_start(folder: Path, url: str, repeats: int = 7) -> dict[str, Any]:
    """From starting `hone lsp` to the answer to `initialize`; memory after real work."""
    took, resident = [], []
    for _ in range(repeats):
        begun = time.perf_counter()
        command = [sys.executable, "-m", "hone", "lsp", "--url", url, "--data", str(folder)]
        client = await LspClient.start(command)
        await client.initialize(root=folder, record=True)
        took.append(time.perf_counter() - begun)
        await client.wait_for("hone/status", lambda status: status["state"] == "ready")
        uri = (folder / "argparse.py").as_uri()
        await client.open(uri, SOURCE)
        for offset in range(5_000, 15_000, 1_000):
            await client.complete(uri, offset)
        resident.append(psutil.Process(client.process.pid).memory_info().rss / 2**20)
        await client.shutdown()
    return {
        "initialize_s": round(summary(took)["p50"], 3),
        "server_resident_mb": round(summary(resident)["p50"], 1),
        "start": {"initialize_s": summary(took), "resident_mb": summary(resident)},
    }


async def measure_round_trip(folder: Path, url: str, num_requests: int = 200) -> dict[str, Any]:
    """LSP request to LSP answer, minus the engine's own time, which the store recorded."""
    client = await start_server(folder, url)
    uri = (folder / "argparse.py").as_uri()
    await client.open(uri, SOURCE)
    rng, took = random.Random(2), {}
    for _ in range(num_requests):
        offset = rng.randrange(2_000, len(SOURCE) - 2_000)
        begun = time.perf_counter()
        items = await client.complete(uri, offset)
        elapsed_ms = 1e3 * (time.perf_counter() - begun)
        if items:
            took[items[0].completion_id] = elapsed_ms
    engine_ms = await stored_engine_ms(folder, set(took))
    await client.shutdown()
    ours = [elapsed - engine_ms[key] for key, elapsed in took.items() if key in engine_ms]
    return {
        "round_trip_minus_engine_p95_ms": summary(ours)["p95"],
        "round_trip": {"whole_ms": summary(list(took.values())), "minus_engine_ms": summary(ours)},
    }


async def measure_did_change(folder: Path, url: str, num_changes: int = 600) -> dict[str, Any]:
    """One-character changes in a 10,000-line file: with a no-op request behind each, minus it."""
    client = await start_server(folder, url)
    uri = (folder / "long.py").as_uri()
    text = "".join(f"value_{n} = compute({n}, 'text')\n" for n in range(10_000))
    await client.open(uri, text)
    no_op = {
        "textDocument": {"uri": "untitled:never-opened"},
        "position": {"line": 0, "character": 0},
        "context": {"triggerKind": 2},
    }
    rng, plain, changed = random.Random(3), [], []
    for number in range(2 * num_changes):
        place = {"line": rng.randrange(10_000), "character": rng.randrange(10)}
        change = {"range": {"start": place, "end": place}, "text": "x"}
        document = {"uri": uri, "version": number + 2}
        begun = time.perf_counter()
        if number % 2:
            params = {"textDocument": document, "contentChanges": [change]}
            await client.notify("textDocument/didChange", params)
        await client.request("textDocument/inlineCompletion", no_op)
        (changed if number % 2 else plain).append(1e3 * (time.perf_counter() - begun))
    await client.shutdown()
    no_op = summary(plain)["p50"]
    cost = [value - no_op for value in changed]
    return {
        "did_change_p99_ms": summary(cost)["p99"],
        "did_change": {"cost_ms": summary(cost), "no_op_request_ms": summary(plain)},
    }


async def measure_swap(
    folder: Path, url: str, host: psutil.Process, base: Base, num_swaps: int = 6
) -> dict[str, Any]:
    """8 clients ask without pause while adapters change; every answer is checked."""
    questions = [question_at(4_000 + 1_731 * number) for number in range(8)]
    database = Database.open(default_url(folder))
    registry = Registry(database, folder / "adapters")
    sha256 = register_adapter(registry, base, folder)
    expected = {
        adapter: await greedy_texts(base, registry, adapter, questions)
        for adapter in (None, sha256)
    }
    tally = {"answers": 0, "failed": 0, "mixed": 0}
    stop = asyncio.Event()
    clients = [
        asyncio.create_task(keep_asking(url, number, question, expected, tally, stop))
        for number, question in enumerate(questions)
    ]
    delays = []
    for number in range(num_swaps):
        target = sha256 if number % 2 == 0 else None
        begun = time.perf_counter()
        if target:
            registry.promote(target, by="benchmark", reason="swap under load")
        else:
            registry.rollback(by="benchmark", reason="swap under load", to="base")
        while (await health_of(url))["adapter"] != target:
            await asyncio.sleep(0.02)
        delays.append(time.perf_counter() - begun)
        seen = tally["answers"]
        while tally["answers"] < seen + 24:
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*clients)
    database.close()
    return {
        "swap_failed": tally["failed"],
        "swap_mixed": tally["mixed"],
        "host_resident_mb": round(peak_resident_mb(host), 1),
        "swap": {
            "clients": 8,
            "swaps": num_swaps,
            "answers": tally["answers"],
            "adapters_differ_on": sum(map(str.__ne__, *expected.values())),
            "promotion_to_serving_s": summary(delays),
            "host_resident_now_mb": round(host.memory_info().rss / 2**20, 1),
        },
    }


async def keep_asking(
    url: str,
    number: int,
    question: Question,
    expected: dict[str | None, list[str]],
    tally: dict[str, int],
    stop: asyncio.Event,
) -> None:
    """Ask one question again and again; count answers, failures and texts of another adapter."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        while not stop.is_set():
            try:
                answer = await ask(client, question)
            except httpx.HTTPError:
                tally["failed"] += 1
                continue
            tally["answers"] += 1
            text = answer["candidates"][0]["text"]
            tally["mixed"] += text != expected[answer["adapter"]][number]


def register_adapter(registry: Registry, base: Base, folder: Path) -> str:
    """Register an adapter with random weights, strong enough to change answers."""
    torch.manual_seed(0)
    model = get_peft_model(
        share_weights(base.model),
        LoraConfig(r=16, target_modules="all-linear", init_lora_weights=False),
    )
    staging = folder / "adapters" / ".staging-benchmark"
    model.save_pretrained(staging)
    (staging / "README.md").unlink(missing_ok=True)
    (staging / "lineage.json").write_text("[]", encoding="utf-8")
    seal(
        staging,
        base_model=base.name,
        base_sha256=base.sha256,
        run_id="benchmark",
        recipe={},
        probes=(),
    )
    record = registry.register(
        staging, base_sha256=base.sha256, run_id="benchmark", metrics={"random": True}
    )
    return record.sha256


async def greedy_texts(
    base: Base, registry: Registry, adapter: str | None, questions: Sequence[Question]
) -> list[str]:
    """Return what one adapter alone answers, computed in this process."""
    engine = LocalEngine(base)
    if adapter is not None:
        await engine.swap(registry.get(adapter).path, adapter)
    texts = []
    for number, question in enumerate(questions):
        request = GenerationRequest(str(number), str(number), question.prefix, question.suffix)
        texts.append((await engine.complete(request)).generations[0].text)
    await engine.close()
    return texts


def question_at(offset: int) -> Question:
    """Return a question about the rest of a line of real source."""
    end = SOURCE.index("\n", offset)
    return Question(
        "", SOURCE[offset - 3_000 : offset], SOURCE[end : end + 800], SOURCE[offset:end]
    )


async def start_server(folder: Path, url: str) -> LspClient:
    """Start `hone lsp` as an editor would, recording, without debounce."""
    command = [sys.executable, "-m", "hone", "lsp", "--url", url, "--data", str(folder)]
    client = await LspClient.start([*command, "--debounce-ms", "0"])
    await client.initialize(root=folder, record=True)
    await client.wait_for("hone/status", lambda status: status["state"] == "ready")
    return client


async def stored_engine_ms(folder: Path, wanted: set[str]) -> dict[str, float]:
    """Return the engine's milliseconds by completion, once all are stored."""
    database = Database.open(default_url(folder))
    deadline = time.monotonic() + 30
    found: dict[str, float] = {}
    while time.monotonic() < deadline and not wanted <= found.keys():
        with database.session() as session:
            rows = session.execute(select(CompletionRow.completion_id, CompletionRow.engine_ms))
            found = {str(key): engine_ms for key, engine_ms in rows}
        await asyncio.sleep(0.1)
    database.close()
    return found


@contextlib.asynccontextmanager
async def running_host(folder: Path) -> AsyncIterator[tuple[str, psutil.Process]]:
    """Run a real host on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "hone", "serve", "--port", str(port), "--data", str(folder)]
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stderr=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                await health_of(url)
                break
            await asyncio.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def peak_resident_mb(process: psutil.Process) -> float:
    """Return the most memory a process ever held (Linux), else what it holds now."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return process.memory_info().rss / 2**20


async def measure_processes(wanted: set[str], base: Base) -> dict[str, Any]:
    """Run the measurements that need a host."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="hone-bench-") as name:
        folder = Path(name)
        async with running_host(folder) as (url, host):
            if "start" in wanted:
                figures |= await measure_start(folder, url)
            if "round_trip" in wanted:
                figures |= await measure_round_trip(folder, url)
            if "did_change" in wanted:
                figures |= await measure_did_change(folder, url)
            if "swap" in wanted:
                figures |= await measure_swap(folder, url, host, base)
    return figures


def main() -> None:
    """Measure what was asked for; all of it is written down."""
    everything = ("engine", "start", "round_trip", "did_change", "swap")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", choices=[*everything, []], help="default: all")
    wanted = set(parser.parse_args().what or everything)
    about, figures = facts(), {}
    base = load_base("starter", device="cpu")
    if "engine" in wanted:
        figures |= measure_throughput(base) | measure_one_character_later(base)
    if wanted - {"engine"}:
        figures |= asyncio.run(measure_processes(wanted, base))
    print(json.dumps(figures, indent=2))
    for name, goal in GOALS.items():
        if name in figures:
            is_least = name == "throughput_ratio"
            reached = figures[name] >= goal if is_least else figures[name] <= goal
            print(f"{name:<34}{figures[name]:>10}  goal {goal:<7} {'ok' if reached else 'MISSED'}")
    if wanted == set(everything):
        print("written to", write("loop", {"goals": GOALS, **figures}, about))


if __name__ == "__main__":
    main()
