"""Sealed texts: only this key makes them, for one purpose, until their time is over."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store.errors import AccessError
from feedback_store.seals import KEY_BYTES, Seals, read_key

SEALS = Seals(b"k" * KEY_BYTES)
PARTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3)


@given(PARTS, st.integers(0, 2**40), st.floats(0, 2**41))
def test_what_was_sealed_comes_back_until_its_time(
    parts: list[str], until_s: int, now_s: float
) -> None:
    sealed = SEALS.seal("session", parts, until_s)
    assert set(sealed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    expected = tuple(parts) if now_s < until_s else None
    assert SEALS.unseal("session", sealed, now_s) == expected


@given(PARTS)
def test_another_key_or_purpose_opens_nothing(parts: list[str]) -> None:
    sealed = SEALS.seal("session", parts, 10)
    assert Seals(b"K" * KEY_BYTES).unseal("session", sealed, 0) is None
    assert SEALS.unseal("form", sealed, 0) is None


@given(st.data(), PARTS)
def test_no_changed_character_goes_unnoticed(data: st.DataObject, parts: list[str]) -> None:
    sealed = SEALS.seal("session", parts, 10)
    place = data.draw(st.integers(0, len(sealed) - 2))  # the last one has bits to spare
    other = data.draw(st.characters(exclude_categories=["Cs"]).filter(lambda c: c != sealed[place]))
    forged = sealed[:place] + other + sealed[place + 1 :]
    assert SEALS.unseal("session", forged, 0) is None


@given(st.text())
def test_nonsense_is_no_seal(text: str) -> None:
    assert SEALS.unseal("session", text, 0) is None


def test_a_mark_is_the_same_again_and_differs_by_key() -> None:
    assert SEALS.mark("hush") == SEALS.mark("hush") != SEALS.mark("Hush")
    assert SEALS.mark("hush") != Seals(b"K" * KEY_BYTES).mark("hush")


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "new" / "session.key"
    key = read_key(file)
    assert len(key) == KEY_BYTES
    file.chmod(0o644)
    assert read_key(file) == key
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_torn_key_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "session.key"
    file.write_bytes(b"short")
    assert len(read_key(file)) == KEY_BYTES
    assert read_key(file) == file.read_bytes()


def test_a_key_that_cannot_be_kept_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(AccessError, match="cannot be read or made") as caught:
        read_key(tmp_path / "data" / "session.key")
    assert "\n" not in str(caught.value)
