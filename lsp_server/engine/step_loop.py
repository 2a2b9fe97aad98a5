"""Turns queued jobs into generations on a CPU: prefill with prefix reuse, then batched decoding.

`step()` reads as the system: admit what waits, decode all active rows by one token, hand back what
finished. Continuous batching in transformers costs requests x total KV per decode step on a CPU;
here a step costs the batch once. One loop per arm, run by one thread. It knows nothing of HTTP,
adapters or fill-in-the-middle.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

import torch

from lsp_server.engine.errors import EngineClosed, Superseded
from lsp_server.engine.jobs import Generation, Job
from lsp_server.engine.kv_cache import PrefixStore, RowCache, StoredPrefix, num_shared

PREFILL_CHUNK_TOKENS = 512  # between chunks a cancelled prompt is dropped
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopConfig:
    """Sizes of one loop: rows decoded together, tokens of finished prefixes kept for reuse."""

    max_batch: int = 16
    max_stored_tokens: int = 16_384


@dataclass(eq=False)
class Row:
    """One active sequence: `tokens` stand in the cache, `next_id` was sampled after them."""

    job: Job
    tokens: list[int]
    next_id: int


class StepLoop:
    """Runs jobs on one model; `submit` and `cancel` may be called from any thread."""

    def __init__(self, model: torch.nn.Module, config: LoopConfig, name: str) -> None:
        self._model = model
        self._config = config
        self._cache = RowCache()
        self._store = PrefixStore(config.max_stored_tokens)
        self._rows: list[Row] = []
        self._waiting: deque[Job] = deque()
        self._wakes = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"arm-{name}", daemon=True)

    def start(self) -> None:
        """Start the loop's thread."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job. Raises EngineClosed after `close`."""
        with self._wakes:
            if self._closed:
                raise EngineClosed("this arm is closed")
            self._waiting.append(job)
            self._wakes.notify()

    def cancel(self, job: Job) -> None:
        """Stop a job at the next step; its `done` is called with Superseded."""
        job.cancelled = True

    @property
    def num_pending(self) -> int:
        """Return how many jobs wait or run."""
        return len(self._waiting) + len(self._rows)

    def close(self) -> None:
        """Stop the thread; what is still pending ends with EngineClosed."""
        with self._wakes:
            self._closed = True
            self._wakes.notify()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=30)

    def step(self) -> None:
        """Advance everything by one token."""
        self._drop_cancelled()
        self._admit()
        if self._rows:
            self._decode()

    @torch.inference_mode()
    def _run(self) -> None:
        while self._wait_for_work():
            try:
                self.step()
            except Exception as error:  # a broken step must not leave askers waiting for ever
                log.exception("a decode step failed")
                self._fail_all(error)
        self._fail_all(EngineClosed("the engine is shutting down"))
        self._cache.release()
        self._store.clear()

    def _wait_for_work(self) -> bool:
        with self._wakes:
            while not (self._closed or self._waiting or self._rows):
                self._wakes.wait()
            return not self._closed

    def _drop_cancelled(self) -> None:
        with self._wakes:
            dropped = [job for job in self._waiting if job.cancelled]
            self._waiting = deque(job for job in self._waiting if not job.cancelled)
        for job in dropped:
            job.done(Superseded(f"request {job.job_id} was cancelled"))
        for index in reversed(range(len(self._rows))):
            if self._rows[index].job.cancelled:
                self._end_row(index, Superseded("the request was cancelled"))

    def _admit(self) -> None:
        """Compute the prompts of waiting jobs while there is room; each gets its first token."""
        while len(self._rows) < self._config.max_batch:
            with self._wakes:
                if not self._waiting:
                    return
                job = self._waiting.popleft()
            job.started_at = time.perf_counter()
            row = Row(job, [], job.prompt_ids[-1])
            scores = self._prefill(row)
            job.decoding_at = time.perf_counter()
            if scores is None:
                job.done(Superseded(f"request {job.job_id} was cancelled"))
            else:
                self._rows.append(row)
                self._take(len(self._rows) - 1, *_sample(scores, [job]))

    def _prefill(self, row: Row) -> torch.Tensor | None:
        """Fill the cache with the prompt, reusing what earlier ones share.

        Returns the scores [1, vocabulary] after its last token, or None when it was cancelled.
        """
        index, wanted = len(self._rows), row.job.prompt_ids
        row.tokens = list(wanted[: self._reuse(index, wanted[:-1])])
        row.job.num_cached_tokens = len(row.tokens)
        scores = None
        while (start := len(row.tokens)) < len(wanted):
            if row.job.cancelled:
                return None
            end = min(len(wanted), start + PREFILL_CHUNK_TOKENS)
            self._cache.aim_prefill(index, start, end)
            slots = torch.arange(end)
            mask = slots[None, :] <= slots[start:, None]
            scores = self._forward(
                torch.tensor([wanted[start:end]]), slots[None, start:], mask[None, None]
            )
            row.tokens += wanted[start:end]
        return scores

    def _reuse(self, index: int, wanted: tuple[int, ...]) -> int:
        """Copy the longest known beginning of `wanted` into row `index`; return its length."""
        stored, shared = self._store.find(wanted)
        for other, row in enumerate(self._rows):
            if tuple(row.tokens[: shared + 1]) == wanted[: shared + 1] and shared < len(wanted):
                length = num_shared(tuple(row.tokens), wanted)
                stored = StoredPrefix(wanted, self._cache.copy_out(other, length))
                shared = length
        if stored is not None:
            self._cache.copy_in(index, stored.layers, shared)
        return shared

    def _decode(self) -> None:
        """Feed every row its next token, sample one more each, end the rows that are finished."""
        lengths = [len(row.tokens) for row in self._rows]
        self._cache.aim_decode(lengths)
        positions = torch.tensor(lengths)[:, None]
        mask = torch.arange(max(lengths) + 1)[None, :] <= positions
        scores = self._forward(
            torch.tensor([[row.next_id] for row in self._rows]), positions, mask[:, None, None]
        )
        sampled, log_probs = _sample(scores, [row.job for row in self._rows])
        for index in reversed(range(len(self._rows))):
            self._rows[index].tokens.append(self._rows[index].next_id)
            self._take(index, sampled[index : index + 1], log_probs[index : index + 1])

    def _take(self, index: int, sampled: list[int], log_probs: list[float]) -> None:
        """Give a row its next token; end the row when that was the last."""
        row = self._rows[index]
        row.next_id = sampled[0]
        finished = row.job.take(sampled[0], log_probs[0])
        if finished is not None:
            self._end_row(index, finished)

    def _forward(
        self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Return the scores [rows, vocabulary] after the last token of each row."""
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        scores: torch.Tensor = output.logits[:, -1]
        return scores

    def _end_row(self, index: int, result: Generation | BaseException) -> None:
        """Store a row's prefix, close the gap it leaves, and hand its result back."""
        row, last = self._rows[index], len(self._rows) - 1
        tokens = tuple(row.tokens)
        self._store.put(StoredPrefix(tokens, self._cache.copy_out(index, len(tokens))))
        if index != last:
            self._cache.move(last, index, len(self._rows[last].tokens))
            self._rows[index] = self._rows[last]
        self._rows.pop()
        row.job.done(result)

    def _fail_all(self, error: BaseException) -> None:
        with self._wakes:
            jobs = [*self._waiting, *(row.job for row in self._rows)]
            self._waiting.clear()
            self._rows.clear()
        for job in jobs:
            job.done(error)


def _sample(scores: torch.Tensor, jobs: list[Job]) -> tuple[list[int], list[float]]:
    """Return one token and its log-probability (nats, untempered) per row of `scores` [B, V]."""
    sampled = scores.argmax(dim=-1).tolist()
    for index, job in enumerate(jobs):
        allowed = job.allowed_ids()
        if allowed is not None:
            choices = torch.tensor(allowed)
            sampled[index] = allowed[int(scores[index, choices].argmax())]
        elif job.limits.temperature > 0:
            sampled[index] = _draw(scores[index], job)
    chosen = scores[torch.arange(len(jobs)), torch.tensor(sampled)]
    log_probs = chosen.float() - scores.float().logsumexp(dim=-1)
    return sampled, log_probs.tolist()


def _draw(scores: torch.Tensor, job: Job) -> int:
    """Sample one token at the job's temperature, repeatable by its seed."""
    generator = torch.Generator().manual_seed(job.limits.seed + len(job.token_ids))
    weights = (scores.float() / job.limits.temperature).softmax(dim=-1)
    return int(torch.multinomial(weights, 1, generator=generator))
