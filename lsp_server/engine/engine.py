"""Turns generation requests into answers: prompt, arm, candidates; and swaps arms blue/green.

`Engine` is the seam: the local one runs arms in this process, a later one may ask an engine
elsewhere. It knows nothing of HTTP, the database or who promoted what.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from feedback_store.adapter_files import Probe
from feedback_store.schemas import Mode, Timings
from lsp_server.engine.arm import Arm
from lsp_server.engine.base import HEALED_RESERVE_TOKENS, Base
from lsp_server.engine.errors import EngineClosed, Superseded
from lsp_server.engine.jobs import Generation, Job, Limits
from lsp_server.engine.prompt import Prompt
from lsp_server.engine.router import ArmName, Router
from lsp_server.engine.step_loop import LoopConfig
from lsp_server.engine.stopping import stop_rule

SAMPLING_TEMPERATURE = 0.6  # of candidates after the first where the request names none
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineConfig:
    """Sizes of the engine; `max_prompt_tokens` None: what suits the model."""

    max_batch: int = 16
    max_prompt_tokens: int | None = None
    max_stored_tokens: int = 16_384


@dataclass(frozen=True)
class GenerationRequest:
    """What the engine is asked. A newer request of the same `document_id` cancels the older."""

    request_id: str
    document_id: str
    prefix: str
    suffix: str
    mode: Mode = Mode.LINE
    max_new_tokens: int = 48
    num_candidates: int = 1
    temperature: float = 0.0
    user: str = "anonymous"


@dataclass(frozen=True)
class Answer:
    """Candidates in rank order, with the exact prompt and who served it."""

    generations: tuple[Generation, ...]
    prompt: Prompt
    adapter: str | None
    arm: ArmName
    num_cached_tokens: int
    timings: Timings


class Engine(Protocol):
    """What the host needs of an engine, local or remote."""

    async def complete(self, request: GenerationRequest) -> Answer: ...
    def cancel(self, request_id: str) -> None: ...
    async def swap(
        self, adapter_dir: Path | None, sha256: str | None, probes: Sequence[Probe] = ()
    ) -> None: ...
    async def try_out(
        self, adapter_dir: Path | None, sha256: str | None, share: float, probes: Sequence[Probe]
    ) -> None: ...
    @property
    def live_adapter(self) -> str | None: ...
    @property
    def canary(self) -> tuple[str | None, float]: ...
    async def close(self) -> None: ...


class LocalEngine:
    """Runs arms in this process. Create and use it inside one event loop."""

    def __init__(self, base: Base, config: EngineConfig | None = None) -> None:
        self.base = base
        self._config = config or EngineConfig()
        self._loop_config = LoopConfig(
            self._config.max_batch, self._config.max_stored_tokens, base.num_threads
        )
        live = Arm(base, None, None)
        live.start(self._loop_config)
        self._router = Router(live)
        self._running: dict[str, tuple[Arm, list[Job]]] = {}
        self._latest: dict[str, str] = {}  # document -> its newest request
        self._draining: set[asyncio.Task[None]] = set()
        self._swapping = asyncio.Lock()
        self._closed = False

    @property
    def live_adapter(self) -> str | None:
        """SHA-256 of the adapter that serves, None for the bare base."""
        return self._router.routes.live.adapter

    @property
    def canary(self) -> tuple[str | None, float]:
        """SHA-256 of the adapter that is tried out and for which share of people; (None, 0)."""
        routes = self._router.routes
        return (routes.canary.adapter, routes.canary_share) if routes.canary else (None, 0.0)

    async def complete(self, request: GenerationRequest) -> Answer:
        """Answer one request. Raises Superseded when it is cancelled, EngineClosed at shutdown."""
        if self._closed:
            raise EngineClosed("the engine is shutting down")
        begun = time.perf_counter()
        self._supersede(request)
        arm_name, arm = self._router.choose(request.user)
        prompt = self._prompt(request)
        prompted = time.perf_counter()
        jobs, futures = self._jobs(request, prompt)
        self._running[request.request_id] = (arm, jobs)
        try:
            for job in jobs:
                arm.loop.submit(job)
            generations = tuple(await asyncio.gather(*futures))
        except asyncio.CancelledError:
            self.cancel(request.request_id)
            raise
        finally:
            self._running.pop(request.request_id, None)
            if self._latest.get(request.document_id) == request.request_id:
                del self._latest[request.document_id]
        first = generations[0]
        return Answer(
            generations=generations,
            prompt=prompt,
            adapter=arm.adapter,
            arm=arm_name,
            num_cached_tokens=first.num_cached_tokens,
            timings=Timings(
                queue_ms=first.queue_ms,
                prompt_ms=1e3 * (prompted - begun),
                prefill_ms=first.prefill_ms,
                decode_ms=first.decode_ms,
                engine_ms=1e3 * (time.perf_counter() - begun),
            ),
        )

    def cancel(self, request_id: str) -> None:
        """Cancel a request; whoever awaits it gets Superseded. Unknown ids are ignored."""
        arm, jobs = self._running.get(request_id, (None, []))
        for job in jobs:
            if arm is not None:
                arm.loop.cancel(job)

    async def swap(
        self, adapter_dir: Path | None, sha256: str | None, probes: Sequence[Probe] = ()
    ) -> None:
        """Serve another adapter: build its arm beside the old, check it, flip, drain the old.

        Raises AdapterRefused when it cannot be loaded or scores its probes wrongly; then nothing
        has changed. Requests under way are answered by the arm they began on.
        """
        async with self._swapping:
            arm = await asyncio.to_thread(self._build_arm, adapter_dir, sha256, probes)
            await self._warm_up(arm)
            old = self._router.set_live(arm)
            log.info("adapter %s serves, %s drains", _short(sha256), _short(old.adapter))
            self._drain(old)

    async def try_out(
        self,
        adapter_dir: Path | None,
        sha256: str | None,
        share: float,
        probes: Sequence[Probe] = (),
    ) -> None:
        """Let another adapter answer a share of people; None ends that. Raises as `swap` does."""
        async with self._swapping:
            arm = None
            if adapter_dir is not None:
                arm = await asyncio.to_thread(self._build_arm, adapter_dir, sha256, probes)
                await self._warm_up(arm)
            old = self._router.set_canary(arm, share if arm else 0.0)
            log.info("adapter %s answers %.0f %% of people", _short(sha256), 100 * share)
            if old is not None:
                self._drain(old)

    async def warm_up(self) -> None:
        """Answer once on the live arm, so that no user pays for first-time work."""
        await self._warm_up(self._router.routes.live)

    async def close(self) -> None:
        """Stop everything; pending requests end with EngineClosed."""
        self._closed = True
        routes = self._router.routes
        arms = [arm for arm in (routes.live, routes.canary) if arm is not None]
        await asyncio.gather(*(asyncio.to_thread(arm.close) for arm in arms))
        await asyncio.gather(*self._draining, return_exceptions=True)

    def _supersede(self, request: GenerationRequest) -> None:
        older = self._latest.get(request.document_id)
        if older is not None:
            self.cancel(older)
        self._latest[request.document_id] = request.request_id

    def _prompt(self, request: GenerationRequest) -> Prompt:
        room = self.base.window_tokens - request.max_new_tokens - HEALED_RESERVE_TOKENS
        wanted = self._config.max_prompt_tokens
        limit = min(room, wanted) if wanted else self.base.prompt_limit(request.max_new_tokens)
        return self.base.prompter.build(request.prefix, request.suffix, max_prompt_tokens=limit)

    def _jobs(
        self, request: GenerationRequest, prompt: Prompt
    ) -> tuple[list[Job], list["asyncio.Future[Generation]"]]:
        """Return one job per candidate and the futures that they resolve."""
        loop = asyncio.get_running_loop()
        jobs, futures = [], []
        for rank in range(request.num_candidates):
            future: asyncio.Future[Generation] = loop.create_future()
            futures.append(future)
            jobs.append(
                Job(
                    job_id=f"{request.request_id}/{rank}",
                    prompt_ids=prompt.ids,
                    owed=prompt.healed.encode(),
                    limits=self._limits(request, rank),
                    spelling=self.base.spelling,
                    done=partial(_deliver, loop, future),
                )
            )
        return jobs, futures

    def _limits(self, request: GenerationRequest, rank: int) -> Limits:
        sampled = request.temperature or SAMPLING_TEMPERATURE
        return Limits(
            rule=stop_rule(request.prefix, request.mode),
            max_new_tokens=request.max_new_tokens + HEALED_RESERVE_TOKENS,
            end_ids=self.base.prompter.control_ids | {self.base.prompter.end_id},
            temperature=sampled if rank else 0.0,
            seed=rank,
        )

    def _build_arm(
        self, adapter_dir: Path | None, sha256: str | None, probes: Sequence[Probe]
    ) -> Arm:
        arm = Arm(self.base, adapter_dir, sha256)
        arm.check_probes(probes)
        arm.start(self._loop_config)
        return arm

    async def _warm_up(self, arm: Arm) -> None:
        prefix = "def main():\n    " * 8
        request = GenerationRequest("warm-up", "warm-up", prefix, "", max_new_tokens=4)
        jobs, futures = self._jobs(request, self._prompt(request))
        for job in jobs:
            arm.loop.submit(job)
        await asyncio.gather(*futures)

    def _drain(self, arm: Arm) -> None:
        task = asyncio.create_task(arm.drain())
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)


def _deliver(
    loop: asyncio.AbstractEventLoop,
    future: "asyncio.Future[Generation]",
    result: Generation | BaseException,
) -> None:
    """Hand a result from an arm's thread to the loop that waits for it, if it still runs."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(_resolve, future, result)


def _resolve(future: "asyncio.Future[Generation]", result: Generation | BaseException) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
        if isinstance(result, Superseded):
            future.exception()  # whoever cancelled may no longer be there to look
    else:
        future.set_result(result)


def _short(sha256: str | None) -> str:
    return sha256[:12] if sha256 else "base"
