"""Frames: every body of a good stream arrives, and a broken message costs only itself."""

from hypothesis import given
from hypothesis import strategies as st

from lsp_server.editor.stdio import MAX_HEADER_BYTES, Frames, framed


def check(stream: bytes, expected: list[bytes], num_skipped: int = 0) -> None:
    whole, bytewise = Frames(), Frames()
    assert whole.feed(stream) == expected
    assert [body for byte in stream for body in bytewise.feed(bytes([byte]))] == expected
    assert whole.num_skipped == bytewise.num_skipped == num_skipped


@given(st.lists(st.binary(max_size=300)), st.integers(1, 50))
def test_bodies_survive_any_cut(bodies: list[bytes], size: int) -> None:
    stream = b"".join(framed(body) for body in bodies)
    frames, found = Frames(), []
    for at in range(0, len(stream), size):
        found += frames.feed(stream[at : at + size])
    assert found == bodies


def test_headers_as_clients_write_them() -> None:
    check(b"content-length:2\r\n\r\n{}", [b"{}"])
    check(b"Content-Type: x; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}", [b"{}"])
    check(b"Content-Length: 2\r\nContent-Type: x\r\n\r\n{}", [b"{}"])
    check(b"Content-Length: 0\r\n\r\n" + framed(b"{}"), [b"", b"{}"])


def test_a_broken_header_costs_one_message() -> None:
    check(b"Content-Length: many\r\n\r\n{}" + framed(b"[1]"), [b"[1]"], 1)
    check(b"Content-Length: -3\r\n\r\n{}" + framed(b"[1]"), [b"[1]"], 1)
    check(b"no header at all\r\n\r\n" + framed(b"[1]"), [b"[1]"], 1)
    check(b"Content-Length: 999999999999\r\n\r\n{}" + framed(b"[1]"), [b"[1]"], 1)


def test_a_body_longer_than_its_header_says_costs_one_message() -> None:
    check(b"Content-Length: 2\r\n\r\n{}, more" + framed(b"[1]"), [b"{}", b"[1]"])


def test_noise_without_end_is_not_kept() -> None:
    frames = Frames()
    for _ in range(50):
        assert frames.feed(b"x" * MAX_HEADER_BYTES) == []
    assert frames.feed(framed(b"[1]")) == [b"[1]"]
