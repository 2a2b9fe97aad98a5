"""Turns adapter directories into tar files and back, refusing whatever an adapter never is.

A tar file may come from anywhere: it is read member by member, only plain files of one flat
directory are taken, and nothing is written outside the folder named. Knows nothing of manifests.
"""

import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from feedback_store.errors import AdapterError

MAX_BYTES = 2 * 1024**3  # of a tar file, and of what it holds
MAX_FILES = 100
_MAX_HEADER_BYTES = 64 * 1024
_MAX_IN_MEMORY = 16 * 1024 * 1024
_PIECE_BYTES = 1 << 20
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
_LONG = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
         tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)  # fmt: skip


def pack(directory: Path) -> IO[bytes]:
    """Return a tar file of the whole directory, ready to be read; small ones stay in memory."""
    file = tempfile.SpooledTemporaryFile(_MAX_IN_MEMORY)  # noqa: SIM115 - closed once it is sent
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.add(directory, directory.name)
    file.seek(0)
    return file


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Read a file to its end in pieces, then close it."""
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def unpack(file: IO[bytes], directory: Path) -> None:
    """Write the files of a tar file, flat or inside one folder, into an empty `directory`.

    AdapterError, naming the member, for links, devices, paths that lead elsewhere, folders in
    folders, names twice, too much of anything, and for what is torn or no tar file.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar:
            folders: set[str] = set()
            num_bytes = num_files = 0
            for member in tar:
                name = _name(member, folders)
                if name is None:
                    continue
                num_files, num_bytes = num_files + 1, num_bytes + member.size
                if num_files > MAX_FILES or num_bytes > MAX_BYTES:
                    raise AdapterError(
                        f"the tar file holds more than {MAX_FILES} files, or {MAX_BYTES} bytes"
                    )
                _write(tar, member, directory / name)
    except (tarfile.TarError, EOFError, ValueError, UnicodeError) as error:
        raise AdapterError(f"torn, or not a tar file ({error})") from error
    if not num_files:
        raise AdapterError("the tar file holds no files")


class _Header(tarfile.TarInfo):
    """Refuses extended headers that would fill the memory before anything else is known."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        found = super().frombuf(buf, encoding, errors)
        if found.type in _LONG and found.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {found.size} bytes")
        return found


def _name(member: tarfile.TarInfo, folders: set[str]) -> str | None:
    """Return the file name of a member, None for the folder around them all."""
    told = repr(member.name[:200])
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or any(c in member.name for c in "\\:\0"):
        raise AdapterError(f"the tar file's {told} leads out of the adapter's folder")
    if not member.isdir() and member.type not in _PLAIN:
        raise AdapterError(
            f"the tar file's {told} is a link, a device or sparse: only plain files are taken"
        )
    *around, name = path.parts or ("",)
    if member.isdir():
        around, name = [*path.parts], ""
    folders |= {"/".join(around)} if around or name else set()
    if len(around) > 1 or len(folders) > 1:
        raise AdapterError(f"the tar file's {told}: an adapter is one folder of files")
    return name or None


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise AdapterError(f"the tar file's {member.name!r} holds nothing")
    try:
        with target.open("xb") as file:
            for piece in pieces(source):
                file.write(piece)
    except FileExistsError as error:
        raise AdapterError(f"the tar file has {member.name!r} twice") from error
    if target.stat().st_size != member.size:
        raise AdapterError(f"torn: the tar file ends inside {member.name!r}")
