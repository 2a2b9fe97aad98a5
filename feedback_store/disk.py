"""Turns deleted rows into room: free space on the disk, or room for new rows on a server.

Deleting alone never makes a database smaller. Knows nothing of what was deleted.
"""

import sqlite3
from typing import cast

from sqlalchemy import func, select, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import Session

from feedback_store.database import Database
from feedback_store.models import Row

_PAGES_PER_STEP = 2_000  # other writers get their turn in between
_BYTES_BESIDE = 80  # what PostgreSQL keeps beside the values of a row: its header, its indexes


def used_bytes(database: Database) -> int:
    """Return how many bytes the rows take up, without room that is free already.

    PostgreSQL does not tell how much of its files is free: there every row is looked at.
    """
    with database.reading() as session:
        if database.path is None:
            return _row_bytes(session)
        page_count, free, page_bytes = (
            int(session.scalar(text(f"PRAGMA {name}")) or 0)
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (page_count - free) * page_bytes


def file_bytes(database: Database) -> int:
    """Return the size of the SQLite file with its log; what the rows take up on a server."""
    if database.path is None:
        return used_bytes(database)
    files = (database.path, database.path.with_name(f"{database.path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def shrink(database: Database) -> None:
    """Give free pages back to the disk; on a server, to the rows that come next."""
    with database.maintaining() as cursor:
        if database.path is None:
            cursor.execute("VACUUM")
            return
        if _number(cursor, "PRAGMA auto_vacuum") == 0:
            cursor.execute("VACUUM")  # an old file: rewritten whole, writers wait meanwhile
        while free := _number(cursor, "PRAGMA freelist_count"):
            # Run as a script, because the driver's execute stops after the first page.
            cast(sqlite3.Cursor, cursor).executescript(
                f"PRAGMA incremental_vacuum({_PAGES_PER_STEP})"
            )
            if _number(cursor, "PRAGMA freelist_count") == free:
                break
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.fetchall()


def _row_bytes(session: Session) -> int:
    total = 0
    for table in Row.metadata.sorted_tables:
        of_values = sum(func.coalesce(func.pg_column_size(column), 0) for column in table.columns)
        row_bytes = func.coalesce(func.sum(of_values + _BYTES_BESIDE), 0)
        total += int(session.scalar(select(row_bytes).select_from(table)) or 0)
    return total


def _number(cursor: DBAPICursor, question: str) -> int:
    cursor.execute(question)
    answer = cursor.fetchone()
    return int(answer[0]) if answer else 0
