"""The wheel holds everything that runs, and asks for nothing heavy."""

import email
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("feedback_store", "hone", "lsp_server", "trainer")
HEAVY = ("torch", "transformers", "sqlalchemy", "fastapi", "trl", "peft", "numpy")
MAX_WHEEL_MB = 12


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    # From a copy: a build in the tree leaves folders that the next build would take for sources.
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(source / "out"), str(source)], check=True)
    return zipfile.ZipFile(next((source / "out").glob("hone-*.whl")))


def test_every_file_of_the_packages_is_in_it(wheel: zipfile.ZipFile) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    missing = expected - set(wheel.namelist())
    assert not missing, f"name them in package-data of pyproject.toml: {sorted(missing)}"
    assert "lsp_server/engine/starter/model.safetensors" in expected
    assert any(name.startswith("feedback_store/migrations/versions/") for name in expected)


def test_the_editor_side_asks_for_nothing_heavy(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(wheel.read(name))
    assert metadata["Requires-Python"] == ">=3.11"
    for requirement in metadata.get_all("Requires-Dist", []):
        if "extra ==" not in requirement:
            assert not requirement.startswith(HEAVY), requirement


def test_it_stays_small(wheel: zipfile.ZipFile) -> None:
    assert wheel.filename
    assert Path(wheel.filename).stat().st_size < MAX_WHEEL_MB * 1_000_000
