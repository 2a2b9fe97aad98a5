"""Turns completions into words, and a query back into completions that hold all its words.

The words of a completion are those of its path, of the lines around the cursor, of its candidates
and of what stands there now, each once and in lower case; a name is split where it has
underscores, so `retry_after` is found by `retry`, and by `retr*`. SQLite (FTS5) and PostgreSQL
(tsvector) index them; removing a row removes it from the index. Knows nothing of HTTP.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, insert, literal_column, select, text, update
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.id_lists import among
from feedback_store.models import CandidateRow, CompletionRow, OutcomeRow, SearchRow

MAX_WORDS = 160  # of one completion
MAX_QUERY_WORDS = 8
_MAX_RARE = 10_000  # documents that are quickly put in order
_MAX_WALKED = 1_000  # documents whose words are made anew for one answer
_FREQUENT = 0.02  # of those: no need to ask the index
_AROUND_CHARACTERS = 400  # of the text before the cursor
_WORD = re.compile(r"[^\W_]+")
_TERM = re.compile(r"([^\W_]+)(\*?)")
_SCANS = text(
    "SELECT set_config('enable_seqscan', :allowed, true), "
    "set_config('enable_indexscan', :allowed, true)"
)
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


@dataclass(frozen=True)
class Found:
    """Ids of documents, newest first. `older` is where to go on; None: there are no more."""

    document_ids: Sequence[int]
    older: int | None


class Search:
    """The documents that hold all words of a query, newest first; `retr*` is how a word begins.

    Only where a star says so: the documents of a frequent beginning are those of many words, and
    SQLite puts them together, all of them, before it gives the first.
    """

    def __init__(self, session: Session, query: str) -> None:
        """Begin to look, inside `session`."""
        terms = dict.fromkeys((word.lower(), star) for word, star in _TERM.findall(query))
        self._session, self._terms = session, list(terms)[:MAX_QUERY_WORDS]
        self._is_postgresql = session.get_bind().dialect.name == "postgresql"
        self._is_rare: bool | None = None  # PostgreSQL's index was not asked yet

    def read(self, before: int | None, limit: int) -> Found:
        """Return at most `limit` documents. `before` is where the page above said to go on.

        Fewer may come than there are, with a place to go on from: no call looks through a large
        store from end to end.
        """
        if not self._terms:
            return Found((), None)
        if self._is_postgresql:
            return self._read_postgresql(before, limit)
        terms = " ".join(f'"{word}"{star}' for word, star in self._terms)
        document_id: Any = literal_column("search_words.rowid")
        matching = (
            select(document_id)
            .select_from(text("search_words"))
            .where(text("search_words MATCH :terms").bindparams(terms=terms))
            .order_by(document_id.desc())
        )
        return self._first(_below(matching, document_id, before), limit)

    def _read_postgresql(self, before: int | None, limit: int) -> Found:
        """Look at the newest documents; where the words are rare there, ask the index.

        The index gives all that match, in no order: too many of a frequent word. Walking back makes
        the words of every document anew: too many before a rare word comes.
        """
        walked = Found((), before) if self._is_rare else self._walk(before, limit)
        is_full = len(walked.document_ids) >= min(limit, _MAX_WALKED * _FREQUENT)
        if self._is_rare is False or is_full or (walked.older is None and not self._is_rare):
            return walked
        indexed = self._ask_index(before, limit)
        self._is_rare = indexed is not None
        return indexed or walked

    def _walk(self, before: int | None, limit: int) -> Found:
        document_id = SearchRow.document_id
        back = _below(select(document_id), document_id, before).order_by(document_id.desc())
        last = self._session.scalar(back.offset(_MAX_WALKED - 1).limit(1))
        if last is not None:
            back = back.where(document_id >= last)
        found = self._first(back.where(self._holds()), limit)
        return found if found.older is not None else Found(found.document_ids, last)

    def _ask_index(self, before: int | None, limit: int) -> Found | None:
        """Return None when more than `_MAX_RARE` match."""
        matching = _below(select(SearchRow.document_id), SearchRow.document_id, before)
        # Told that it need not find them all, the planner would rather look through the table.
        self._session.execute(_SCANS, {"allowed": "off"})
        found = self._session.scalars(matching.where(self._holds()).limit(_MAX_RARE + 1)).all()
        self._session.execute(_SCANS, {"allowed": "on"})
        if len(found) > _MAX_RARE:
            return None
        ordered = sorted(found, reverse=True)
        return Found(ordered[:limit], ordered[limit - 1] if len(ordered) > limit else None)

    def _holds(self) -> Any:
        simple: Any = literal_column("'simple'")
        words = (f"{word}:*" if star else word for word, star in self._terms)
        terms = func.to_tsquery(simple, " & ".join(words))
        return func.to_tsvector(simple, SearchRow.words).op("@@")(terms)

    def _first(self, documents: Select[Any], limit: int) -> Found:
        ids = self._session.scalars(documents.limit(limit)).all()
        return Found(ids, ids[-1] if len(ids) == limit else None)


def _below(documents: Select[Any], document_id: Any, before: int | None) -> Select[Any]:
    return documents if before is None else documents.where(document_id < before)


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
