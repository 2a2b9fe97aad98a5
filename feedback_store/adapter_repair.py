"""Turns a folder of adapters back into what is listed, after a kill or a removal elsewhere.

Several hosts may share the registry's database, each with a folder of its own: what one of them
removed is removed here too, instead of being taken for new. What a killed night trained on
completions that were erased meanwhile is barred, as that night would have done. Knows nothing of
what serves.
"""

import logging

from sqlalchemy import select

from feedback_store import adapter_files, adapter_rows
from feedback_store.adapter_folder import AdapterFolder
from feedback_store.database import Database
from feedback_store.errors import AdapterError
from feedback_store.known import closed_ids
from feedback_store.models import AdapterChangeRow, AdapterRow

CLOSED = "trained on completions that were erased, barred or withdrawn meanwhile"

_log = logging.getLogger(__name__)


def repair(database: Database, folder: AdapterFolder) -> None:
    """List directories that were moved in without a row; finish removals that were begun."""
    with folder.locked():
        folder.sweep()
        for sha256 in folder.half_removed():
            adapter_rows.forget(database, sha256, "its removal had begun")
        with database.reading() as session:
            listed = set(session.scalars(select(AdapterRow.sha256)))
            unlisted = folder.present() - listed
            removed = set(
                session.scalars(
                    select(AdapterChangeRow.adapter).where(
                        AdapterChangeRow.action == adapter_rows.PRUNED,
                        AdapterChangeRow.adapter.in_(unlisted),
                    )
                )
            )
        for sha256 in unlisted & removed:
            folder.set_aside(sha256)
        folder.finish_removals()
        for sha256 in unlisted - removed:
            _adopt(database, folder, sha256)


def _adopt(database: Database, folder: AdapterFolder, sha256: str) -> None:
    try:
        manifest = adapter_files.check(folder.path(sha256), expected_sha256=sha256)
    except AdapterError as error:
        _log.warning("adapter %s is set aside: %s", sha256[:12], error)
        folder.set_aside_broken(sha256)
        return
    lineage = adapter_files.lineage(folder.path(sha256))
    _log.warning("adapter %s was moved in but not listed: listed now", sha256[:12])
    with database.session() as session:
        row = adapter_rows.add(session, sha256, manifest)
        if closed_ids(session, lineage):
            adapter_rows.bar(session, row, by="repair", reason=CLOSED)
