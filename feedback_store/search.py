"""Turns completions into words, and words back into completions that hold them all.

The words of a completion are those of its path, of the lines around the cursor, of its candidates
and of what stands there now, each once and in lower case; a name is split where it has
underscores, so `retry_after` is found by `retry`. SQLite (FTS5) and PostgreSQL (tsvector) index
them; removing a row removes it from the index. Knows nothing of HTTP.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, insert, literal_column, select, text, update
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.id_lists import among
from feedback_store.models import CandidateRow, CompletionRow, OutcomeRow, SearchRow

MAX_WORDS = 160  # of one completion
MAX_QUERY_WORDS = 8
_AROUND_CHARACTERS = 400  # of the text before the cursor
_WORD = re.compile(r"[^\W_]+")
_INDEXED = (
    select(SearchRow.completion_id, SearchRow.words, OutcomeRow.settled_text)
    .join(OutcomeRow, OutcomeRow.completion_id == SearchRow.completion_id)
    .where(among(SearchRow.completion_id))
)


def words_of(*texts: str | None) -> list[str]:
    """Return the words of `texts` in lower case, each once, in order."""
    found = (match.lower() for one in texts if one for match in _WORD.findall(one))
    return list(dict.fromkeys(found))


def changed_words(session: Session, completion_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the words of those of these completions whose words are not in the index yet.

    Barred ones and unknown ones have none. Once indexed, only what stands there can change; reading
    the rest again, for every event, would take longer than storing the event. So where nothing new
    stands there, the words of what stood there before remain.
    """
    ids = list(completion_ids)
    stored, fresh = {}, set()
    for key, words, settled_text in session.connection().execute(_INDEXED, {"ids": ids}):
        stored[key] = words
        if set(words_of(settled_text)).issubset(words.split(" ")):
            fresh.add(key)
    wanted = _wanted(session, [one for one in ids if one not in fresh])
    return {key: words for key, words in wanted.items() if stored.get(key) != words}


def keep_words(session: Session, words: Mapping[UUID, str]) -> None:
    """Write down what `changed_words` found, but nothing of what was barred or erased since."""
    if not words:
        return
    run, ids = session.connection().execute, {"ids": words.keys()}
    is_kept = among(CompletionRow.completion_id) & CompletionRow.barred.is_(False)
    kept = set(run(select(CompletionRow.completion_id).where(is_kept), ids).scalars())
    has_words = among(SearchRow.completion_id)
    rows = select(SearchRow.completion_id, SearchRow.document_id).where(has_words)
    numbers = {key: number for key, number in run(rows, ids)}
    wanted = [(key, text) for key, text in words.items() if key in kept]
    new = [{"completion_id": key, "words": text} for key, text in wanted if key not in numbers]
    changed = [
        {"document_id": numbers[key], "words": text} for key, text in wanted if key in numbers
    ]
    if new:
        session.execute(insert(SearchRow), new)
    if changed:
        session.execute(update(SearchRow), changed)


def forget(database: Database) -> None:
    """Rewrite SQLite's index without what was removed; until then traces of it may remain."""
    if database.path is not None:
        with database.session() as session:
            session.execute(text("INSERT INTO search_words (search_words) VALUES ('optimize')"))


def matching(session: Session, query: str, *, before: int | None, limit: int) -> Select[Any] | None:
    """Return a query for the newest `limit` document ids that hold all words of `query`.

    The last word may go on. `before` is the last id of the page above. None: there are no words.
    """
    words = words_of(query)[:MAX_QUERY_WORDS]
    if not words:
        return None
    if session.get_bind().dialect.name == "postgresql":
        terms = " & ".join([*words[:-1], f"{words[-1]}:*"])
        document_id: Any = SearchRow.document_id
        holds = func.to_tsvector(literal_column("'simple'"), SearchRow.words).op("@@")(
            func.to_tsquery(literal_column("'simple'"), terms)
        )
        found = select(document_id.label("document_id")).where(holds)
    else:
        terms = " ".join(f'"{word}"' for word in words) + "*"
        document_id = literal_column("search_words.rowid")
        found = (
            select(document_id.label("document_id"))
            .select_from(text("search_words"))
            .where(text("search_words MATCH :terms").bindparams(terms=terms))
        )
    if before is not None:
        found = found.where(document_id < before)
    return found.order_by(document_id.desc()).limit(limit)


def _wanted(session: Session, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the words of each completion, oldest first."""
    candidates: dict[UUID, list[str]] = defaultdict(list)
    for row in session.execute(
        select(CandidateRow.completion_id, CandidateRow.text)
        .where(among(CandidateRow.completion_id))
        .order_by(CandidateRow.candidate_index),
        {"ids": ids},
    ):
        candidates[row.completion_id].append(row.text)
    completions = session.execute(
        select(
            CompletionRow.completion_id,
            CompletionRow.path,
            CompletionRow.prefix,
            OutcomeRow.settled_text,
        )
        .join(OutcomeRow, OutcomeRow.completion_id == CompletionRow.completion_id)
        .where(among(CompletionRow.completion_id), CompletionRow.barred.is_(False))
        .order_by(CompletionRow.served_at),
        {"ids": ids},
    )
    return {
        row.completion_id: " ".join(
            words_of(
                row.path,
                *candidates[row.completion_id],
                row.settled_text,
                row.prefix[-_AROUND_CHARACTERS:],
            )[:MAX_WORDS]
        )
        for row in completions
    }
