"""Turns two hidden states into how far one model's next tokens strayed from the other's, in nats.

Knows nothing of trainers, rows or adapters.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import kl_div

from lsp_server.engine.errors import ModelError

TOKENS_AT_ONCE = 256  # over whose vocabulary the divergence is summed
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


class Divergence(torch.autograd.Function):
    """KL(theirs || ours), nats summed over tokens, of two hidden states (tokens x width) each.

    The head is frozen, so the gradient is made on the way, some tokens at a time: logits over a
    large vocabulary are never kept.
    """

    @staticmethod
    def forward(ctx: Any, ours: torch.Tensor, theirs: torch.Tensor, head: Head) -> torch.Tensor:
        gradient, total = torch.empty_like(ours), ours.new_zeros((), dtype=torch.float32)
        for begin in range(0, len(ours), TOKENS_AT_ONCE):
            part = slice(begin, begin + TOKENS_AT_ONCE)
            old = head(theirs[part]).log_softmax(-1)
            with torch.enable_grad():
                states = ours[part].detach().requires_grad_()
                new = head(states).log_softmax(-1)
                strayed = kl_div(new, old, reduction="sum", log_target=True)
            (gradient[part],) = torch.autograd.grad(strayed, states)
            total += strayed.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return slopes[0].to(gradient.dtype) * gradient, None, None
