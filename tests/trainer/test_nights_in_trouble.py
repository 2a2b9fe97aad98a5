"""Nights that are killed, run out of disk, or train on what is erased meanwhile."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from nights import SMALL_GATE, fill, leftovers, night

from feedback_store import adapter_files, privacy, runs
from feedback_store.registry import Registry
from feedback_store.visits import Visit
from trainer import nightly

pytestmark = pytest.mark.slow

KILLED_AT = {
    # where it is killed: what to put into its way, whether the adapter was whole by then
    "train": ("progress = lambda stage, done, total: stage == 'train' and done == 2 and die()", 0),
    "evaluate": ("progress = lambda stage, done, total: stage == 'evaluate' and die()", 0),
    "register": ("adapter_rows.add = lambda *_: die()", 1),
    "promote": ("Registry.promote = Registry.reject = lambda *_, **__: die()", 1),
}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("stage", KILLED_AT)
def test_a_killed_night_leaves_no_half_adapter(
    stage: str, tmp_path: Path, lessons: list[Visit]
) -> None:
    database = fill(tmp_path, lessons[:60])
    code = (
        "import os, sys; from pathlib import Path; from trainer.nightly import *\n"
        "from feedback_store import adapter_rows; from feedback_store.registry import Registry\n"
        "die = lambda: os.kill(os.getpid(), 9); progress = None\n"
        f"{KILLED_AT[stage][0]}\n"
        "run(NightConfig(Path(sys.argv[1]), device='cpu', num_threads=1, min_pairs=20, "
        "epochs=0.5, batch_size=8, num_golden=4, without_evidence=True), progress=progress)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert runs.list_runs(database, 1)[0].status == "running"
    assert leftovers(tmp_path)

    again = nightly.run(night(tmp_path, min_pairs=10_000))
    assert again.exit_code == 3
    assert leftovers(tmp_path) == []
    assert [run.status for run in runs.list_runs(database, 2)] == ["kept", "abandoned"]
    registry = Registry(database, tmp_path / "adapters")
    assert registry.live() is None
    assert len(registry.list()) == KILLED_AT[stage][1]
    for record in registry.list():  # a person may still promote it: it is whole
        assert record.state == "candidate"
        registry.verify(record.sha256)
    database.close()


def test_what_is_erased_while_it_trains_never_serves(tmp_path: Path, lessons: list[Visit]) -> None:
    database = fill(tmp_path, lessons)
    registry = Registry(database, tmp_path / "adapters")
    erased: list[privacy.Erased] = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "evaluate" and not erased:
            erased.append(privacy.erase(database, registry=registry, repository="r"))

    result = nightly.run(night(tmp_path), progress=progress)
    assert erased[0].completions == len(lessons)
    assert erased[0].adapters == ()  # it was not registered yet
    assert result.exit_code == 3
    assert "erased meanwhile" in result.reasons[0]
    assert registry.live() is None
    (record,) = registry.list()
    assert record.barred
    database.close()


@contextmanager
def full_disk(stage: str, num_bytes: int) -> Iterator[Callable[[str, int, int], None]]:
    """From `stage` on refuse to write beyond so many bytes of any file, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def progress(reached: str, done: int, total: int) -> None:
        if reached == stage:
            resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))

    try:
        yield progress
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_and_an_overtaken_night_change_nothing(
    tmp_path: Path, lessons: list[Visit], capfd: pytest.CaptureFixture[str]
) -> None:
    database = fill(tmp_path, lessons[:60])
    registry = Registry(database, tmp_path / "adapters")
    strict = replace(SMALL_GATE, min_positions=10_000)
    quick = night(tmp_path, min_pairs=20, epochs=0.1, gate=strict, without_evidence=True)
    with full_disk("train", 400_000) as progress:  # less than an adapter needs
        result = nightly.run(quick, progress=progress)
    assert result.exit_code == 1
    assert "The night failed: " in result.reasons[0]
    assert leftovers(tmp_path) == []
    assert registry.list() == []
    with full_disk("decide", 10) as progress:  # no line fits any more, neither log nor record
        result = nightly.run(quick, progress=progress)
    assert result.exit_code == 3, result.reasons
    assert "Traceback" not in capfd.readouterr().err
    assert adapter_files.lineage(registry.get(result.adapter or "").path)
    _check_overtaken(tmp_path, registry, result.adapter or "")
    # Neither end could be written down, so the next night found them open.
    statuses = [run.status for run in runs.list_runs(database)]
    assert statuses == ["kept", "abandoned", "abandoned"]
    database.close()


def _check_overtaken(data: Path, registry: Registry, other: str) -> None:
    """A person promotes another adapter while the night measures: the gate does not undo that."""

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "evaluate" and registry.live() is None:
            registry.promote(other, by="Ada", reason="to try it")

    eager = replace(SMALL_GATE, min_positions=1, min_files=1, min_gain_nats=-9.0)
    result = nightly.run(night(data, min_pairs=20, epochs=0.1, gate=eager), progress=progress)
    assert result.exit_code == 3
    assert f"changed to adapter {other[:12]}" in result.reasons[0]
    live = registry.live()
    assert live is not None
    assert live.sha256 == other
    assert registry.get(result.adapter or "").state == "rejected"
