"""Turns "may be recorded" and "no longer" into rows, and completions into those that may be stored.

An editor asks its user, and its requests say `record`; the first one stored of a user and a
repository is written down as their consent. What is withdrawn here holds whatever editors go on
saying. Knows nothing of what has been stored before: erasing that is `privacy`'s.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from feedback_store import audit
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.privacy_models import ConsentRow

EVERYWHERE = "*"  # every repository, those to come included

Pair = tuple[str, str]  # pseudonym, repository


@dataclass(frozen=True)
class Consent:
    """What one user said about one repository; the newer of the two times counts."""

    pseudonym: str
    repository: str
    client: str
    given_at: datetime | None
    withdrawn_at: datetime | None

    @property
    def is_given(self) -> bool:
        """Whether recording is allowed."""
        return self.withdrawn_at is None


def note(session: Session, clients: Mapping[Pair, str], now: datetime) -> set[Pair]:
    """Write down who consents for the first time, with their client; return who has withdrawn."""
    said = _said(session, {pseudonym for pseudonym, _ in clients})
    for (pseudonym, repository), client in clients.items():
        if (pseudonym, repository) not in said and not _is_withdrawn(said, pseudonym, repository):
            session.add(
                ConsentRow(pseudonym=pseudonym, repository=repository, client=client, given_at=now)
            )
    return {pair for pair in clients if _is_withdrawn(said, *pair)}


def withdraw(
    database: Database, pseudonym: str, repository: str, signed: Signed, *, now: datetime
) -> None:
    """Stop recording a user in a repository, or EVERYWHERE, at once."""
    with database.session() as session:
        row = _row(session, pseudonym, repository)
        row.withdrawn_at = now
        audit.append(session, signed, "consent withdrawn", f"{pseudonym} in {repository}")


def give(
    database: Database, pseudonym: str, repository: str, signed: Signed, *, now: datetime
) -> None:
    """Allow recording again; what was said EVERYWHERE else still holds, until it is given too."""
    with database.session() as session:
        row = _row(session, pseudonym, repository)
        row.given_at, row.withdrawn_at = now, None
        audit.append(session, signed, "consent given", f"{pseudonym} in {repository}")


def listed(database: Database, pseudonym: str | None = None) -> tuple[Consent, ...]:
    """Return what was said, by user and repository; of one user or of all."""
    wanted = select(ConsentRow).order_by(ConsentRow.pseudonym, ConsentRow.repository)
    if pseudonym is not None:
        wanted = wanted.where(ConsentRow.pseudonym == pseudonym)
    with database.reading() as session:
        return tuple(
            Consent(row.pseudonym, row.repository, row.client, row.given_at, row.withdrawn_at)
            for row in session.scalars(wanted)
        )


def is_given(
    pseudonym: InstrumentedAttribute[str], repository: InstrumentedAttribute[str]
) -> ColumnElement[bool]:
    """Return the condition that nobody has withdrawn in the user and repository of these columns.

    The lists that it asks for do not depend on the row, so a database makes them once.
    """
    is_withdrawn = ConsentRow.withdrawn_at.is_not(None)
    here = select(ConsentRow.pseudonym, ConsentRow.repository).where(is_withdrawn)
    everywhere = select(ConsentRow.pseudonym).where(
        is_withdrawn, ConsentRow.repository == EVERYWHERE
    )
    return and_(tuple_(pseudonym, repository).not_in(here), pseudonym.not_in(everywhere))


def _said(session: Session, pseudonyms: Collection[str]) -> dict[Pair, ConsentRow]:
    rows = session.scalars(select(ConsentRow).where(ConsentRow.pseudonym.in_(pseudonyms)))
    return {(row.pseudonym, row.repository): row for row in rows}


def _is_withdrawn(said: dict[Pair, ConsentRow], pseudonym: str, repository: str) -> bool:
    rows = (said.get((pseudonym, one)) for one in (repository, EVERYWHERE))
    return any(row is not None and row.withdrawn_at is not None for row in rows)


def _row(session: Session, pseudonym: str, repository: str) -> ConsentRow:
    row = session.scalar(
        select(ConsentRow).where(
            ConsentRow.pseudonym == pseudonym, ConsentRow.repository == repository
        )
    )
    if row is None:
        row = ConsentRow(pseudonym=pseudonym, repository=repository, client="")
        session.add(row)
    return row
