"""Fills a real store with a year of a large team's work: 1,000,000 completions, 5,000,000 events.

    python benchmarks/store_at_scale.py DATA_FOLDER [--completions N] [--database URL]

Stories (a prompt, a suggestion, the events that followed and the outcome that the real fold makes
of them) are cut from the standard library's own source; each is told many times, by other people,
on other days, under other adapters. Rows go in with the database's bulk loader, past the ORM; the
daily figures are then made by the product itself. The same seed gives the same rows.
"""

import argparse
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import false, func, insert, literal, select
from stories_at_scale import KINDS, MODEL_SHA256, Story, drawn, stories

from feedback_store import rollups, search
from feedback_store.database import Database, default_url
from feedback_store.models import (
    AdapterChangeRow,
    AdapterRow,
    CandidateRow,
    CompletionRow,
    EventRow,
    OutcomeRow,
    PairRow,
    Row,
    SearchRow,
    TrainingRunRow,
)

NUM_DAYS = 365
NUM_ADAPTERS = 30
BATCH = 5000
LAST_DAY = datetime(2026, 11, 20, tzinfo=UTC)
LANGUAGES = {
    "python": 46,
    "typescript": 24,
    "go": 12,
    "rust": 9,
    "java": 6,
    "shellscript": 2,
    "sql": 1,
}
SUFFIXES = {"python": "py", "typescript": "ts", "go": "go", "rust": "rs", "java": "java",
            "shellscript": "sh", "sql": "sql"}  # fmt: skip
CLIENTS = {"Visual Studio Code": 70, "Neovim": 20, "Emacs": 7, "Helix": 3}
TABLES = (CompletionRow, CandidateRow, EventRow, OutcomeRow, SearchRow)


class Loader(Protocol):
    """Takes rows in bulk."""

    def load(self, table: type[Row], rows: Sequence[tuple[Any, ...]]) -> None: ...
    def finish(self) -> None: ...


def main() -> None:
    """Fill the store that the command line names, and say how large it became."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--completions", type=int, default=1_000_000)
    parser.add_argument("--database", help="PostgreSQL URL; default: hone.db in the data folder")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.monotonic()
    database = Database.open(options.database or default_url(options.data))
    fill(database, options.completions, options.seed)
    print(f"rows are in after {time.monotonic() - begun:.0f} s")
    make_pairs(database)
    days = rollups.rebuild(database)
    print(f"{days} days of figures after {time.monotonic() - begun:.0f} s")
    database.close()


def fill(database: Database, num_completions: int, seed: int = 1) -> None:
    """Put nights, adapters and `num_completions` visits with all that hangs on them in."""
    chance = random.Random(seed)
    adapters = _tell_nights(database, chance)
    told = stories(chance)
    database.close()  # Connections are opened again when they are asked for.
    loader: Loader = (
        _PostgresLoader(database) if database.path is None else _SqliteLoader(database.path)
    )
    rows: dict[type[Row], list[tuple[Any, ...]]] = {table: [] for table in TABLES}
    for number, served_at in enumerate(_times(num_completions, chance)):
        _visit(rows, number, served_at, chance.choice(told[_kind(served_at, chance)]),
               _serving(adapters, served_at), chance)  # fmt: skip
        if number % BATCH == BATCH - 1 or number == num_completions - 1:
            for table, some in rows.items():
                loader.load(table, some)
                some.clear()
        if number % 100_000 == 99_999:
            print(f"  {number + 1:,} completions")
    loader.finish()


def make_pairs(database: Database, num_pairs: int = 20_000) -> None:
    """Give the newest night the pairs of what was typed instead, so that the queue has work."""
    with database.session() as session:
        run_id = session.scalar(select(func.max(TrainingRunRow.run_id)))
        typed = (
            select(
                literal(run_id),
                OutcomeRow.completion_id,
                literal("R2"),
                literal(0.6),
                OutcomeRow.settled_text,
                OutcomeRow.suggestion,
                false(),
                literal("train"),
                OutcomeRow.edit_distance,
                literal("Something else was typed."),
            )
            .join(CompletionRow, CompletionRow.completion_id == OutcomeRow.completion_id)
            .where(OutcomeRow.kind == "diverged")
            .order_by(CompletionRow.served_at.desc())
            .limit(num_pairs)
        )
        names = ("run_id", "completion_id", "rule", "weight", "chosen", "rejected", "held_out",
                 "split", "interest", "why")  # fmt: skip
        session.execute(insert(PairRow).from_select(names, typed))


def _visit(
    rows: dict[type[Row], list[tuple[Any, ...]]],
    number: int,
    served_at: datetime,
    story: Story,
    adapter: str | None,
    chance: random.Random,
) -> None:
    key = UUID(int=chance.getrandbits(128), version=4)
    person = min(int(chance.expovariate(1 / 9)), 39)
    language = drawn(LANGUAGES, chance)
    repository = f"{(person // 4 + chance.randrange(3)) % 12:040x}"
    path = f"src/{story.words[number % len(story.words)]}/part_{chance.randrange(400)}."
    slow = chance.lognormvariate(0, 0.35)
    decode_ms, prefill_ms = 42 * slow, 11 * slow * chance.uniform(0.7, 1.6)
    queue_ms = chance.expovariate(1 / 3)
    told = story.completion | {
        "completion_id": str(key),
        "requested_at": _text(served_at - timedelta(milliseconds=60)),
        "served_at": _text(served_at),
        "document_id": f"document-{person}-{number % 97}",
        "language": language,
        "path": path + SUFFIXES[language],
        "repository": repository,
        "pseudonym": f"{person:032x}",
        "client": drawn(CLIENTS, chance),
        "adapter": adapter,
        "queue_ms": queue_ms,
        "prompt_ms": 1.1 * slow,
        "prefill_ms": prefill_ms,
        "decode_ms": decode_ms,
        "engine_ms": queue_ms + prefill_ms + decode_ms + 1.1 * slow,
    }
    rows[CompletionRow].append(_values(CompletionRow, told))
    for one in story.candidates:
        rows[CandidateRow].append(_values(CandidateRow, one | {"completion_id": str(key)}))
    for kind, ordinal, source, after_s, data in story.events:
        happened = served_at + timedelta(seconds=after_s)
        name = f"{kind}:{ordinal}".encode()
        event_id = UUID(bytes=sha1(key.bytes + name).digest()[:16], version=5)
        rows[EventRow].append((str(event_id), str(key), 1, kind, ordinal, 0, _text(happened),
                               _text(happened + timedelta(seconds=2)), source, data))  # fmt: skip
    last = None if story.lasts_s is None else _text(served_at + timedelta(seconds=story.lasts_s))
    outcome = story.outcome | {"completion_id": str(key), "last_event_at": last}
    rows[OutcomeRow].append(_values(OutcomeRow, outcome))
    words = dict.fromkeys([*search.words_of(told["path"]), *story.words])
    rows[SearchRow].append((number + 1, str(key), " ".join(list(words)[: search.MAX_WORDS])))


def _columns(table: type[Row]) -> list[str]:
    """Return the columns that are loaded; events count themselves up."""
    names = [column.name for column in table.__table__.columns]
    return names[1:] if table is EventRow else names


def _values(table: type[Row], values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(values[name] for name in _columns_of[table])


_columns_of = {table: _columns(table) for table in TABLES}


class _SqliteLoader:
    """Writes past the journal: a fill that is cut short is thrown away."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        run = self._connection.execute
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000",
                       "foreign_keys = OFF", "locking_mode = EXCLUSIVE"):  # fmt: skip
            run(f"PRAGMA {pragma}")
        dropped = run(
            "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'index') AND "
            "sql IS NOT NULL AND tbl_name IN ('completions', 'events', 'outcomes', 'search_texts')"
        ).fetchall()
        self._again = [sql for _, _, sql in dropped]
        for kind, name, _ in dropped:
            run(f"DROP {kind} {name}")
        run("BEGIN")

    def load(self, table: type[Row], rows: Sequence[tuple[Any, ...]]) -> None:
        names = _columns_of[table]
        marks = ", ".join("?" * len(names))
        self._connection.executemany(
            f"INSERT INTO {table.__tablename__} ({_quoted(names)}) VALUES ({marks})", rows
        )

    def finish(self) -> None:
        run = self._connection.execute
        run("COMMIT")
        for sql in self._again:
            run(sql)
        run("INSERT INTO search_words (search_words) VALUES ('rebuild')")
        run("PRAGMA locking_mode = NORMAL")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA optimize")
        self._connection.close()


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


class _PostgresLoader:
    """COPY, table by table."""

    def __init__(self, database: Database) -> None:
        self._connection = database.engine.raw_connection()
        self._cursor = self._connection.cursor()
        self._cursor.execute("SET TIME ZONE 'UTC'")

    def load(self, table: type[Row], rows: Sequence[tuple[Any, ...]]) -> None:
        names = _quoted(_columns_of[table])
        copy: Any = self._cursor
        with copy.copy(f"COPY {table.__tablename__} ({names}) FROM STDIN") as stream:
            for row in rows:
                stream.write_row(row)

    def finish(self) -> None:
        self._connection.commit()
        self._cursor.execute(
            "SELECT setval(pg_get_serial_sequence('search_texts', 'document_id'), "
            "(SELECT max(document_id) FROM search_texts))"
        )
        self._connection.commit()
        self._connection.driver_connection.autocommit = True  # type: ignore[union-attr]
        self._cursor.execute("VACUUM ANALYZE")
        self._connection.close()


def _times(count: int, chance: random.Random) -> Iterator[datetime]:
    """Yield moments in order: a growing team, quiet week-ends, nights off."""
    first = LAST_DAY - timedelta(days=NUM_DAYS - 1)
    days = [first + timedelta(days=n) for n in range(NUM_DAYS)]
    weights = [(1 + n / NUM_DAYS) * (0.12 if day.weekday() > 4 else 1) * chance.uniform(0.8, 1.2)
               for n, day in enumerate(days)]  # fmt: skip
    told = 0
    for n, day in enumerate(days):
        share = sum(weights[: n + 1]) / sum(weights)
        of_day = round(share * count) - told
        told += of_day
        seconds = sorted(
            min(86_000.0, max(0.0, chance.gauss(50_000, 9_000))) for _ in range(of_day)
        )
        yield from (day + timedelta(seconds=second) for second in seconds)


def _kind(served_at: datetime, chance: random.Random) -> str:
    """Draw an outcome; accepting grows slowly over the year."""
    kind = drawn(KINDS, chance)
    age = (LAST_DAY - served_at).days / NUM_DAYS
    return "diverged" if kind == "accepted" and chance.random() < 0.18 * age else kind


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _serving(adapters: Sequence[tuple[datetime, str]], at: datetime) -> str | None:
    serving = None
    for since, sha256_ in adapters:
        if since > at:
            break
        serving = sha256_
    return serving


def _tell_nights(database: Database, chance: random.Random) -> list[tuple[datetime, str]]:
    """Store a night for every day and an adapter for every twelfth; return when each went live."""
    adapters: list[tuple[datetime, str]] = []
    runs, rows, changes = [], [], []
    for n in range(NUM_DAYS):
        night = LAST_DAY - timedelta(days=NUM_DAYS - 1 - n) + timedelta(hours=2)
        run_id = f"{night:%Y%m%dT%H%M%S}-{n:06x}"
        promoted = n % 12 == 11
        sha = sha256(run_id.encode()).hexdigest() if promoted else None
        runs.append(_night(run_id, night, sha, n, chance))
        if sha is None:
            continue
        live = len(adapters) == NUM_ADAPTERS - 1
        reason = "Better: +0.041 nats per token against the live one, 99% bound +0.022 > +0.020."
        rows.append({
            "sha256": sha, "state": "live" if live else "retired", "base_model": "starter",
            "base_sha256": MODEL_SHA256, "run_id": run_id, "created_at": night,
            "registered_at": night, "promoted_at": night, "promoted_by": "gate", "reason": reason,
            "metrics": {"recipe": "sft", "gain_nats": 0.041, "gain_bound_nats": 0.022,
                        "positions": 400 + 10 * n, "files": 40 + n},
        })  # fmt: skip
        changes.append({"changed_at": night, "action": "promoted", "adapter": sha,
                        "replaced": adapters[-1][1] if adapters else None, "changed_by": "gate",
                        "reason": reason})  # fmt: skip
        adapters.append((night, sha))
    with database.session() as session:
        session.execute(insert(TrainingRunRow), runs)
        session.execute(insert(AdapterRow), rows)
        session.execute(insert(AdapterChangeRow), changes)
    return adapters


def _night(
    run_id: str, night: datetime, sha: str | None, n: int, chance: random.Random
) -> dict[str, Any]:
    steps = range(0, 200, 4)
    curve = [{"step": s, "loss": 2.2 - 0.9 * s / 200 + chance.gauss(0, 0.06)} for s in steps]
    needed = 0 if sha else chance.randrange(20, 400)
    reasons = (
        ["Better: +0.041 nats per token, 99% bound +0.022 > +0.020."]
        if sha
        else [f"Not enough evidence, keep what is live: {needed} more positions needed."]
    )
    return {
        "run_id": run_id,
        "status": "promoted" if sha else "kept",
        "started_at": night,
        "finished_at": night + timedelta(minutes=21),
        "exit_code": 0 if sha else 3,
        "settings": {"window_days": 90},
        "metrics": {
            "counts": {"visits": 2000 + 9 * n, "rules": {"R1": 90 + n, "R2": 400 + n, "R5": 700}},
            "curve": curve,
            "seconds": {"gather": 8.0, "train": 900.0, "evaluate": 300.0},
        },
        "decision": {"promote": bool(sha), "reasons": reasons, "positions_still_needed": needed,
                     "verdict": "promote" if sha else "not enough evidence",
                     "numbers": {"gain_nats": 0.041 if sha else 0.011, "positions": 400}},
        "adapter": sha,
        "log_path": f"logs/night-{run_id}.log",
    }  # fmt: skip


if __name__ == "__main__":
    main()
