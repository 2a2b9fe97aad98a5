"""Turns a prompt and its limits into a job: one generation under way, with its text so far.

A job owns what one sequence needs to know of itself: which tokens it may sample next, what they
spell, when it ends. It knows nothing of models, batches or threads.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from lsp_server.engine.healing import Spelling
from lsp_server.engine.stopping import StopRule

FinishReason = Literal["stop", "end", "length"]


@dataclass(frozen=True)
class Limits:
    """What bounds and steers one generation; temperature 0 is greedy."""

    rule: StopRule | None
    max_new_tokens: int
    end_ids: frozenset[int]
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Generation:
    """One finished generation.

    `token_ids` start at the healed piece and spell it plus `text`, except that a last token may
    reach beyond `text` where a stop rule cut inside it; `log_probs` (nats, under the untempered
    model) belong to `token_ids` one to one.
    """

    text: str
    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    finish_reason: FinishReason
    num_cached_tokens: int = 0
    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(eq=False)
class Job:
    """A generation under way. `done` is called once, from the arm's thread, with the result."""

    job_id: str
    prompt_ids: tuple[int, ...]
    owed: bytes  # what is left of the healed piece
    limits: Limits
    spelling: Spelling
    done: Callable[["Generation | BaseException"], None]
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    num_cached_tokens: int = 0
    cancelled: bool = False
    submitted_at: float = field(default_factory=time.perf_counter)
    started_at: float = 0.0
    decoding_at: float = 0.0
    _spelled: bytes = b""

    def allowed_ids(self) -> tuple[int, ...] | None:
        """Return the only tokens that may come next, or None while all may."""
        return self.spelling.allowed(self.owed) or None if self.owed else None

    def take(self, token_id: int, log_prob: float) -> Generation | None:
        """Add one sampled token; return the finished generation when it was the last."""
        if token_id in self.limits.end_ids:
            return self._finish("end", None)
        self.token_ids.append(token_id)
        self.log_probs.append(log_prob)
        spelled = self.spelling.bytes_of(token_id)
        healed = min(len(spelled), len(self.owed))
        self.owed = self.owed[healed:]
        self._spelled += spelled[healed:]
        rule = self.limits.rule
        end = rule.end_of(self._text()) if rule and not self.owed else None
        if end is not None:
            return self._finish("stop", end)
        if len(self.token_ids) >= self.limits.max_new_tokens:
            return self._finish("length", None)
        return None

    def _text(self) -> str:
        return self._spelled.decode("utf-8", errors="ignore")

    def _finish(self, reason: FinishReason, end: int | None) -> Generation:
        text = self._text()
        kept = len(self.token_ids)
        if end is not None:
            surplus = len(text[end:].encode())
            text = text[:end]
            while kept and (size := self._num_bytes(kept - 1)) <= surplus:
                surplus -= size
                kept -= 1
        now = time.perf_counter()
        return Generation(
            text=text,
            token_ids=tuple(self.token_ids[:kept]),
            log_probs=tuple(self.log_probs[:kept]),
            finish_reason=reason,
            num_cached_tokens=self.num_cached_tokens,
            queue_ms=1e3 * (self.started_at - self.submitted_at),
            prefill_ms=1e3 * (self.decoding_at - self.started_at),
            decode_ms=1e3 * (now - self.decoding_at),
        )

    def _num_bytes(self, index: int) -> int:
        return len(self.spelling.bytes_of(self.token_ids[index]))
