"""Adapter directories: sealed once, checked ever after."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from store_material import BASE_SHA256, fill_adapter, safetensors, sealed

from feedback_store import adapter_files
from feedback_store.adapter_files import Probe, check, seal
from feedback_store.errors import AdapterError

Harm = Callable[[Path], object]


def reseal(folder: Path) -> None:
    """Let the manifest vouch for what was changed, as a forger would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    names = {entry.name for entry in folder.iterdir()} - {"manifest.json"}
    manifest["files"] = {name: adapter_files.hash_file(folder / name) for name in names}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit_manifest(**changes: object) -> Harm:
    def harm(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def write(name: str, content: bytes, *, vouched: bool = True) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).write_bytes(content)
        if vouched:
            reseal(folder)

    return harm


def weights(value: float, name: str = "q.lora_A.weight") -> bytes:
    return safetensors({name: ("F32", [1], struct.pack("<f", value))})


def link_outside(folder: Path) -> None:
    (folder.parent / "elsewhere.md").write_text("secret")
    (folder / "README.md").symlink_to(folder.parent / "elsewhere.md")
    reseal(folder)


HARMS: list[tuple[str, Harm, str]] = [
    ("no manifest", lambda f: (f / "manifest.json").unlink(), r"manifest.json: missing"),
    ("torn manifest", lambda f: os.truncate(f / "manifest.json", 100), "torn, or not a manifest"),
    ("empty manifest", lambda f: os.truncate(f / "manifest.json", 0), "torn, or not a manifest"),
    ("manifest of nothing", write("manifest.json", b"[]", vouched=False), "not a manifest"),
    ("newer format", edit_manifest(format_version=2), "format version 2, this Hone knows 1: upg"),
    ("no probes", edit_manifest(probes=None), "not a manifest"),
    ("probe without numbers",
     edit_manifest(probes=[{"prompt_ids": [1], "continuation_ids": [2], "log_probs": []}]),
     "one log-probability per token"),
    ("probe of a number", edit_manifest(probes=[{"prompt_ids": [1], "continuation_ids": [2],
     "log_probs": [-0.5], "device": 3}]), "device is int, not text"),
    ("naive time", edit_manifest(created_at="2026-11-03T00:00:00"), "created_at has no time zone"),
    ("path up", edit_manifest(files={"../x.json": "a" * 64}), "leads out of the directory"),
    ("absolute path", edit_manifest(files={"/etc/passwd": "a" * 64}), "leads out"),
    ("windows path", edit_manifest(files={"..\\x": "a" * 64}), "leads out of the directory"),
    ("no hash", edit_manifest(files={"lineage.json": "zz"}), "lineage.json has no SHA-256"),
    ("torn weights", lambda f: os.truncate(f / "adapter_model.safetensors", 40),
     "adapter_model.safetensors: hashes to"),
    ("altered config", write("adapter_config.json", b'{"peft_type": "LORA"}', vouched=False),
     "adapter_config.json: hashes to .* torn or altered"),
    ("missing weights", lambda f: (f / "adapter_model.safetensors").unlink(),
     "adapter_model.safetensors: missing"),
    ("missing lineage", lambda f: (f / "lineage.json").unlink(), "lineage.json: missing"),
    ("extra file", write("notes.md", b"hi", vouched=False), "notes.md: not in the manifest"),
    ("promised file", edit_manifest(files={"lineage.json": "a" * 64, "x.md": "a" * 64}),
     "not in the manifest|but missing"),
    ("pickle", write("adapter_model.bin", b"\x80"), r"bin files can run code when loaded"),
    ("other pickle", write("optimizer.PT", b"\x80"), "can run code"),
    ("unknown kind", write("weights.gguf", b"x"), "does not belong into an adapter"),
    ("second weights", write("other.safetensors", weights(1.0)), "does not belong"),
    ("folder", lambda f: (f / "sub").mkdir(), "sub: not a plain file"),
    ("link out of the directory", link_outside, "README.md: not a plain file"),
    ("NaN", write("adapter_model.safetensors", weights(float("nan"))), "is NaN or infinite"),
    ("infinity", write("adapter_model.safetensors", weights(float("inf"))), "is NaN or infinite"),
    ("torn but vouched for", write("adapter_model.safetensors", weights(1.0)[:-1]), "torn"),
    ("no LoRA tensors", write("adapter_model.safetensors", weights(1.0, "q.weight")),
     "holds no LoRA tensors"),
    ("other method", write("adapter_config.json", b'{"peft_type": "IA3"}'), "only LORA is served"),
    ("config is no JSON", write("adapter_config.json", b"{"), "not a PEFT configuration"),
    ("config is a list", write("adapter_config.json", b"[]"), "not a PEFT configuration"),
    ("lineage of nonsense", write("lineage.json", b'["x"]'), "not a list of completion ids"),
    ("lineage is no list", write("lineage.json", b"{}"), "not a list of completion ids"),
    ("lineage of numbers", write("lineage.json", b"[3]"), "not a list of completion ids"),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "says"), [row[1:] for row in HARMS], ids=[r[0] for r in HARMS])
def test_harmed(tmp_path: Path, harm: Harm, says: str) -> None:
    folder = tmp_path / "adapter"
    sealed(folder)
    harm(folder)
    with pytest.raises(AdapterError, match=says) as caught:
        check(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sealed_adapter_passes_and_says_what_it_is(tmp_path: Path) -> None:
    lineage = (uuid4(), uuid4())
    sha256 = sealed(tmp_path / "a", lineage=lineage)
    manifest = check(tmp_path / "a", base_sha256=BASE_SHA256, expected_sha256=sha256)
    assert manifest.probes == (Probe((1, 2), (3,), (-0.5,)),)
    assert manifest.recipe == {"rank": 2}
    assert set(manifest.files) == {
        "adapter_config.json", "adapter_model.safetensors", "lineage.json"
    }  # fmt: skip
    assert adapter_files.adapter_id(tmp_path / "a") == sha256
    assert adapter_files.lineage(tmp_path / "a") == set(lineage)


def test_another_base_or_another_id_is_refused(tmp_path: Path) -> None:
    sealed(tmp_path / "a")
    with pytest.raises(AdapterError, match=r"trained on base starter .bbbb.*not on the base that"):
        check(tmp_path / "a", base_sha256="c" * 64)
    with pytest.raises(AdapterError, match="altered, or another adapter"):
        check(tmp_path / "a", expected_sha256="c" * 64)
    with pytest.raises(AdapterError, match="missing"):
        check(tmp_path / "nowhere")


def test_sealing_refuses_what_a_check_would_refuse(tmp_path: Path) -> None:
    for name, harm, says in (
        ("a", write("pytorch.bin", b"x", vouched=False), "can run code"),
        ("b", lambda f: (f / "lineage.json").unlink(), "missing"),
        ("c", write("adapter_model.safetensors", weights(float("nan")), vouched=False), "NaN"),
    ):
        fill_adapter(tmp_path / name)
        harm(tmp_path / name)
        with pytest.raises(AdapterError, match=says):
            sealed_as_it_is(tmp_path / name)
        assert not (tmp_path / name / "manifest.json").exists()


def test_sealing_refuses_numbers_that_cannot_be_written(tmp_path: Path) -> None:
    fill_adapter(tmp_path / "a")
    with pytest.raises(AdapterError, match="cannot be written down"):
        sealed_as_it_is(tmp_path / "a", Probe((1,), (2,), (float("nan"),)))


def test_probes_say_where_they_were_scored_unless_they_are_older(tmp_path: Path) -> None:
    fill_adapter(tmp_path / "a")
    told = Probe((1, 2), (3,), (-0.5,), "cuda")
    sealed_as_it_is(tmp_path / "a", told)
    assert check(tmp_path / "a").probes == (told,)
    older = {"prompt_ids": [1, 2], "continuation_ids": [3], "log_probs": [-0.5]}
    edit_manifest(probes=[older])(tmp_path / "a")
    assert check(tmp_path / "a").probes == (Probe((1, 2), (3,), (-0.5,)),)


def sealed_as_it_is(folder: Path, *probes: Probe) -> str:
    return seal(folder, base_model="m", base_sha256="b", run_id="r", recipe={}, probes=probes)
