"""Turns a safetensors file into its tensor names, or says what is wrong with it. No torch.

Reads the header by the format's own specification (eight bytes of length, JSON, raw values) and
the values in pieces, so that the size of a file costs no memory. Knows nothing of adapters.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from feedback_store.errors import AdapterError

_MAX_HEADER_BYTES = 100_000_000  # the limit of the format
_PIECE_BYTES = 1 << 22
# How to see infinity and NaN in each kind: all bits of the exponent are set.
_KINDS: dict[str, tuple[np.dtype[Any], int]] = {
    "F64": (np.dtype("<u8"), 0x7FF0_0000_0000_0000),
    "F32": (np.dtype("<u4"), 0x7F80_0000),
    "F16": (np.dtype("<u2"), 0x7C00),
    "BF16": (np.dtype("<u2"), 0x7F80),
}


@dataclass(frozen=True)
class _Tensor:
    name: str
    kind: str
    start: int  # bytes into the file
    end: int


def check_tensors(path: Path) -> tuple[str, ...]:
    """Return the tensor names of `path`, in the order of the file.

    AdapterError when the file is torn, is no safetensors file, holds values that are not floating
    point, or holds a NaN or an infinity.
    """
    try:
        with path.open("rb") as file:
            tensors = _read_header(file, path)
            for tensor in tensors:
                _check_finite(file, tensor, path)
    except OSError as error:
        raise AdapterError(f"{path}: cannot be read ({error.strerror})") from error
    return tuple(tensor.name for tensor in tensors)


def _read_header(file: BinaryIO, path: Path) -> list[_Tensor]:
    size = path.stat().st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
        raise AdapterError(f"{path}: torn, or not a safetensors file (header of {length} bytes)")
    try:
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors = [_tensor(name, entry, 8 + length) for name, entry in header.items()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise AdapterError(f"{path}: not a safetensors file (bad header: {error})") from error
    tensors.sort(key=lambda tensor: tensor.start)
    if not tensors:
        raise AdapterError(f"{path}: holds no tensors")
    ends = [8 + length, *(tensor.end for tensor in tensors)]
    if any(tensor.start != end for tensor, end in zip(tensors, ends, strict=False)):
        raise AdapterError(f"{path}: torn (its tensors overlap or leave gaps)")
    if ends[-1] != size:
        raise AdapterError(f"{path}: torn ({size} bytes, its header promises {ends[-1]})")
    return tensors


def _tensor(name: str, entry: dict[str, Any], offset: int) -> _Tensor:
    kind, (start, end) = entry["dtype"], entry["data_offsets"]
    if kind not in _KINDS:
        raise ValueError(f"tensor {name} is {kind}, not floating point")
    if not all(isinstance(number, int) and number >= 0 for number in (start, end, *entry["shape"])):
        raise ValueError(f"tensor {name} has an impossible place or shape")
    if end - start != math.prod(entry["shape"]) * _KINDS[kind][0].itemsize:
        raise ValueError(f"tensor {name} has {end - start} bytes for shape {entry['shape']}")
    return _Tensor(name, kind, offset + start, offset + end)


def _check_finite(file: BinaryIO, tensor: _Tensor, path: Path) -> None:
    dtype, exponent = _KINDS[tensor.kind]
    bits = dtype.type(exponent)
    for start, end in _pieces(tensor):
        file.seek(start)
        values = np.frombuffer(file.read(end - start), dtype=dtype)
        bad = np.flatnonzero((values & bits) == bits)
        if bad.size:
            index = (start - tensor.start) // dtype.itemsize + int(bad[0])
            raise AdapterError(f"{path}: tensor {tensor.name} is NaN or infinite at value {index}")


def _pieces(tensor: _Tensor) -> Iterator[tuple[int, int]]:
    cuts = [*range(tensor.start, tensor.end, _PIECE_BYTES), tensor.end]
    yield from pairwise(cuts)
