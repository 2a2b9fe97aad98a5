"""Consent is written down when recording begins, and what is withdrawn holds at once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from store_material import NOON, event, served, shown, wire

from feedback_store import audit, consents
from feedback_store.audit import Signed
from feedback_store.completions import record_completions
from feedback_store.consents import EVERYWHERE
from feedback_store.database import Database
from feedback_store.events import append
from feedback_store.models import CompletionRow
from feedback_store.visits import load_window, stream_older

A, B = "a" * 40, "b" * 40
ADA = Signed("ada", "she asked me to")


def told(database: Database) -> dict[tuple[str, str], bool]:
    return {(c.pseudonym, c.repository): c.is_given for c in consents.listed(database)}


def record(database: Database, user: str, repository: str, **rest: Any) -> UUID:
    one = served(user=user, repository=repository, **rest)
    record_completions(database, [one])
    return one.request.completion_id


def stored(database: Database) -> set[UUID]:
    with database.reading() as session:
        return set(session.scalars(select(CompletionRow.completion_id)))


def learned(database: Database) -> list[UUID]:
    """What a night reads: the window, and what is before it. Each is asked for all there is."""
    older = stream_older(
        database,
        since=NOON,
        before=NOON + timedelta(days=1),
        is_wanted=lambda repository, path: True,
    )
    window = load_window(database, since=NOON)
    assert list(older) == window
    return [visit.completion.request.completion_id for visit in window]


def test_the_first_recorded_completion_is_written_down_as_consent(database: Database) -> None:
    record_completions(database, [served(user="u1", repository=A, client="vscode") for _ in "ab"])
    record(database, "u1", B)
    record(database, "u2", A)
    assert told(database) == {("u1", A): True, ("u1", B): True, ("u2", A): True}
    (first, _) = consents.listed(database, "u1")
    assert first.client == "vscode"
    assert first.given_at is not None
    record(database, "u1", A)
    assert consents.listed(database, "u1")[0] == first


def test_what_is_withdrawn_is_served_but_not_stored(database: Database) -> None:
    before = record(database, "u1", A)
    consents.withdraw(database, "u1", A, ADA, now=NOON)
    early = served(user="u1", repository=A)
    append(database, [wire(shown(early.request.completion_id))])
    assert record_completions(database, [early, other := served(user="u2", repository=A)]) == 1
    elsewhere = record(database, "u1", B)
    assert stored(database) == {before, other.request.completion_id, elsewhere}
    report = append(
        database,
        [wire(event(before, "accepted", 1)), wire(event(early.request.completion_id, "accepted"))],
    )
    assert [(item.status, item.reason) for item in report.items] == [
        ("refused", "consent was withdrawn"),
        ("refused", "its completion was erased"),
    ]
    assert audit.entries(database, 1)[0].subject == f"u1 in {A}"


def test_consent_can_be_given_again(database: Database) -> None:
    record(database, "u1", A)
    consents.withdraw(database, "u1", A, ADA, now=NOON)
    record(database, "u1", A)
    consents.give(database, "u1", A, ADA, now=NOON + timedelta(days=1))
    assert told(database) == {("u1", A): True}
    record(database, "u1", A)
    assert len(stored(database)) == 2


def test_everywhere_is_every_repository_also_those_to_come(database: Database) -> None:
    record(database, "u1", A)
    consents.withdraw(database, "u1", EVERYWHERE, ADA, now=NOON)
    record(database, "u1", A)
    record(database, "u1", B)
    record(database, "u2", B)
    assert len(stored(database)) == 2
    assert told(database) == {("u1", A): True, ("u1", EVERYWHERE): False, ("u2", B): True}
    consents.give(database, "u1", EVERYWHERE, ADA, now=NOON)
    record(database, "u1", B)
    assert len(stored(database)) == 3


def test_one_may_say_no_before_anything_is_recorded(database: Database) -> None:
    consents.withdraw(database, "u9", A, ADA, now=NOON)
    record(database, "u9", A)
    assert stored(database) == set()
    (said,) = consents.listed(database)
    assert (said.given_at, said.is_given) == (None, False)


def test_nobody_learns_from_what_was_recorded_before_it_was_withdrawn(database: Database) -> None:
    here, there = record(database, "u1", A), record(database, "u1", B)
    other = record(database, "u2", A)
    consents.withdraw(database, "u1", A, ADA, now=NOON)
    assert set(learned(database)) == {there, other}
    consents.withdraw(database, "u1", EVERYWHERE, ADA, now=NOON)
    assert learned(database) == [other]
    consents.give(database, "u1", A, ADA, now=NOON)  # what was said everywhere still holds
    assert learned(database) == [other]
    consents.give(database, "u1", EVERYWHERE, ADA, now=NOON)
    assert set(learned(database)) == stored(database) == {here, there, other}
