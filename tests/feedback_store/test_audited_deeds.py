"""Promotions, roll-backs, judgements and erasures are in the audit log, or did not happen."""

from pathlib import Path

import pytest
from store_material import BASE_SHA256, sealed, served

from feedback_store import audit, privacy
from feedback_store.audit import Signed
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.errors import EventError, RegistryError
from feedback_store.registry import Registry
from feedback_store.reviews import judge


@pytest.fixture
def registry(database: Database, tmp_path: Path) -> Registry:
    return Registry(database, tmp_path / "adapters")


def check(database: Database, *expected: tuple[str, str, str, str]) -> None:
    """Compare the newest lines, newest first, as (who, action, subject, reason)."""
    found = audit.entries(database, len(expected))
    assert [(e.who, e.action, e.subject, e.reason) for e in found] == list(expected)


def register(registry: Registry, folder: Path, value: float, lineage: tuple = ()) -> str:  # type: ignore[type-arg]
    sealed(folder, value=value, lineage=lineage)
    return registry.register(folder, base_sha256=BASE_SHA256, run_id="night-1", metrics={}).sha256


def test_what_serves_and_who_decided(
    database: Database, registry: Registry, tmp_path: Path
) -> None:
    first, second = (register(registry, tmp_path / str(n), n) for n in (1, 2))
    registry.promote(first, by="ada", reason="reads well")
    registry.promote(second, by="gate", reason="better by 0.1 nats")
    registry.rollback(by="bob", reason="run-on")
    registry.reject(second, reason="NaN", by="host")
    check(
        database,
        ("host", "adapter rejected", second, "NaN"),
        ("bob", "adapter rolled back", f"{first} instead of {second[:12]}", "run-on"),
        ("gate", "adapter promoted", f"{second} instead of {first[:12]}", "better by 0.1 nats"),
        ("ada", "adapter promoted", first, "reads well"),
    )
    registry.rollback(by="bob", reason="start over", to="base")
    check(database, ("bob", "adapter rolled back", f"base instead of {first[:12]}", "start over"))


def test_what_was_refused_is_not_in_the_log(database: Database, registry: Registry) -> None:
    for change in (
        lambda: registry.promote("f" * 64, by="ada", reason="why"),
        lambda: registry.rollback(by="ada", reason="why"),
    ):
        with pytest.raises(RegistryError):
            change()
    with pytest.raises(EventError):
        privacy.erase(database, registry=registry)
    check(database)
    assert audit.entries(database, 1) == ()


def test_an_erasure_says_who_asked_and_what_went(
    database: Database, registry: Registry, tmp_path: Path
) -> None:
    one = served(user="me", repository="r" * 40, prefix="hush = 1\n")
    record_completions(database, [one])
    sha256 = register(registry, tmp_path / "a", 1.0, (one.request.completion_id,))
    signed = Signed("ada", "left the company")
    privacy.erase(database, registry=registry, user="me", repository="r" * 40, signed=signed)
    check(
        database,
        ("ada", "erased", f"1 completions of user me, repository {'r' * 40}", "left the company"),
        ("erasure", "adapter barred", sha256, "trained on erased completions"),
    )
    assert "hush" not in str(audit.entries(database, 9))


def test_a_judgement_is_signed_by_its_reviewer(database: Database) -> None:
    one = served()
    record_completions(database, [one])
    judge(database, one.request.completion_id, "ada", "down", "43")
    check(database, ("ada", "judged", str(one.request.completion_id), "down"))
