"""Turns hidden states into what SFT pays: for tokens to be learned, and for straying from the base.

Knows nothing of trainers, rows or adapters.
"""

from dataclasses import dataclass
from typing import Any

import torch

from lsp_server.engine.errors import ModelError

TOKENS_AT_ONCE = 256  # over whose vocabulary the loss is summed
MAX_OFF_NATS = 0.1  # on average; half precision alone is off by less


@dataclass(frozen=True)
class Head:
    """A model's way from hidden states (tokens x width) to scores over its vocabulary.

    Some families multiply what the output layer gives (Cohere), divide it (Granite) or cap it
    (Gemma 2), which their configurations tell.
    """

    layer: torch.nn.Module
    factor: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, model: Any) -> "Head":
        """Return the head of a causal model; ModelError where its scores come about otherwise."""
        config = model.config.get_text_config()
        factor = getattr(config, "logit_scale", None) or 1.0
        factor /= getattr(config, "logits_scaling", None) or 1.0
        cap = getattr(config, "final_logit_softcapping", None)
        head = cls(model.get_output_embeddings(), factor, cap)
        head._check(model)
        return head

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return logits (tokens x vocabulary), float32."""
        logits = self.layer(states).float()
        if self.factor != 1.0:
            logits = logits * self.factor
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    @torch.no_grad()
    def _check(self, model: Any) -> None:
        ids = torch.arange(8, device=model.device)[None]
        states = model.base_model(ids, use_cache=False).last_hidden_state[0]
        scores = model(ids, use_cache=False).logits[0].float()
        off = (self(states).log_softmax(-1) - scores.log_softmax(-1)).abs().mean()
        if off > MAX_OFF_NATS:
            raise ModelError(
                f"how far `{model.config.model_type}` models stray from their base cannot be told: "
                "set train.kl_weight to 0"
            )


class HeldLoss(torch.autograd.Function):
    """-log p(label) + weight * KL(base || ours), nats summed over tokens.

    It takes two hidden states (tokens x width), ours and the base's, and labels (tokens). The head
    is frozen, so the gradient is made on the way, some tokens at a time: logits over a large
    vocabulary are made once and never kept. With p ours and q the base's, the slope by our logits
    is (1 + weight) p - onehot(label) - weight q.
    """

    @staticmethod
    def forward(
        ctx: Any,
        ours: torch.Tensor,
        theirs: torch.Tensor,
        labels: torch.Tensor,
        head: Head,
        weight: float,
    ) -> torch.Tensor:
        gradient, total = torch.empty_like(ours), ours.new_zeros((), dtype=torch.float32)
        for begin in range(0, len(ours), TOKENS_AT_ONCE):
            part = slice(begin, begin + TOKENS_AT_ONCE)
            old = head(theirs[part]).log_softmax(-1)
            with torch.enable_grad():
                states = ours[part].detach().requires_grad_()
                logits = head(states)
            new = logits.detach().log_softmax(-1)
            label = labels[part, None]
            base = old.exp()
            total -= new.gather(-1, label).sum()
            total += weight * torch.dot(base.flatten(), old.sub_(new).flatten())
            slope = new.exp_().mul_(1 + weight).sub_(base, alpha=weight)
            slope.scatter_add_(-1, label, slope.new_full(label.shape, -1.0))
            (gradient[part],) = torch.autograd.grad(logits, states, slope)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return slopes[0].to(gradient.dtype) * gradient, None, None, None, None
