"""Turns token ids into the bytes they spell, and a healed piece into the tokens that may spell it.

Byte-level BPE tokens may end inside a UTF-8 character, so spelling is done in bytes. Token healing
follows the idea of guidance's token healing: back up over the last piece of the prompt and allow
only tokens that agree with it. This module knows nothing of models; it holds one small tensor-free
index per tokenizer.
"""

import bisect
import json
import re
from collections.abc import Sequence
from functools import lru_cache

from tokenizers import Tokenizer


class Spelling:
    """The bytes of every token of one tokenizer; control tokens spell nothing."""

    def __init__(self, tokenizer: Tokenizer, control_ids: frozenset[int]) -> None:
        is_byte_level = _is_byte_level(tokenizer)
        spell = _byte_level if is_byte_level else _metaspace
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        self._bytes = {token_id: spell(token) for token, token_id in vocabulary.items()}
        if is_byte_level:  # added tokens are written as they are
            for token_id, added in tokenizer.get_added_tokens_decoder().items():
                self._bytes[token_id] = added.content.encode()
        self._bytes |= dict.fromkeys(control_ids, b"")
        pairs = sorted((spelled, i) for i, spelled in self._bytes.items() if spelled)
        self._sorted_bytes = [spelled for spelled, _ in pairs]
        self._sorted_ids = [token_id for _, token_id in pairs]
        self._ids_of: dict[bytes, list[int]] = {}
        for spelled, token_id in pairs:
            self._ids_of.setdefault(spelled, []).append(token_id)
        self.allowed = lru_cache(maxsize=4096)(self._allowed)

    def bytes_of(self, token_id: int) -> bytes:
        """Return the bytes that one token spells."""
        return self._bytes.get(token_id, b"")

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text of a token sequence; a torn last character is left out."""
        return b"".join(map(self.bytes_of, ids)).decode("utf-8", errors="ignore")

    def _allowed(self, owed: bytes) -> tuple[int, ...]:
        """Return the tokens that start with `owed`; if it is none, its longest beginning too.

        Shorter ones could be followed by tokens that spell the rest, but as no tokenizer spells it
        and no model has seen it: after a likely line break, eight spaces would be owed that never
        stand alone.
        """
        low = bisect.bisect_left(self._sorted_bytes, owed)
        high = low
        while high < len(self._sorted_bytes) and self._sorted_bytes[high].startswith(owed):
            high += 1
        whole = self._sorted_ids[low:high]
        if owed in self._ids_of:
            return tuple(whole)
        beginnings = (self._ids_of.get(owed[:end]) for end in range(len(owed) - 1, 0, -1))
        return (*whole, *next(filter(None, beginnings), []))


def _is_byte_level(tokenizer: Tokenizer) -> bool:
    decoder = json.loads(tokenizer.to_str()).get("decoder") or {}
    kinds = {decoder.get("type")} | {d.get("type") for d in decoder.get("decoders", [])}
    return "ByteLevel" in kinds


@lru_cache(maxsize=1)
def _byte_of_character() -> dict[str, int]:
    """Return the inverse of GPT-2's map from bytes to printable characters."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + index): byte for index, byte in enumerate(others)}


def _byte_level(token: str) -> bytes:
    table = _byte_of_character()
    if all(character in table for character in token):
        return bytes(table[character] for character in token)
    return token.encode()  # an added token, written as plain text


def _metaspace(token: str) -> bytes:
    if match := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token):
        return bytes([int(match[1], 16)])
    return token.replace("▁", " ").encode()
