"""Whole nights on the real starter: refused, kept, promoted, failed, and two at once."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from nights import SMALL_GATE, fill, leftovers, night, sealed

from feedback_store import adapter_files, runs, show_filters
from feedback_store.completions import ServedCandidate
from feedback_store.database import Database, default_url
from feedback_store.registry import Registry
from feedback_store.schemas import AdapterState, OutcomeKind
from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from lsp_server.engine.show_filter import ShowFilter
from trainer import nightly
from trainer.dataset import split_of
from trainer.nightly import NightConfig, NightResult
from trainer.show_filter import offer_of

VisitMaker = Callable[..., Visit]


def test_a_night_with_too_few_pairs_says_how_many(tmp_path: Path, lessons: list[Visit]) -> None:
    fill(tmp_path, lessons[:20]).close()
    result = nightly.run(night(tmp_path, min_pairs=100))
    assert result.exit_code == 3
    assert result.reasons[0].startswith("not enough pairs: have ")
    assert result.reasons[0].endswith(", need 100")
    assert leftovers(tmp_path) == []


def test_a_night_that_the_gate_must_refuse_trains_nothing(
    tmp_path: Path, lessons: list[Visit]
) -> None:
    database = fill(tmp_path, lessons[:120])
    strict = replace(SMALL_GATE, min_positions=10_000)
    result = nightly.run(night(tmp_path, gate=strict, min_pairs=20))
    assert (result.exit_code, result.adapter) == (3, None)
    needed = result.decision.positions_still_needed if result.decision else 0
    assert 0 < needed < 10_000
    assert f"{needed} more positions needed" in result.reasons[0]
    assert any("Nothing was trained" in reason for reason in result.reasons)
    assert set(result.metrics["seconds"]) == {"gather", "filter"}
    assert Registry(database, tmp_path / "adapters").list() == []
    (record,) = runs.list_runs(database, 1)
    assert record.decision["reasons"] == list(result.reasons)
    assert record.decision["verdict"] == "not enough evidence"
    assert record.decision["numbers"]["positions"] == 10_000 - needed
    assert record.decision["positions_still_needed"] == needed
    database.close()


def test_a_night_learns_a_convention_and_serves_it(
    tmp_path: Path, lessons: list[Visit], base: Base
) -> None:
    database = fill(tmp_path, lessons)
    stages: list[tuple[str, int, int]] = []
    result = nightly.run(night(tmp_path), progress=lambda *told: stages.append(told))
    assert result.exit_code == 0, result.reasons
    _check_promoted(result, Registry(database, tmp_path / "adapters"), base)
    _check_record(result, database, lessons)
    assert {stage for stage, _, _ in stages} == {"gather", "train", "evaluate", "decide"}
    assert all(done <= total for _, done, total in stages)
    assert leftovers(tmp_path) == []

    same = nightly.run(night(tmp_path, seed=7))
    assert same.exit_code == 3
    assert same.adapter is None  # nothing was trained
    assert same.reasons[0].startswith(f"nothing new since adapter {(result.adapter or '')[:12]}")
    again = nightly.run(
        night(tmp_path, epochs=0.2, max_pairs=40, min_pairs=30)
    )  # less, and another recipe
    assert again.exit_code == 3
    assert again.decision is not None
    assert (again.decision.numbers["gain_nats"] or 0) < 0.05  # against what is live, not the base
    assert Registry(database, tmp_path / "adapters").get(again.adapter or "").state == "rejected"
    database.close()


def test_a_night_without_enough_pairs_still_learns_what_to_hide(
    tmp_path: Path, visit: VisitMaker, base: Base
) -> None:
    read = []
    for number in range(360):
        sure = number % 3 == 0
        answer = ServedCandidate(0, "go(one)", (10, 11), (-0.1 if sure else -3.0,) * 2, "stop")
        kind = OutcomeKind.ACCEPTED if sure and number % 9 else OutcomeKind.DIVERGED
        read.append(
            visit(
                number,
                served={"model_sha256": base.sha256, "candidates": (answer,)},
                request={"path": f"{number % 24}.py", "line": number},
                answers=("go(one)",),
                kind=kind,
                settled_text="go(one)" if kind is OutcomeKind.ACCEPTED else "stop()",
            )
        )
    database = fill(tmp_path, read)
    result = nightly.run(night(tmp_path, min_pairs=100_000))
    assert result.exit_code == 3
    assert "taken instead of" in result.reasons[-1]
    stored = show_filters.live(database, base.sha256)
    assert stored is not None
    assert result.metrics["show_filter"] == stored.verdict
    hiding = ShowFilter.from_json(stored.content)
    shown = {
        one.completion.candidates[0].log_probs[0]: hiding.chance(offer_of(one)) >= hiding.threshold
        for one in read
    }
    assert shown == {-0.1: True, -3.0: False}
    database.close()


def _check_promoted(result: NightResult, registry: Registry, base: Base) -> None:
    live = registry.live()
    assert live is not None
    assert live.sha256 == result.adapter
    assert live.promoted_by == "gate"
    manifest = registry.verify(live.sha256, base.sha256)
    assert manifest.recipe["objective"] == "sft"
    assert len(manifest.probes) == 3


def _check_record(result: NightResult, database: Database, lessons: list[Visit]) -> None:
    record = runs.list_runs(database, 1)[0]
    assert (record.run_id, record.status, record.exit_code) == (result.run_id, "promoted", 0)
    assert record.adapter == result.adapter
    assert record.decision["verdict"] == "promote"
    assert set(record.metrics["seconds"]) == {"gather", "filter", "train", "evaluate"}
    assert record.metrics["counts"]["rules"].keys() == {"R2"}
    curve = record.metrics["curve"]
    # Batches differ in kind (passages, rests of lines), so one loss says little of another.
    assert [point["step"] for point in curve] == sorted({point["step"] for point in curve})
    assert all(0 < point["loss"] < 20 for point in curve)
    assert "gathered" in Path(record.log_path).read_text(encoding="utf-8")


def test_held_out_files_are_in_no_lineage(tmp_path: Path, lessons: list[Visit]) -> None:
    fill(tmp_path, lessons[:120]).close()
    strict = replace(SMALL_GATE, min_positions=10_000)
    config = night(tmp_path, epochs=0.1, gate=strict, min_pairs=20, without_evidence=True)
    result = nightly.run(config)
    assert result.exit_code == 3
    assert result.reasons[0].startswith("Not enough evidence, keep what is live: ")
    database = Database.open(default_url(tmp_path))
    (record,) = Registry(database, tmp_path / "adapters").list()
    assert record.state is AdapterState.REJECTED
    again = nightly.run(config)
    assert again.adapter is not None  # what was rejected is tried again: evidence may have grown
    trained = adapter_files.lineage(record.path)
    files = {v.outcome.completion_id: f"r:{v.completion.request.path}" for v in lessons}
    assert trained
    assert {split_of(files[i]) for i in trained} == {"train"}
    database.close()


def test_a_second_night_at_once_is_refused(tmp_path: Path) -> None:
    with FileLock(tmp_path / "train.lock"):
        result = nightly.run(night(tmp_path))
    assert result.exit_code == 4
    assert "another night is running" in result.reasons[0]


def test_a_model_that_cannot_be_had_is_a_matter_of_settings(
    tmp_path: Path, lessons: list[Visit]
) -> None:
    fill(tmp_path, lessons[:10]).close()
    for model in ("/nowhere/model", "no-such-owner/no-such-model"):
        result = nightly.run(night(tmp_path, model=model))
        assert result.exit_code == 2
        assert model in result.reasons[0]
        assert "\n" not in result.reasons[0]
        database = Database.open(default_url(tmp_path))
        record = runs.list_runs(database, 1)[0]
        assert (record.status, record.exit_code) == ("failed", 2)
        database.close()


def test_a_failed_night_says_why_in_one_line_and_logs_the_rest(tmp_path: Path) -> None:
    (tmp_path / "adapters").write_text("a file where a folder should be")
    result = nightly.run(night(tmp_path))
    assert result.exit_code == 1
    assert str(tmp_path / "adapters") in result.reasons[0]
    assert "\n" not in result.reasons[0]
    assert result.log_path is not None
    assert "Traceback" in result.log_path.read_text(encoding="utf-8")
    database = Database.open(default_url(tmp_path))
    assert runs.list_runs(database, 1)[0].status == "failed"
    database.close()


@pytest.mark.parametrize("is_torn", [True, False])
def test_a_night_whose_live_adapter_is_broken_says_what_to_do(
    is_torn: bool, tmp_path: Path, lessons: list[Visit], base: Base
) -> None:
    database = fill(tmp_path, lessons[:10])
    registry = Registry(database, tmp_path / "adapters")
    made = sealed(tmp_path / "made", base.sha256)
    live = registry.register(made, base_sha256=base.sha256, run_id="night-1", metrics={})
    registry.promote(live.sha256, by="Ada", reason="to try it")
    if is_torn:
        (live.path / adapter_files.WEIGHTS).write_bytes(b"torn")
    else:
        shutil.rmtree(live.path)
    result = nightly.run(night(tmp_path))
    assert result.exit_code == 1
    assert f"adapter {live.sha256[:12]}, which is live, is not whole" in result.reasons[0]
    assert "hone adapters rollback" in result.reasons[0]
    assert "counts" not in result.metrics  # before anything was gathered
    registry.rollback(by="Ada", reason="its files are gone")
    assert nightly.run(night(tmp_path)).exit_code == 3
    database.close()


def test_a_night_that_cannot_even_begin_says_so(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where a folder should be")
    result = nightly.run(night(tmp_path))
    assert result.exit_code == 1
    assert "could not begin" in result.reasons[0]


def test_what_cannot_be_tidied_up_hides_no_result(
    tmp_path: Path, lessons: list[Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise OSError("no space left on device")

    fill(tmp_path, lessons[:10]).close()
    monkeypatch.setattr(nightly.privacy, "enforce", stumble)
    result = nightly.run(night(tmp_path))
    assert result.exit_code == 3
    assert "not enough pairs" in result.reasons[0]
    assert result.log_path is not None
    assert "no space left" in result.log_path.read_text(encoding="utf-8")


def test_a_night_without_training_does_not_load_the_trainer(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trainer.nightly import *;"
        "result = run(NightConfig(Path(sys.argv[1]), device='cpu', num_threads=1));"
        "print(result.exit_code, [m for m in ('trl', 'datasets', 'peft') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "3 []"
    assert done.stderr == ""


def test_a_broken_store_fails_the_night(tmp_path: Path) -> None:
    (tmp_path / "hone.db").write_bytes(b"this is no database, whatever it is" * 100)
    result = nightly.run(night(tmp_path))
    assert result.exit_code == 1
    assert "hone.db" in result.reasons[0]


def test_settings_of_a_night_hold_no_password(tmp_path: Path) -> None:
    config = NightConfig(tmp_path, database_url="postgresql://u:secret@db/hone")
    assert "secret" not in json.dumps(config.settings())
