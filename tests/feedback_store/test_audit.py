"""The audit log: grows with the deed, newest first, cut to what fits."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback_store import audit
from feedback_store.audit import Signed
from feedback_store.database import Database


def write(database: Database, *subjects: str, by: str = "ada", reason: str = "why") -> None:
    with database.session() as session:
        for subject in subjects:
            audit.append(session, Signed(by, reason), "did", subject)


def fail_after_writing(database: Database) -> None:
    with database.session() as session:
        audit.append(session, Signed("ada", "why"), "did", "it")
        raise KeyError("the deed fails")


def test_the_newest_comes_first_page_by_page(database: Database) -> None:
    write(database, *"abcde")
    first = audit.entries(database, 2)
    assert [entry.subject for entry in first] == ["e", "d"]
    second = audit.entries(database, 9, before=first[-1].entry_id)
    assert [entry.subject for entry in second] == ["c", "b", "a"]
    assert audit.entries(database, 9, before=second[-1].entry_id) == ()


def test_a_deed_that_failed_is_not_in_the_log(database: Database) -> None:
    with pytest.raises(KeyError):
        fail_after_writing(database)
    assert audit.entries(database, 1) == ()


def test_what_is_too_long_is_cut(database: Database) -> None:
    write(database, "s" * 999, by="w" * 999, reason="r" * 9999)
    (entry,) = audit.entries(database, 1)
    assert (len(entry.who), len(entry.subject), len(entry.reason)) == (128, 256, 9999)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80))
def test_whatever_is_said_is_kept_as_it_was(database: Database, text: str) -> None:
    write(database, text, by=text, reason=text)
    (entry,) = audit.entries(database, 1)
    assert (entry.who, entry.subject, entry.reason) == (text, text, text)
