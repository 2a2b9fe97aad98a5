"""Turns freed pages of the database into free space on the disk.

Deleting rows alone never makes a SQLite file smaller. Knows nothing of what was deleted.
"""

import sqlite3
from typing import cast

from sqlalchemy import text
from sqlalchemy.engine.interfaces import DBAPICursor

from feedback_store.database import Database

_PAGES_PER_STEP = 2_000  # other writers get their turn in between


def used_bytes(database: Database) -> int:
    """Return how many bytes the rows take up, without pages that are free already."""
    with database.reading() as session:
        if database.path is None:
            return int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)
        page_count, free, page_bytes = (
            int(session.scalar(text(f"PRAGMA {name}")) or 0)
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (page_count - free) * page_bytes


def file_bytes(database: Database) -> int:
    """Return the size of the SQLite file with its log; `used_bytes` for a database server."""
    if database.path is None:
        return used_bytes(database)
    files = (database.path, database.path.with_name(f"{database.path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def shrink(database: Database) -> None:
    """Give free pages back to the disk. A database server does so by itself."""
    if database.path is None:
        return
    with database.maintaining() as cursor:
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


def _number(cursor: DBAPICursor, question: str) -> int:
    cursor.execute(question)
    answer = cursor.fetchone()
    return int(answer[0]) if answer else 0
