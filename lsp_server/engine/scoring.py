"""Turns (prompt, continuation) rows into log-probabilities of the continuation's tokens.

Teacher forcing over whole rows, padded on the right. Used to probe an arm before it serves and to
evaluate candidates; it knows nothing of adapters or text.
"""

from collections.abc import Iterator, Sequence

import torch

Row = tuple[Sequence[int], Sequence[int]]


@torch.inference_mode()
def score_rows(
    model: torch.nn.Module, rows: Sequence[Row], *, batch_tokens: int = 8192
) -> list[list[float]]:
    """Return, per row, the log-probability in nats of each continuation token, in its order.

    `rows` are (prompt ids, continuation ids), neither empty. Batches hold rows of similar length,
    at most `batch_tokens` tokens with padding.
    """
    device = next(model.parameters()).device
    results: list[list[float]] = [[] for _ in rows]
    for batch in _batches(rows, batch_tokens):
        width = max(len(rows[i][0]) + len(rows[i][1]) for i in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.zeros(len(batch), width, dtype=torch.long)
        for line, i in enumerate(batch):
            tokens = [*rows[i][0], *rows[i][1]]
            ids[line, : len(tokens)] = torch.tensor(tokens)
            mask[line, : len(tokens)] = 1
        keep = width - min(len(rows[i][0]) for i in batch) + 1
        logits = model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            logits_to_keep=keep,
            use_cache=False,
        ).logits.float()
        first = width - logits.shape[1]  # the position of the first row of logits
        for line, i in enumerate(batch):
            start, length = len(rows[i][0]), len(rows[i][1])
            scores = logits[line, start - 1 - first : start - 1 - first + length]
            targets = torch.tensor(rows[i][1], device=device)
            results[i] = scores.log_softmax(-1).gather(1, targets[:, None])[:, 0].tolist()
    return results


def _batches(rows: Sequence[Row], batch_tokens: int) -> Iterator[list[int]]:
    """Yield indices of rows, longest first, so that a batch never outgrows its first row."""
    lengths = [len(prompt) + len(continuation) for prompt, continuation in rows]
    batch: list[int] = []
    width = 0
    for i in sorted(range(len(rows)), key=lambda i: -lengths[i]):
        width = width or lengths[i]
        if batch and (len(batch) + 1) * width > batch_tokens:
            yield batch
            batch, width = [], lengths[i]
        batch.append(i)
    if batch:
        yield batch
