"""Turns queued jobs into generations on CUDA, through transformers' continuous batching.

Three gaps of that batcher are closed here: it ignores stop strings (every token is streamed to the
job, which stops by our rules and cancels), a cancelled request never delivers a result (the job is
resolved here), and it has no token healing (the healed piece is spelled first, by a plain forward
pass of a second module tree over the same weights). Greedy only. It knows nothing of HTTP or text.
"""

import logging
import queue
import threading
import time
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from lsp_server.engine.errors import EngineClosed, EngineError, Superseded
from lsp_server.engine.jobs import Job
from lsp_server.engine.kv_cache import cache_argument
from lsp_server.engine.step_loop import LoopConfig

MEMORY_SHARE = 0.35  # of the free GPU memory, per arm: two arms must fit during a swap
POLL_SECONDS = 0.05
log = logging.getLogger(__name__)


class ContinuousLoop:
    """Runs jobs on one model; `submit` and `cancel` may be called from any thread."""

    def __init__(self, model: Any, config: LoopConfig, name: str) -> None:
        from lsp_server.engine.arm import share_weights

        self._speller = share_weights(model)
        self._cache_argument = cache_argument(self._speller)
        self._device = next(model.parameters()).device
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._intake: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closed = False
        self._batcher = model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0),
            continuous_batching_config=_batching(config, self._device),
        )
        self._threads = [
            threading.Thread(target=target, name=f"arm-{name}-{target.__name__}", daemon=True)
            for target in (self._take_in, self._hand_out)
        ]

    def start(self) -> None:
        """Start the batcher and the two threads around it."""
        self._batcher.start()
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job. Raises EngineClosed after `close`."""
        with self._lock:
            if self._closed:
                raise EngineClosed("this arm is closed")
            self._jobs[job.job_id] = job
        self._intake.put(job)

    def cancel(self, job: Job) -> None:
        """Stop a job; its `done` is called with Superseded."""
        job.cancelled = True
        self._batcher.cancel_request(job.job_id)
        self._end(job, Superseded(f"request {job.job_id} was cancelled"))

    @property
    def num_pending(self) -> int:
        """Return how many jobs wait or run."""
        return len(self._jobs)

    def close(self) -> None:
        """Stop all threads; what is still pending ends with EngineClosed."""
        with self._lock:
            self._closed = True
        self._intake.put(None)
        self._batcher.stop(block=True, timeout=30, hard_stop=True)
        for job in list(self._jobs.values()):
            self._end(job, EngineClosed("the engine is shutting down"))
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(timeout=30)

    def _take_in(self) -> None:
        """Spell healed pieces and hand jobs to the batcher."""
        while (job := self._intake.get()) is not None:
            try:
                self._admit(job)
            except Exception as error:  # one broken job must not stop the arm
                log.exception("a prompt could not be admitted")
                self._end(job, error)

    @torch.inference_mode()
    def _admit(self, job: Job) -> None:
        job.started_at = time.perf_counter()
        cache = {self._cache_argument: DynamicCache(config=self._speller.config)}
        ids = list(job.prompt_ids)
        fed = 0
        while (allowed := job.allowed_ids()) is not None:
            out = self._speller(
                input_ids=torch.tensor([ids[fed:]], device=self._device),
                use_cache=True,
                logits_to_keep=1,
                **cache,
            )
            fed = len(ids)
            scores = out.logits[0, -1].float()
            token = allowed[int(scores[torch.tensor(allowed, device=self._device)].argmax())]
            ids.append(token)
            finished = job.take(token, float(scores[token] - scores.logsumexp(-1)))
            if finished is not None:
                self._end(job, finished)
                return
        job.decoding_at = time.perf_counter()
        if not job.cancelled:
            self._batcher.add_request(
                ids,
                request_id=job.job_id,
                max_new_tokens=job.limits.max_new_tokens - len(job.token_ids),
                streaming=True,
                eos_token_id=list(job.limits.end_ids) or -1,
            )

    def _hand_out(self) -> None:
        """Give streamed tokens to their jobs; end the jobs that are finished."""
        num_spelled: dict[str, int] = {}
        while not self._closed:
            result = self._batcher.get_result(timeout=POLL_SECONDS)
            if result is None:
                continue
            job = self._jobs.get(result.request_id)
            if job is None or job.cancelled:
                num_spelled.pop(result.request_id, None)
                continue
            done = num_spelled.setdefault(job.job_id, len(job.token_ids))
            self._advance(job, result, len(job.token_ids) - done)
            if job.job_id not in self._jobs:
                num_spelled.pop(job.job_id, None)

    def _advance(self, job: Job, result: Any, num_taken: int) -> None:
        tokens = result.generated_tokens[num_taken:]
        for token, log_prob in zip(tokens, result.logprobs[num_taken:], strict=True):
            finished = job.take(token, log_prob)
            if finished is not None:
                self._batcher.cancel_request(job.job_id)
                self._end(job, finished)
                return
        if result.error is not None:
            self._end(job, EngineError(f"the batcher failed: {result.error}"))

    def _end(self, job: Job, result: Any) -> None:
        with self._lock:
            known = self._jobs.pop(job.job_id, None)
        if known is not None:
            job.done(result)


def _batching(config: LoopConfig, device: torch.device) -> ContinuousBatchingConfig:
    sizes: dict[str, Any] = {"max_memory_percent": MEMORY_SHARE}
    if device.type == "cpu":
        sizes = {"num_blocks": 256, "page_size": 32, "max_batch_tokens": 1024}
    return ContinuousBatchingConfig(
        max_requests_per_batch=config.max_batch, return_logprobs=True, **sizes
    )
