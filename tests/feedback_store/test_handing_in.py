"""An adapter that is handed in becomes a candidate, or nothing of it stays."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from store_material import BASE_SHA256, fill_adapter, safetensors, sealed

from feedback_store import adapter_files, adapter_routes, adapter_tar, audit
from feedback_store.adapter_tar import unpack
from feedback_store.database import Database
from feedback_store.errors import AdapterError
from feedback_store.models import ErasedRow
from feedback_store.registry import Registry

TAR = {"Content-Type": adapter_routes.TAR_TYPE}


class Shelf:
    """A registry behind its routes, and what lies in its folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.registry = Registry(database, folder)
        app = FastAPI()
        app.include_router(adapter_routes.routes(self.registry, database, BASE_SHA256))
        self.client = TestClient(app)

    def put(self, sha256: str, body: bytes) -> httpx.Response:
        return self.client.put(f"/v1/adapters/{sha256}", content=body, headers=TAR)

    def refuses(self, sha256: str, body: bytes, *words: str, status: int = 422) -> None:
        """It is refused with these words, and nothing is left of it."""
        before = (self.registry.list(), self.registry.history(), self.left())
        answer = self.put(sha256, body)
        assert answer.status_code == status, answer.text
        for word in words:
            assert word in answer.json()["detail"]
        assert (self.registry.list(), self.registry.history(), self.left()) == before

    def left(self) -> set[str]:
        return {entry.name for entry in self.folder.iterdir() if entry.name != ".lock"}


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(database, tmp_path / "adapters")
    with made.client:
        yield made


def tar_of(folder: Path, name: str = "adapter", **format_: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **format_) as tar:  # type: ignore[call-overload]
        tar.add(folder, name)
    return file.getvalue()


def tar_with(folder: Path, *members: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """Return the adapter in `folder` with more members after it."""
    file = io.BytesIO(tar_of(folder))
    with tarfile.open(fileobj=file, mode="a") as tar:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, to
    return made


@pytest.mark.parametrize(
    "packed",
    [
        tar_of,
        lambda folder: tar_of(folder, "."),
        lambda folder: tar_of(folder, format=tarfile.GNU_FORMAT),
        lambda folder: tar_of(folder, "n" * 200),
    ],
)
def test_it_becomes_a_candidate_and_serves_nobody(
    shelf: Shelf, tmp_path: Path, packed: Callable[[Path], bytes]
) -> None:
    sha256 = sealed(tmp_path / "made")
    answer = shelf.put(sha256, packed(tmp_path / "made"))
    assert answer.status_code == 201, answer.text
    assert (answer.json()["sha256"], answer.json()["state"]) == (sha256, "candidate")
    assert shelf.registry.live() is None
    shelf.registry.verify(sha256)
    assert shelf.left() == {sha256}
    (line,) = audit.entries(shelf.database, 10)
    assert (line.who, line.action, line.subject) == (
        adapter_routes.NOBODY, "adapter registered", sha256,
    )  # fmt: skip
    assert "night-1" in line.reason


def test_twice_is_once_whatever_became_of_it(shelf: Shelf, tmp_path: Path) -> None:
    sha256 = sealed(tmp_path / "made")
    body = tar_of(tmp_path / "made")
    assert shelf.put(sha256, body).status_code == 201
    shelf.registry.promote(sha256, by="ada", reason="reads well")
    (shelf.folder / sha256 / adapter_files.WEIGHTS).unlink()
    again = shelf.put(sha256, body)
    assert (again.status_code, again.json()["state"]) == (200, "live")
    shelf.registry.verify(sha256)  # What was lost is there again.
    assert len(shelf.registry.list()) == 1


def test_what_the_host_sends_another_host_takes(shelf: Shelf, tmp_path: Path) -> None:
    sha256 = sealed(tmp_path / "made")
    shelf.put(sha256, tar_of(tmp_path / "made"))
    sent = shelf.client.get(f"/v1/adapters/{sha256}").content
    assert shelf.put(sha256, sent).status_code == 200


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (member("../../elsewhere.json"), "leads out"),
        (member("/etc/elsewhere.json"), "leads out"),
        (member("adapter/..\\elsewhere.json"), "leads out"),
        (member("C:elsewhere.json"), "leads out"),
        (member("adapter/inner/notes.txt"), "one folder of files"),
        (member("another/notes.txt"), "one folder of files"),
        (member("notes.txt"), "one folder of files"),
        (member("adapter/notes.txt", tarfile.SYMTYPE, "/etc/passwd"), "only plain files"),
        (member("adapter/notes.txt", tarfile.LNKTYPE, "adapter/manifest.json"), "only plain files"),
        (member("adapter/notes.txt", tarfile.FIFOTYPE), "only plain files"),
        (member("adapter/notes.txt", tarfile.CHRTYPE), "only plain files"),
        (member("adapter/notes.txt", tarfile.GNUTYPE_SPARSE), "only plain files"),
        (member("adapter/manifest.json"), "twice"),
        (member("adapter/notes.txt"), "not in the manifest"),
        (member("adapter/extra.bin"), "run code"),
        (member("adapter/run.py"), "run code"),
        (member("adapter/run.so"), "does not belong"),
    ],
)
def test_what_no_adapter_holds_is_refused(
    shelf: Shelf, tmp_path: Path, more: tarfile.TarInfo, words: str
) -> None:
    sha256 = sealed(tmp_path / "made")
    shelf.refuses(sha256, tar_with(tmp_path / "made", more), words)
    assert {entry.name for entry in tmp_path.iterdir()} <= {"made", "adapters", "hone.db",
        "hone.db-wal", "hone.db-shm", "hone.db.lock"}  # fmt: skip


def test_too_many_files_and_long_headers_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    sha256 = sealed(tmp_path / "made")
    many = [member(f"adapter/{number}.txt") for number in range(adapter_tar.MAX_FILES)]
    shelf.refuses(sha256, tar_with(tmp_path / "made", *many), "more than")
    shelf.refuses(sha256, tar_with(tmp_path / "made", member("n" * 70_000)), "header")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"not a tar file", "not a tar file"),
        (b"\0" * 20_000, "holds no files"),
        (bytes(range(256)) * 200, "not a tar file"),
    ],
)
def test_what_is_no_tar_file_is_refused(shelf: Shelf, body: bytes, words: str) -> None:
    shelf.refuses("a" * 64, body, words)


def test_a_torn_one_is_refused_wherever_it_ends(shelf: Shelf, tmp_path: Path) -> None:
    sha256 = sealed(tmp_path / "made")
    body = tar_of(tmp_path / "made")
    ends = len(body.rstrip(b"\0"))
    for length in (100, 512, 700, 1024, ends // 2, ends - 1):
        shelf.refuses(sha256, body[:length])
    assert shelf.put(sha256, body).status_code == 201


def spoilt_weights(folder: Path) -> None:
    path = folder / adapter_files.WEIGHTS
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\x80\x3f")


def not_finite(folder: Path) -> None:
    tensors = {"base_model.model.q_proj.lora_A.weight": ("F32", [1], b"\0\0\xc0\x7f")}
    (folder / adapter_files.WEIGHTS).write_bytes(safetensors(tensors))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoilt_weights, "torn or altered"),
        (not_finite, "torn or altered"),
        (lambda folder: (folder / adapter_files.LINEAGE).unlink(), "missing"),
        (lambda folder: (folder / adapter_files.MANIFEST).write_text("{}"), "another adapter"),
        (lambda folder: (folder / adapter_files.MANIFEST).unlink(), "missing"),
    ],
)
def test_wrong_hashes_are_refused(
    shelf: Shelf, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    sha256 = sealed(tmp_path / "made")
    spoil(tmp_path / "made")
    shelf.refuses(sha256, tar_of(tmp_path / "made"), words)


def test_another_id_or_another_base_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    sealed(tmp_path / "made")
    shelf.refuses("a" * 64, tar_of(tmp_path / "made"), "another adapter")
    fill_adapter(tmp_path / "foreign")
    sha256 = adapter_files.seal(
        tmp_path / "foreign", base_model="other", base_sha256="c" * 64, run_id="n", recipe={},
        probes=[],
    )  # fmt: skip
    shelf.refuses(sha256, tar_of(tmp_path / "foreign"), "trained on base other")


def test_one_trained_on_erased_work_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    gone = uuid4()
    sha256 = sealed(tmp_path / "made", lineage=(gone, uuid4()))
    with shelf.database.session() as session:
        session.execute(
            insert(ErasedRow), [{"completion_id": gone, "erased_at": datetime.now(UTC)}]
        )
    shelf.refuses(sha256, tar_of(tmp_path / "made"), "1 completions", "erased")


def test_a_barred_one_does_not_come_back(shelf: Shelf, tmp_path: Path) -> None:
    key = uuid4()
    sha256 = sealed(tmp_path / "made", lineage=(key,))
    body = tar_of(tmp_path / "made")
    shelf.put(sha256, body)
    with shelf.database.session() as session:
        shelf.registry.bar_trained_on(session, [key], by="erasure", reason="asked to")
    shelf.refuses(sha256, body, "must not serve: asked to", status=409)


def test_more_than_an_adapter_is_refused_as_it_comes(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_routes, "MAX_BYTES", 3_000_000)
    shelf.refuses("a" * 64, b" " * 3_000_001, "more than 3000000 bytes", status=413)


@pytest.mark.skipif(os.name != "posix" or not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr(shelf.registry, "spool", lambda: full)
        shelf.refuses("a" * 64, b" " * 100, "No space left", status=507)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_spoilt_byte_gets_past(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("adapter")
    sha256 = sealed(folder / "made")
    body = bytearray(tar_of(folder / "made"))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "out").mkdir()
    try:
        unpack(io.BytesIO(bytes(body)), folder / "out")
        adapter_files.check(folder / "out", expected_sha256=sha256)
    except AdapterError:
        pass
    else:  # Padding, times and owners mean nothing.
        for path in (folder / "made").iterdir():
            assert (folder / "out" / path.name).read_bytes() == path.read_bytes()
    assert {entry.name for entry in folder.iterdir()} == {"made", "out"}
