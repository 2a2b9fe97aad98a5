"""Turns batches of events into requests at a fixed pace, whatever the server makes of them.

Open loop: latency counts from the moment a batch was due, so that a stall hurts every batch that
was due meanwhile. Bodies are made before the clock starts. Plain HTTP/1.1 over sockets that stay
open, because the two cores are shared with the server.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from feedback_store.schemas import Event

NUM_CONNECTIONS = 32
MAX_ANSWER_SECONDS = 30


@dataclass
class Told:
    """What a run of load came to. `acknowledged` are ids of events said to be stored."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    seconds: float = 0.0
    num_broken: int = 0  # connections that ended without an answer


def body_of(batch: Sequence[Event]) -> bytes:
    """Return a batch as an editor sends it."""
    items = [event.model_dump(mode="json", exclude_none=True) for event in batch]
    return json.dumps({"events": items}).encode()


async def offer(port: int, bodies: Sequence[bytes], batches_per_s: float) -> Told:
    """Send every body when it is due, and gather what was answered."""
    told, waiting = Told(), asyncio.Queue[tuple[float, bytes]]()
    workers = [asyncio.create_task(_work(port, waiting, told)) for _ in range(NUM_CONNECTIONS)]
    begun = time.perf_counter()
    for number, body in enumerate(bodies):
        due = begun + number / batches_per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.put_nowait((due, body))
    await waiting.join()
    told.seconds = time.perf_counter() - begun
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return told


async def _work(port: int, waiting: "asyncio.Queue[tuple[float, bytes]]", told: Told) -> None:
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while True:
        due, body = await waiting.get()
        try:
            streams = streams or await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(MAX_ANSWER_SECONDS):
                status, answer = await _post(*streams, port, body)
            told.latencies_ms.append(1e3 * (time.perf_counter() - due))
            told.statuses[status] = told.statuses.get(status, 0) + 1
            if status == 200:
                items = json.loads(answer)["items"]
                told.acknowledged |= {i["event_id"] for i in items if i["status"] != "refused"}
        except (OSError, EOFError, TimeoutError):
            told.num_broken += 1
            streams = None
        finally:
            waiting.task_done()


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, body: bytes
) -> tuple[int, bytes]:
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(answer.partition("content-length:")[2].partition("\r\n")[0])
    return int(answer.split(" ", 2)[1]), await reader.readexactly(length)
