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
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lsp_server.engine.drafting import Drafter
from lsp_server.engine.errors import EngineClosed, Superseded
from lsp_server.engine.jobs import Generation, Job
from lsp_server.engine.kv_cache import (
    PrefixStore,
    RowCache,
    StoredPrefix,
    cache_argument,
    num_shared,
)

PREFILL_CHUNK_TOKENS = 512  # between chunks a cancelled prompt is dropped
SMALL_PASS_OPERATIONS = 2_000_000  # multiplications of the largest matrix in one pass
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopConfig:
    """Sizes of one loop: rows decoded together, tokens of finished prefixes kept for reuse.

    `num_threads` None: as many as torch has now. Loops change torch's number as they work, so
    whoever starts several has to ask once, before the first.
    """

    max_batch: int = 16
    max_stored_tokens: int = 16_384
    num_threads: int | None = None


@dataclass(eq=False)
class Row:
    """One active sequence: `tokens` stand in the cache, `next_id` was sampled after them."""

    job: Job
    tokens: list[int]
    next_id: int
    previous: tuple[int, ...] = ()  # what followed the same beginning before
    drafter: Drafter | None = None  # made when the row decodes alone

    def drafts(self) -> list[int]:
        """Return guesses at what follows `next_id`; none while sampling or spelling."""
        if self.job.limits.temperature or self.job.owed:
            return []
        if self.drafter is None:
            self.drafter = Drafter(self.job.prompt_ids, self.previous)
        most = self.job.limits.max_new_tokens - len(self.job.token_ids) - 1
        return self.drafter.guess(self.tokens[-1], self.next_id, most)


class StepLoop:
    """Runs jobs on one model; `submit` and `cancel` may be called from any thread."""

    def __init__(self, model: torch.nn.Module, config: LoopConfig, name: str) -> None:
        self._model = model
        self._config = config
        self._device = next(model.parameters()).device
        self._cache = RowCache()
        self._cache_argument = cache_argument(model)
        self._store = PrefixStore(config.max_stored_tokens)
        self._rows: list[Row] = []
        self._waiting: deque[Job] = deque()
        self._wakes = threading.Condition()
        self._closed = False
        self._num_threads = config.num_threads or torch.get_num_threads()
        self._largest_matrix = max(
            (m.weight.numel() for n, m in model.named_modules() if _is_inner_linear(n, m)),
            default=0,
        )
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
        if len(self._rows) == 1:
            self._decode_alone(self._rows[0])
        elif self._rows:
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
        while len(self._rows) < self._config.max_batch and self._waiting:
            job = self._waiting[0]  # it stays there until it has a row: a drain counts both
            job.started_at = time.perf_counter()
            row = Row(job, [], job.prompt_ids[-1])
            scores = self._prefill(row)
            job.decoding_at = time.perf_counter()
            if scores is None:
                return  # cancelled: the next step drops it
            self._rows.append(row)
            self._waiting.popleft()
            self._take(len(self._rows) - 1, *_sample(scores, [job]))

    def _prefill(self, row: Row) -> torch.Tensor | None:
        """Fill the cache with the prompt, reusing what earlier ones share.

        Returns the scores [1, vocabulary] after its last token, or None when it was cancelled.
        """
        index, wanted = len(self._rows), row.job.prompt_ids
        row.tokens = list(wanted[: self._reuse(index, row)])
        row.job.num_cached_tokens = len(row.tokens)
        scores = None
        while (start := len(row.tokens)) < len(wanted):
            if row.job.cancelled:
                return None
            chunk = wanted[start : start + PREFILL_CHUNK_TOKENS]
            scores = self._extend(index, start, chunk)
            row.tokens += chunk
        return scores

    def _reuse(self, index: int, row: Row) -> int:
        """Copy the longest known beginning of a prompt into row `index`; return its length."""
        wanted = row.job.prompt_ids[:-1]
        stored, shared = self._store.find(wanted)
        if stored is not None:
            row.previous = stored.tokens[max(0, shared - 1) :]
        for other, active in enumerate(self._rows):
            if tuple(active.tokens[: shared + 1]) == wanted[: shared + 1] and shared < len(wanted):
                length = num_shared(tuple(active.tokens), wanted)
                stored = StoredPrefix(wanted, self._cache.copy_out(other, length))
                shared = length
        if stored is not None:
            self._cache.copy_in(index, stored.layers, shared)
        return shared

    def _decode_alone(self, row: Row) -> None:
        """Feed the only row its next token and guesses at what follows; keep what is right."""
        guesses = row.drafts()
        fed = [row.next_id, *guesses]
        scores = self._extend(0, len(row.tokens), fed, num_scores=len(fed))
        sampled, log_probs = _sample(scores, [row.job] * len(fed))
        num_right = 0
        for place, token in enumerate(fed):
            row.tokens.append(token)
            self._take(0, sampled[place : place + 1], log_probs[place : place + 1])
            if not self._rows or place == len(guesses) or guesses[place] != sampled[place]:
                break
            num_right += 1
        if row.drafter is not None and guesses:
            row.drafter.learn(num_right, len(guesses))

    def _extend(
        self, index: int, start: int, ids: Sequence[int], num_scores: int = 1
    ) -> torch.Tensor:
        """Compute `ids` at slots `start` and up of one row; return the last scores [n, V]."""
        end = start + len(ids)
        self._cache.aim_prefill(index, start, end)
        slots = torch.arange(end)
        mask = slots[None, :] <= slots[start:, None]
        logits = self._forward(
            torch.tensor([ids]), slots[None, start:], mask[None, None], num_scores
        )
        return logits[0]

    def _decode(self) -> None:
        """Feed every row its next token, sample one more each, end the rows that are finished."""
        lengths = [len(row.tokens) for row in self._rows]
        self._cache.aim_decode(lengths)
        positions = torch.tensor(lengths)[:, None]
        mask = torch.arange(max(lengths) + 1)[None, :] <= positions
        ids = torch.tensor([[row.next_id] for row in self._rows])
        scores = self._forward(ids, positions, mask[:, None, None])[:, -1]
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
        self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, num_scores: int = 1
    ) -> torch.Tensor:
        """Return the scores [rows, num_scores, vocabulary] after the last tokens of each row."""
        self._set_threads(ids.numel())
        output = self._model(
            input_ids=ids.to(self._device),
            position_ids=positions.to(self._device),
            attention_mask=mask.to(self._device),
            use_cache=True,
            logits_to_keep=num_scores,
            **{self._cache_argument: self._cache},
        )
        scores: torch.Tensor = output.logits.float().cpu()
        return scores

    def _set_threads(self, num_tokens: int) -> None:
        """Use one thread where a pass is so small that waking others costs more than it saves."""
        is_small = num_tokens * self._largest_matrix < SMALL_PASS_OPERATIONS
        num_threads = 1 if is_small else self._num_threads
        if torch.get_num_threads() != num_threads:
            torch.set_num_threads(num_threads)

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


def _is_inner_linear(name: str, module: torch.nn.Module) -> bool:
    """Whether a module is one of the many matrices of the layers (not the vocabulary's)."""
    return isinstance(module, torch.nn.Linear) and "lm_head" not in name


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
    log_probs = chosen - scores.logsumexp(dim=-1)
    return sampled, log_probs.tolist()


def _draw(scores: torch.Tensor, job: Job) -> int:
    """Sample one token at the job's temperature, repeatable by its seed."""
    generator = torch.Generator().manual_seed(job.limits.seed + len(job.token_ids))
    weights = (scores / job.limits.temperature).softmax(dim=-1)
    return int(torch.multinomial(weights, 1, generator=generator))
