"""Turns the byte stream of a JSON-RPC peer into message bodies, and back.

A header that cannot be read is skipped and the stream is found again at the next good one, so one
broken message costs only itself. This module knows nothing of JSON or of LSP.
"""

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator

MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
_CHUNK_BYTES = 256 * 1024
_END_OF_HEADER = b"\r\n\r\n"
# Anywhere in the line: behind a broken message its leftovers stand before the next header.
_LENGTH = re.compile(rb"content-length:[ \t]*(\d{1,12})[ \t]*(?=\r\n|$)", re.IGNORECASE)


class Frames:
    """An incremental parser of `Content-Length` framed messages."""

    def __init__(self) -> None:
        """Start with an empty buffer."""
        self._buffer = bytearray()
        self._length: int | None = None
        self._searched = 0
        self.num_skipped = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the bodies that are now complete."""
        self._buffer += data
        bodies = []
        while (body := self._next()) is not None:
            bodies.append(body)
        return bodies

    def _next(self) -> bytes | None:
        while self._length is None:
            if not self._read_header():
                return None
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length, self._searched = None, 0
        return body

    def _read_header(self) -> bool:
        end = self._buffer.find(_END_OF_HEADER, max(0, self._searched - 3))
        if end < 0:
            self._searched = len(self._buffer)
            if len(self._buffer) > MAX_HEADER_BYTES:
                # No header is this long. Keep the last bytes: a good one may begin in them.
                del self._buffer[:-1024]
                self._searched = 0
                self.num_skipped += 1
            return False
        lengths = _LENGTH.findall(bytes(self._buffer[:end]))
        del self._buffer[: end + len(_END_OF_HEADER)]
        self._searched = 0
        if lengths and int(lengths[-1]) <= MAX_BODY_BYTES:
            self._length = int(lengths[-1])
        else:
            self.num_skipped += 1
        return True


def framed(body: bytes) -> bytes:
    """Return `body` with its header, ready to be written."""
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


async def bodies_of(descriptor: int, frames: Frames) -> AsyncIterator[bytes]:
    """Yield message bodies from a file descriptor until it ends.

    A daemon thread reads: pipes cannot be read asynchronously on every platform, and a blocked
    read must not keep the process alive. It reads the descriptor itself, because Python aborts
    when a thread holds the lock of a buffered stream at the end of the process.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def pump() -> None:
        try:
            while data := os.read(descriptor, _CHUNK_BYTES):
                for body in frames.feed(data):
                    loop.call_soon_threadsafe(queue.put_nowait, body)
            loop.call_soon_threadsafe(queue.put_nowait, None)
        except (RuntimeError, OSError):
            return  # the loop or the descriptor was closed: the process is on its way out

    threading.Thread(target=pump, name="stdin", daemon=True).start()
    while (body := await queue.get()) is not None:
        yield body
