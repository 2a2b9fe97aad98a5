"""Adapters: at most one live, and always known by whom and why."""

import json
import os
import shutil
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from store_material import BASE_SHA256, NOON, sealed

from feedback_store.adapter_files import adapter_id
from feedback_store.database import Database
from feedback_store.errors import AdapterError, DatabaseError, RegistryError
from feedback_store.models import AdapterRow, ErasedRow
from feedback_store.registry import GATE, Registry
from feedback_store.schemas import AdapterState

WHO: dict[str, Any] = {"by": "ada", "reason": "looks better"}


class Shelf:
    """A registry, and adapters to put into it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder / "adapters"
        self.registry = Registry(database, self.folder)
        self._count = 0

    def staged(self, lineage: tuple[UUID, ...] = ()) -> Path:
        self._count += 1
        staging = self.folder / f".staging-{self._count}"
        sealed(staging, run_id="night-1", value=float(self._count), lineage=lineage)
        return staging

    def register(self, staging: Path | None = None, **metrics: Any) -> str:
        return self.registry.register(
            staging or self.staged(), base_sha256=BASE_SHA256, run_id="night-1", metrics=metrics
        ).sha256

    def live(self) -> str | None:
        record = self.registry.live()
        return record.sha256 if record else None

    def spoil(self, sha256: str) -> None:
        (self.folder / sha256 / "adapter_model.safetensors").write_bytes(b"spoilt")

    def reopened(self) -> Registry:
        return Registry(self.database, self.folder)


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> Shelf:
    return Shelf(database, tmp_path)


def test_a_registered_adapter_is_a_candidate_in_its_own_folder(shelf: Shelf) -> None:
    staging = shelf.staged()
    sha256 = shelf.register(staging, gain=0.1)
    record = shelf.registry.get(sha256)
    assert (record.state, record.metrics) == (AdapterState.CANDIDATE, {"gain": 0.1})
    assert record.path == shelf.folder / sha256
    assert not staging.exists()
    assert shelf.registry.verify(sha256, BASE_SHA256).run_id == "night-1"
    assert shelf.live() is None


def test_registering_twice_is_registering_once(shelf: Shelf) -> None:
    staging = shelf.staged()
    copy = shelf.folder / ".staging-copy"
    shutil.copytree(staging, copy)
    sha256 = shelf.register(staging, gain=1)
    assert shelf.register(copy, gain=1) == sha256
    assert not copy.exists()
    assert len(shelf.registry.list()) == 1


def test_what_fails_its_check_is_not_registered(shelf: Shelf) -> None:
    staging = shelf.staged()
    with pytest.raises(AdapterError, match="not on the base that serves"):
        shelf.registry.register(staging, base_sha256="c" * 64, run_id="night-1", metrics={})
    with pytest.raises(RegistryError, match="sealed by run night-1, not by run night-2"):
        shelf.registry.register(staging, base_sha256=BASE_SHA256, run_id="night-2", metrics={})
    (staging / "evil.bin").write_bytes(b"")
    with pytest.raises(AdapterError, match="can run code"):
        shelf.register(staging)
    assert shelf.registry.list() == []


def test_promoting_retires_what_was_live(shelf: Shelf) -> None:
    one, two = shelf.register(), shelf.register()
    shelf.registry.promote(one, by=GATE, reason="gain 0.03 nats")
    record = shelf.registry.promote(two[:10], by="ada", reason="nicer")
    assert shelf.live() == two
    assert (record.promoted_by, record.reason) == ("ada", "nicer")
    assert shelf.registry.get(one).state is AdapterState.RETIRED
    last, before, *_ = shelf.registry.history()
    assert (last.action, last.adapter, last.replaced) == ("promoted", two, one)
    assert (last.changed_by, last.reason) == ("ada", "nicer")
    assert (before.adapter, before.replaced, before.changed_by) == (one, None, GATE)


def test_promoting_what_is_live_changes_nothing(shelf: Shelf) -> None:
    one = shelf.register()
    shelf.registry.promote(one, **WHO)
    count = len(shelf.registry.history())
    assert shelf.registry.promote(one, by="bob", reason="again").promoted_by == "ada"
    assert len(shelf.registry.history()) == count


def test_a_spoilt_adapter_is_not_promoted_and_the_live_one_stays(shelf: Shelf) -> None:
    one, two = shelf.register(), shelf.register()
    shelf.registry.promote(one, **WHO)
    shelf.spoil(two)
    with pytest.raises(AdapterError, match="torn or altered"):
        shelf.registry.promote(two, **WHO)
    with pytest.raises(AdapterError, match="torn or altered"):
        shelf.registry.verify(two)
    assert shelf.live() == one


def test_only_a_named_person_promotes_what_was_rejected(shelf: Shelf) -> None:
    one = shelf.register()
    assert shelf.registry.reject(one, reason="too few positions").state is AdapterState.REJECTED
    with pytest.raises(RegistryError, match="is rejected: only a named person may promote it"):
        shelf.registry.promote(one, by=GATE, reason="again")
    for nobody in ({"by": " ", "reason": "x"}, {"by": "ada", "reason": ""}):
        with pytest.raises(RegistryError, match="who makes it and why"):
            shelf.registry.promote(one, **nobody)
    shelf.registry.promote(one, **WHO)
    assert shelf.live() == one


def test_rejecting_what_is_live_returns_to_what_was_before(shelf: Shelf) -> None:
    one, two = shelf.register(), shelf.register()
    shelf.registry.promote(one, **WHO)
    shelf.registry.promote(two, **WHO)
    shelf.registry.reject(two, by="host", reason="cannot be loaded")
    assert shelf.live() == one
    change = shelf.registry.history()[0]
    assert (change.adapter, change.replaced, change.changed_by) == (one, two, "host")
    shelf.registry.reject(one, reason="cannot be loaded")
    assert shelf.live() is None
    with pytest.raises(RegistryError, match="nothing to roll back"):
        shelf.registry.rollback(**WHO)


def test_ids_may_be_cut_short_but_not_ambiguous(shelf: Shelf) -> None:
    ids = [shelf.register() for _ in range(20)]
    assert shelf.registry.get(ids[0][:12].upper()).sha256 == ids[0]
    double = next(one[0] for one in ids if sum(other[0] == one[0] for other in ids) > 1)
    for wrong, says in (("", "no adapter"), ("xyz", "no adapter"), ("%", "no adapter"),
                        (double, "could be")):  # fmt: skip
        with pytest.raises(RegistryError, match=says):
            shelf.registry.get(wrong)


def test_rolling_back_walks_to_the_base(shelf: Shelf) -> None:
    one, two, three = (shelf.register() for _ in range(3))
    for sha256 in (one, two, three):
        shelf.registry.promote(sha256, **WHO)
    shelf.registry.reject(two, reason="bad after all")
    record = shelf.registry.rollback(**WHO)
    assert record is not None
    assert record.sha256 == one == shelf.live()
    assert shelf.registry.rollback(**WHO) is None
    assert shelf.live() is None
    with pytest.raises(RegistryError, match="nothing to roll back"):
        shelf.registry.rollback(**WHO)
    assert [change.adapter for change in shelf.registry.history()[:2]] == [None, one]


def test_rolling_back_twice_does_not_come_back(shelf: Shelf) -> None:
    one, two = shelf.register(), shelf.register()
    shelf.registry.promote(one, **WHO)
    shelf.registry.promote(two, **WHO)
    shelf.registry.rollback(**WHO)
    shelf.registry.rollback(**WHO)
    assert shelf.live() is None


def test_rolling_back_passes_over_what_is_spoilt(shelf: Shelf) -> None:
    one, two, three = (shelf.register() for _ in range(3))
    for sha256 in (one, two, three):
        shelf.registry.promote(sha256, **WHO)
    shelf.spoil(two)
    shelf.registry.rollback(**WHO)
    assert shelf.live() == one


def test_rolling_back_to_a_named_place(shelf: Shelf) -> None:
    one, two, never = (shelf.register() for _ in range(3))
    shelf.registry.promote(one, **WHO)
    shelf.registry.promote(two, **WHO)
    with pytest.raises(RegistryError, match="was never live: promote it instead"):
        shelf.registry.rollback(to=never, **WHO)
    with pytest.raises(RegistryError, match="is live already"):
        shelf.registry.rollback(to=two, **WHO)
    assert shelf.registry.rollback(to="base", **WHO) is None
    shelf.registry.rollback(to=one[:16], **WHO)
    assert shelf.live() == one


def test_the_database_itself_allows_one_live_adapter(shelf: Shelf, database: Database) -> None:
    shelf.register()
    shelf.register()
    with pytest.raises(DatabaseError, match=r"(?i)unique"):
        make_all_live(database)


def make_all_live(database: Database) -> None:
    with database.session() as session:
        session.execute(update(AdapterRow).values(state="live"))


def test_many_promotions_at_once_leave_one_live(shelf: Shelf) -> None:
    ids = [shelf.register() for _ in range(4)]
    threads = [
        threading.Thread(target=shelf.registry.promote, args=(one,), kwargs=WHO) for one in ids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [record.state for record in shelf.registry.list()]
    assert states.count(AdapterState.LIVE) == 1
    assert states.count(AdapterState.RETIRED) == 3
    promoted = [record.promoted_at for record in shelf.registry.list()]
    assert len(set(promoted)) == 4


def test_a_crash_between_the_move_and_the_row_is_repaired(shelf: Shelf) -> None:
    staging = shelf.staged()
    sha256 = adapter_id(staging)
    staging.rename(shelf.folder / sha256)
    (shelf.folder / ("d" * 64)).mkdir()  # torn: nothing in it
    registry = shelf.reopened()
    assert [record.sha256 for record in registry.list()] == [sha256]
    assert registry.get(sha256).state is AdapterState.CANDIDATE
    assert not (shelf.folder / ("d" * 64)).exists()


def close(database: Database, completion_id: UUID) -> None:
    with database.session() as session:
        session.add(ErasedRow(completion_id=completion_id, erased_at=NOON))


def test_what_a_killed_night_trained_on_erased_work_never_serves(shelf: Shelf) -> None:
    gone = uuid4()
    staging = shelf.staged((uuid4(), gone))
    sha256 = adapter_id(staging)
    staging.rename(shelf.folder / sha256)  # and then it was killed
    close(shelf.database, gone)
    record = shelf.reopened().get(sha256)
    assert record.state is AdapterState.RETIRED
    assert record.barred == "trained on completions that were erased, barred or withdrawn meanwhile"
    with pytest.raises(RegistryError, match="must not serve: trained on"):
        shelf.registry.promote(sha256, **WHO)


def test_what_was_listed_but_not_barred_before_a_kill_never_serves(shelf: Shelf) -> None:
    gone = uuid4()
    served, listed = (shelf.register(shelf.staged((gone,))) for _ in "ab")
    shelf.registry.promote(served, **WHO)
    shelf.registry.rollback(**WHO)
    close(shelf.database, gone)
    for change in (shelf.registry.promote, partial(shelf.registry.try_out, share=0.1)):
        with pytest.raises(RegistryError, match="must not serve: trained on"):
            change(listed, **WHO)
    # What was live once had been looked at: an erasure bars it, a withdrawal leaves it alone.
    assert shelf.registry.promote(served, **WHO).state is AdapterState.LIVE


def test_a_torn_folder_in_the_way_is_replaced(shelf: Shelf) -> None:
    staging = shelf.staged()
    copy = shelf.folder / ".staging-copy"
    shutil.copytree(staging, copy)
    sha256 = shelf.register(staging)
    shelf.spoil(sha256)
    shelf.register(copy)
    shelf.registry.verify(sha256)


def test_pruning_keeps_what_serves_and_what_it_would_return_to(shelf: Shelf) -> None:
    ids = [shelf.register() for _ in range(6)]
    for sha256 in ids[:3]:
        shelf.registry.promote(sha256, **WHO)
    shelf.registry.reject(ids[5], reason="no")
    assert set(shelf.registry.prune(4)) == {ids[0], ids[5]}
    assert set(shelf.registry.prune(0)) == {ids[3], ids[4]}
    left = {record.sha256 for record in shelf.registry.list()}
    assert left == {ids[1], ids[2]} == {p.name for p in shelf.folder.iterdir() if p.name[0] != "."}
    assert shelf.live() == ids[2]
    assert shelf.registry.history()[0].action == "pruned"


def test_a_removal_that_was_cut_short_is_finished(shelf: Shelf) -> None:
    sha256 = shelf.register()
    (shelf.folder / sha256).rename(shelf.folder / f".removed-{sha256}")
    assert shelf.reopened().list() == []
    assert not list(shelf.folder.glob(".removed-*"))


def test_barring_falls_back_to_the_newest_clean_one(shelf: Shelf, database: Database) -> None:
    gone = uuid4()
    clean, touched, live = (shelf.register(shelf.staged(lineage))
                            for lineage in ((uuid4(),), (gone,), (uuid4(), gone)))  # fmt: skip
    candidate = shelf.register(shelf.staged((gone,)))
    for sha256 in (clean, touched, live):
        shelf.registry.promote(sha256, **WHO)
    with database.session() as session:
        barred = shelf.registry.bar_trained_on(session, [gone], by="erasure", reason="erased work")
    assert set(barred) == {touched, live, candidate}
    assert shelf.live() == clean
    assert {shelf.registry.get(one).state for one in barred} == {AdapterState.RETIRED}
    with pytest.raises(RegistryError, match="must not serve: erased work"):
        shelf.registry.promote(live, **WHO)
    with pytest.raises(RegistryError, match="must not serve: erased work"):
        shelf.registry.rollback(to=touched, **WHO)
    assert shelf.registry.rollback(**WHO) is None


def test_an_adapter_that_cannot_tell_its_lineage_counts_as_touched(
    shelf: Shelf, database: Database
) -> None:
    sha256 = shelf.register()
    shelf.registry.promote(sha256, **WHO)
    (shelf.folder / sha256 / "lineage.json").write_text(json.dumps("?"))
    with database.session() as session:
        shelf.registry.bar_trained_on(session, [uuid4()], by="erasure", reason="erased work")
    assert shelf.live() is None


def test_what_another_host_removed_is_not_taken_for_new(
    shelf: Shelf, database: Database, tmp_path: Path
) -> None:
    sha256 = shelf.register()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(shelf.folder / sha256, elsewhere / sha256)
    assert shelf.registry.prune(0) == (sha256,)
    assert Registry(database, elsewhere).list() == []
    assert not (elsewhere / sha256).exists()


def test_what_a_kill_left_of_a_transfer_goes_after_a_day(shelf: Shelf) -> None:
    for name, age_s in (("old", 25 * 3600), ("new", 3600)):
        left = shelf.folder / f".incoming-{name}"
        left.mkdir()
        os.utime(left, (time.time() - age_s,) * 2)
    shelf.reopened()
    assert [entry.name for entry in shelf.folder.glob(".incoming-*")] == [".incoming-new"]
