"""Turns single sequences into batch rows, and finished rows into reusable prefixes.

`RowCache` holds the keys and values of the sequences that decode together, one row each;
`PrefixStore` keeps copies of finished ones, so that a prompt that shares its beginning with an
earlier prompt is not computed again. One of each per arm: entries never mix two adapters.
This module knows nothing of requests, sampling or text.
"""

import inspect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Cache

ROW_STEP = 4
SLOT_STEP = 128
MIN_SHARED_TOKENS = 8

Layers = list[tuple[torch.Tensor, torch.Tensor]]  # per layer keys, values [kv_heads, T, head_dim]


def cache_argument(model: torch.nn.Module) -> str:
    """Return what `forward` calls its cache: transformers 5.24 renamed it, model by model."""
    known = inspect.signature(model.forward).parameters
    return "cache" if "cache" in known else "past_key_values"


class RowCache(Cache):  # type: ignore[misc]
    """Keys and values of all active rows: per layer [rows, kv_heads, slots, head_dim].

    Before each forward pass `aim` says which rows and slots the new tokens go to. Slots beyond a
    row's length hold zeros or stale numbers; the attention mask hides them.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._row = self._num_rows = self._start = self._end = 0
        self._slots: torch.Tensor | None = None

    def aim_prefill(self, row: int, start: int, end: int) -> None:
        """Point at slots `start:end` of one row: the next pass computes one sequence."""
        self._row, self._num_rows, self._start, self._end = row, 1, start, end
        self._slots = None

    def aim_decode(self, lengths: Sequence[int]) -> None:
        """Point at the next slot of rows 0..n-1, whose present lengths are given."""
        self._row, self._num_rows, self._end = 0, len(lengths), max(lengths) + 1
        self._slots = torch.tensor(lengths)

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new keys and values of one layer; return all that the rows see."""
        self._reserve(layer_idx, keys, values)
        all_keys, all_values = self._keys[layer_idx], self._values[layer_idx]
        rows = slice(self._row, self._row + self._num_rows)
        if self._slots is None:
            all_keys[rows, :, self._start : self._end] = keys
            all_values[rows, :, self._start : self._end] = values
        else:
            index = torch.arange(self._num_rows, device=keys.device)
            slots = self._slots.to(keys.device)
            all_keys[index, :, slots] = keys[:, :, 0]
            all_values[index, :, slots] = values[:, :, 0]
        return all_keys[rows, :, : self._end], all_values[rows, :, : self._end]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the length seen so far (the mask is ours, so transformers only logs it)."""
        return self._start

    def copy_out(self, row: int, length: int) -> Layers:
        """Return copies of the first `length` slots of a row."""
        return [
            (keys[row, :, :length].clone(), values[row, :, :length].clone())
            for keys, values in zip(self._keys, self._values, strict=True)
        ]

    def copy_in(self, row: int, layers: Layers, length: int) -> None:
        """Fill the first `length` slots of a row."""
        for index, (keys, values) in enumerate(layers):
            self._grow(index, row + 1, length, keys[None], values[None])
            self._keys[index][row, :, :length] = keys[:, :length]
            self._values[index][row, :, :length] = values[:, :length]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row over another, so that the active rows stay together."""
        for stored in (*self._keys, *self._values):
            stored[target, :, :length] = stored[source, :, :length]

    def release(self) -> None:
        """Give the memory back."""
        self._keys, self._values = [], []

    def _reserve(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        self._grow(layer, self._row + self._num_rows, self._end, keys, values)

    def _grow(
        self, layer: int, rows: int, slots: int, keys: torch.Tensor, values: torch.Tensor
    ) -> None:
        if layer == len(self._keys):
            self._keys.append(keys.new_zeros(0, keys.shape[1], 0, keys.shape[3]))
            self._values.append(values.new_zeros(0, values.shape[1], 0, values.shape[3]))
        for stored in (self._keys, self._values):
            old = stored[layer]
            if old.shape[0] < rows or old.shape[2] < slots:
                shape = (
                    max(old.shape[0], _round_up(rows, ROW_STEP)),
                    old.shape[1],
                    max(old.shape[2], _round_up(slots, SLOT_STEP)),
                    old.shape[3],
                )
                new = old.new_zeros(shape)
                new[: old.shape[0], :, : old.shape[2]] = old
                stored[layer] = new


@dataclass(frozen=True)
class StoredPrefix:
    """The tokens of a finished sequence with the keys and values that they gave."""

    tokens: tuple[int, ...]
    layers: Layers


class PrefixStore:
    """Finished sequences, least recently used first out, at most `max_tokens` tokens in all."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._entries: OrderedDict[tuple[int, ...], StoredPrefix] = OrderedDict()
        self._num_tokens = 0

    def find(self, tokens: Sequence[int]) -> tuple[StoredPrefix | None, int]:
        """Return the entry that shares most with `tokens`, and how many tokens it shares."""
        wanted = tuple(tokens)
        best: StoredPrefix | None = None
        shared = MIN_SHARED_TOKENS - 1
        for entry in self._entries.values():
            if entry.tokens[: shared + 1] == wanted[: shared + 1]:
                length = num_shared(entry.tokens, wanted)
                if length > shared:
                    best, shared = entry, length
        if best is None:
            return None, 0
        self._entries.move_to_end(best.tokens)
        return best, shared

    def put(self, entry: StoredPrefix) -> None:
        """Keep an entry; one that it extends is dropped, as are the oldest beyond the budget."""
        for tokens in [t for t in self._entries if entry.tokens[: len(t)] == t]:
            self._drop(tokens)
        self._entries[entry.tokens] = entry
        self._num_tokens += len(entry.tokens)
        while self._num_tokens > self._max_tokens and len(self._entries) > 1:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._num_tokens = 0

    def _drop(self, tokens: tuple[int, ...]) -> None:
        del self._entries[tokens]
        self._num_tokens -= len(tokens)


def num_shared(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Return the length of the common beginning, by bisection over slices (compared in C)."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
