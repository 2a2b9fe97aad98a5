"""Turns short texts into sealed ones that only this host can have made, and back.

A sealed text can be read by whoever has it, but not changed, nor used after its time or for
another purpose. Signing is itsdangerous's. Knows nothing of what the texts mean.
"""

import hmac
import logging
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from itsdangerous import BadData, URLSafeSerializer

from feedback_store.errors import AccessError

KEY_BYTES = 32
Purpose = Literal["session", "form"]

_log = logging.getLogger(__name__)


class Seals:
    """The seals of one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._serializers = {
            purpose: URLSafeSerializer(key, salt=f"hone {purpose}")
            for purpose in ("session", "form")
        }

    def seal(self, purpose: Purpose, parts: Sequence[str], until_s: float) -> str:
        """Return `parts` sealed until `until_s`, in seconds since 1970; fit for a cookie."""
        sealed = self._serializers[purpose].dumps([int(until_s), *parts])
        return sealed if isinstance(sealed, str) else sealed.decode()

    def unseal(self, purpose: Purpose, sealed: str, now_s: float) -> tuple[str, ...] | None:
        """Return the parts, None when this is no seal of ours, or its time is over."""
        try:
            content = self._serializers[purpose].loads(sealed)
        except (BadData, ValueError):
            return None
        if not isinstance(content, list) or not content or not isinstance(content[0], int):
            return None
        until_s, *parts = content
        return tuple(map(str, parts)) if now_s < until_s else None

    def mark(self, secret: str) -> str:
        """Return what stands for `secret` in a sealed text, and does not let it be guessed."""
        return hmac.new(self._key, secret.encode(), "sha256").hexdigest()


def read_key(file: Path) -> bytes:
    """Return the key kept in `file`, which is made when it is missing or torn.

    Whoever has the key can log in as anybody, so only the owner may read the file.
    """
    try:
        if file.exists():
            file.chmod(0o600)
            key = file.read_bytes()
            if len(key) == KEY_BYTES:
                return key
            _log.warning("%s is torn and made anew: everybody has to log in again", file)
        return _make_key(file)
    except OSError as error:
        raise AccessError(
            f"the key {file} cannot be read or made ({error.strerror or error}): "
            "check its owner and rights"
        ) from error


def _make_key(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    descriptor, staging = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # 0600
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(stream.fileno())
    Path(staging).replace(file)
    return key
