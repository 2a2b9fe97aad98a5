"""Turns an adapter that somebody hands in, as a tar file, into a candidate, or says why not.

Whatever is wrong with it, nothing of it stays. It is never promoted here: a person does that, or
the gate of a night. Knows nothing of HTTP.
"""

from typing import IO

from feedback_store import adapter_files
from feedback_store.adapter_tar import unpack
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import AdapterError, RegistryError
from feedback_store.known import closed_ids
from feedback_store.registry import AdapterRecord, Registry


def hand_in(
    registry: Registry, database: Database, file: IO[bytes], sha256: str, by: str, base_sha256: str
) -> tuple[AdapterRecord, bool]:
    """Register the adapter in `file` as a candidate; return it, and whether it was not listed yet.

    Doing it twice is doing it once, whatever became of it meanwhile. AdapterError when it is torn,
    foreign, unsafe, not `sha256` or trained on what was erased; RegistryError when it is barred.
    """
    listed = next((one for one in registry.list() if one.sha256 == sha256), None)
    if listed is not None and listed.barred:
        raise RegistryError(f"adapter {sha256[:12]} must not serve: {listed.barred}")
    with registry.workplace() as staging:
        unpack(file, staging)
        manifest = adapter_files.check(staging, base_sha256=base_sha256, expected_sha256=sha256)
        lineage = adapter_files.lineage(staging)
        with database.reading() as session:
            if closed := closed_ids(session, lineage):
                raise AdapterError(_closed(sha256, len(closed)))
        record = registry.register(
            staging,
            base_sha256=base_sha256,
            run_id=manifest.run_id,
            metrics={},
            signed=Signed(by, f"handed in, sealed by run {manifest.run_id}"),
        )
    # An erasure bars what is registered; one that came in between did not see this adapter.
    with database.session() as session:
        if closed := closed_ids(session, lineage):
            reason = _closed(sha256, len(closed))
            registry.bar_trained_on(session, closed, by=by, reason=reason)
    if closed:
        raise AdapterError(reason)
    return record, listed is None


def _closed(sha256: str, count: int) -> str:
    return (
        f"adapter {sha256[:12]} was trained on {count} completions that were erased or barred: "
        "train it again without them"
    )
