"""Weights files: read as safetensors writes them, refused when torn or not finite."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from store_material import safetensors

from feedback_store.errors import AdapterError
from feedback_store.tensor_file import check_tensors

NAN, INFINITY = float("nan"), float("-inf")
FORMATS = {"F64": "<d", "F32": "<f", "F16": "<e"}


def packed(kind: str, values: list[float]) -> bytes:
    if kind == "BF16":  # the upper half of a float32
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return b"".join(struct.pack(FORMATS[kind], value) for value in values)


def check_refused(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    with pytest.raises(AdapterError, match=says) as caught:
        check_tensors(path)
    assert str(path) in str(caught.value)


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {"b": np.ones((3, 2), np.float16), "a": np.zeros((2,), np.float32)}
    save_file({**tensors, "none": np.zeros((0, 4), np.float32)}, path, metadata={"format": "pt"})
    assert set(check_tensors(path)) == {"a", "b", "none"}


@pytest.mark.parametrize("kind", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("bad", [NAN, INFINITY])
def test_every_kind_of_number_is_searched(tmp_path: Path, kind: str, bad: float) -> None:
    path = tmp_path / "w.safetensors"
    fine = packed(kind, [0.0, -1.5, 3.0e4])
    path.write_bytes(safetensors({"fine": (kind, [3], fine)}))
    assert check_tensors(path) == ("fine",)
    tensors = {"fine": (kind, [3], fine), "bad": (kind, [2, 2], packed(kind, [0, 1, 2, bad]))}
    check_refused(path, safetensors(tensors), "tensor bad is NaN or infinite at value 3")


def test_a_bad_value_deep_in_a_large_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    values = np.ones(3_000_000, np.float32)
    values[2_345_678] = np.nan
    save_file({"large": values}, path)
    with pytest.raises(AdapterError, match="at value 2345678"):
        check_tensors(path)


def test_torn_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    whole = safetensors({"a": ("F32", [2], packed("F32", [1, 2]))})
    for length in (0, 5, 8, 20, len(whole) - 1):
        check_refused(path, whole[:length], "torn|not a safetensors file")
    check_refused(path, whole + b"x", "torn")
    check_refused(path, b"\x80\x02}q\x00." * 100, "torn, or not a safetensors file")
    check_refused(path, safetensors({}), "holds no tensors")
    check_refused(path, safetensors({"a": ("I64", [1], b"\0" * 8)}), "is I64, not floating point")
    check_refused(path, safetensors({"a": ("F32", [3], b"\0" * 8)}), "8 bytes for shape")
    check_refused(path, safetensors({"a": ("F32", [-2], b"\0" * 8)}), "impossible place or shape")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="cannot be read"):
        check_tensors(tmp_path / "none")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_content_gets_past_as_an_unexpected_error(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(safetensors({"a": ("F32", [2], packed("F32", [1, 2]))}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "w.safetensors"
    path.write_bytes(whole)
    try:
        names = check_tensors(path)
    except AdapterError:
        names = ()
    assert len(names) <= 1
