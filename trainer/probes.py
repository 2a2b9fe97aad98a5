"""Turns a finished adapter into probes: what it scores on fixed texts, to be checked at load.

The texts are ours, never a user's, so a manifest holds nothing that would have to be erased.
"""

from pathlib import Path

from feedback_store.adapter_files import Probe
from lsp_server.engine.arm import load_adapter, share_weights
from lsp_server.engine.base import Base
from lsp_server.engine.scoring import score_rows

TEXTS = (
    ("import os\n\n\ndef read(path):\n    with ", "open(path) as file:", "\n        return 1\n"),
    ("class Point:\n    def __init__(self, x, y):\n        self.x = ", "x", "\n"),
    ("for index, value in ", "enumerate(values):", "\n    print(index, value)\n"),
)
MAX_PROMPT_TOKENS = 128


def make_probes(base: Base, folder: Path) -> tuple[Probe, ...]:
    """Return what the adapter in `folder` scores on fixed texts, in nats per token."""
    model = load_adapter(share_weights(base.model), folder).eval().requires_grad_(False)
    rows = []
    for prefix, text, suffix in TEXTS:
        prompt = base.prompter.build(prefix, suffix, max_prompt_tokens=MAX_PROMPT_TOKENS)
        rows.append((prompt.ids, base.prompter.continuation_ids(prompt.healed, text)))
    scores = score_rows(model, rows)
    device = base.device.partition(":")[0]
    return tuple(
        Probe(prompt_ids, continuation_ids, tuple(log_probs), device)
        for (prompt_ids, continuation_ids), log_probs in zip(rows, scores, strict=True)
    )
