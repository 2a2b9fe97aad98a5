"""Turns a store full of feedback into a better adapter that serves, or into a reasoned no.

`run` is the whole night: lock, pairs, training, evaluation, gate, registry. It may be killed at
any moment: an adapter is built in a staging folder and becomes a registered one by one rename.
This module knows nothing of trl, of HTTP or of terminals.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from feedback_store import adapter_files, privacy, runs, show_filters
from feedback_store.database import Database, default_url
from feedback_store.errors import AdapterError
from feedback_store.known import closed_ids
from feedback_store.registry import GATE, AdapterRecord, Registry
from lsp_server.engine.base import Base, load_base
from lsp_server.engine.errors import ModelError
from trainer import ledger, show_filter
from trainer.config import NightConfig
from trainer.errors import LiveAdapterBroken, NightRunning
from trainer.gate import Decision, decide, missing_evidence
from trainer.ledger import Folders, Notes
from trainer.material import (
    Material,
    gather,
    live_arm,
    nothing_new,
    stored_rows,
    too_little,
)
from trainer.recipe import Recipe
from trainer.report import Report

__all__ = ["NightConfig", "NightResult", "run"]

NOT_TRAINED = "Nothing was trained: the gate could not promote it (`--without-evidence` does)."
EXIT_PROMOTED, EXIT_FAILED, EXIT_UNUSABLE, EXIT_KEPT, EXIT_RUNNING = 0, 1, 2, 3, 4

Stage = Literal["gather", "train", "evaluate", "decide"]
Progress = Callable[[Stage, int, int], None]  # stage, done, total
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NightResult:
    """How a night ended. `reasons` are whole sentences for people, the first one sums up."""

    exit_code: int
    reasons: tuple[str, ...]
    run_id: str | None = None
    adapter: str | None = None
    decision: Decision | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    log_path: Path | None = None


def run(config: NightConfig, *, progress: Progress | None = None) -> NightResult:
    """Run one night and return how it ended; it raises nothing but KeyboardInterrupt and the like.

    Exit codes: 0 promoted, 3 kept what is live, 4 another night is running, 1 failed, 2 the model
    that the settings name cannot be had.
    """
    folders = Folders(config.data, ledger.new_run_id())
    try:
        with ledger.only_night(config.data), ledger.log_to(folders.log):
            return _recorded(config, folders, progress or (lambda stage, done, total: None))
    except NightRunning as error:
        return NightResult(EXIT_RUNNING, (str(error),))
    except OSError as error:  # neither lock nor log could be made, so there is no record either
        return NightResult(EXIT_FAILED, (f"The night could not begin: {_one_line(error)}",))


def _recorded(config: NightConfig, folders: Folders, progress: Progress) -> NightResult:
    """Run the night between the first and the last entry of its record."""
    notes, database = Notes(), None
    ended = partial(_ended, folders=folders, notes=notes)
    try:
        database = Database.open(config.database_url or default_url(config.data))
        ledger.begin(database, folders, config.settings())
        result = _night(config, database, folders, notes, progress)
    except ModelError as error:
        log.error("the model cannot be had: %s", error)
        result = ended(EXIT_UNUSABLE, (" ".join(str(error).split()),))
    except Exception as error:
        log.exception("the night failed")
        reason = f"The night failed: {_one_line(error)} (details in {folders.log})"
        result = ended(EXIT_FAILED, (reason,))
    folders.clear()
    if database is not None:
        _finish(database, result)
        _keep_within_caps(config, database, folders)
        database.close()
    return result


def _night(
    config: NightConfig, database: Database, folders: Folders, notes: Notes, progress: Progress
) -> NightResult:
    """The night itself, as it is drawn in the design: section 5 from top to bottom."""
    base = load_base(config.model, device=config.device, num_threads=config.num_threads)
    registry = Registry(database, folders.adapters)
    live = _live(registry, base)
    with notes.stage("gather"):
        material = gather(config, database, base, datetime.now(UTC))
        notes.metrics["counts"] = material.counts
        log.info("gathered %s", material.counts)
        runs.store_pairs(database, folders.run_id, stored_rows(material))
        progress("gather", 1, 1)
    with notes.stage("filter"):
        _fit_show_filter(database, base, material, folders, notes)
    ended = partial(_ended, folders=folders, notes=notes)
    arm = live_arm(database, live, material)
    if why := too_little(config, material) or nothing_new(material, arm):
        return ended(EXIT_KEPT, why)
    if not config.without_evidence and (missing := _missing_evidence(config, material)):
        return ended(EXIT_KEPT, (*missing.reasons, NOT_TRAINED), decision=missing)
    with notes.stage("train"):
        recipe, sha256 = _train(base, material, folders, notes, progress)
    live = _live(registry, base)  # somebody may have promoted another one meanwhile
    with notes.stage("evaluate"):
        report = _evaluate(config, base, folders.staging, live, material, progress)
    arm = live_arm(database, live, material)
    decision = decide(report, arm, recipe=recipe.name, config=config.gate)
    metrics = {"recipe": recipe.name, "verdict": decision.verdict.value, **decision.numbers}
    record = registry.register(
        folders.staging, base_sha256=base.sha256, run_id=folders.run_id, metrics=metrics
    )
    if why_not := (
        _bar_what_was_erased(database, registry, record)
        or _reject_what_was_overtaken(registry, base, record, live)
    ):
        return ended(EXIT_KEPT, (why_not,), adapter=sha256)
    _carry_out(registry, record, decision)
    progress("decide", 1, 1)
    code = EXIT_PROMOTED if decision.promote else EXIT_KEPT
    return ended(code, decision.reasons, adapter=sha256, decision=decision)


def _missing_evidence(config: NightConfig, material: Material) -> Decision | None:
    """Return what the gate would say for lack of held-out positions, before anything is trained."""
    num_files = len({position.file_key for position in material.positions})
    return missing_evidence(len(material.positions), num_files, config.gate)


def _fit_show_filter(
    database: Database, base: Base, material: Material, folders: Folders, notes: Notes
) -> None:
    """Fit what hides suggestions nobody takes; it serves from now on if it holds on other files.

    It does not depend on whether the night finds a better adapter.
    """
    found, verdict = show_filter.fit(material.offers)
    notes.metrics["show_filter"] = verdict.as_dict()
    log.info(verdict.reason)
    if found is None:
        return
    notes.told = (verdict.reason,)
    show_filters.keep(
        database,
        model_sha256=base.sha256,
        run_id=folders.run_id,
        content=found.to_json(),
        verdict=verdict.as_dict(),
        passed=verdict.passed,
    )


def _train(
    base: Base, material: Material, folders: Folders, notes: Notes, progress: Progress
) -> tuple[Recipe, str]:
    """Train the night's recipes, seal the better one in the staging folder; return its SHA-256."""
    from trainer import candidates  # torch's larger friends: only where they are needed

    told = partial(progress, "train")
    return candidates.make(base, material.corpus, material.recipes, folders, notes, told)


def _evaluate(
    config: NightConfig,
    base: Base,
    staging: Path,
    live: AdapterRecord | None,
    material: Material,
    progress: Progress,
) -> Report:
    """Measure the candidate against what is live."""
    from trainer.evaluate import Contest, Work, evaluate

    contest = Contest(base, staging, live.path if live else None)
    work = Work(material.positions, material.corpus.dev, config.max_generated, config.num_golden)
    return evaluate(contest, work, progress=partial(progress, "evaluate"))


def _live(registry: Registry, base: Base) -> AdapterRecord | None:
    """Return the adapter that serves on this base; one of another base cannot be compared.

    LiveAdapterBroken when its files are not whole here.
    """
    live = registry.live()
    if live is None or live.base_sha256 != base.sha256:
        return None
    try:
        registry.verify(live.sha256, base.sha256)
    except AdapterError as error:
        raise LiveAdapterBroken(
            f"adapter {live.sha256[:12]}, which is live, is not whole here ({error}). Put its "
            "folder back, from a backup or another host, or serve what was live before it: "
            "`hone adapters rollback --reason ...`"
        ) from error
    return live


def _bar_what_was_erased(
    database: Database, registry: Registry, record: AdapterRecord
) -> str | None:
    """Bar a candidate trained on what was erased while it trained; return why, or None.

    An erasure bars the registered adapters; this one was not registered yet.
    """
    trained_on = adapter_files.lineage(record.path)
    with database.session() as session:
        closed: dict[UUID, str] = closed_ids(session, trained_on)
        if not closed:
            return None
        reason = "trained on completions that were erased meanwhile"
        registry.bar_trained_on(session, closed, by=GATE, reason=reason)
    return (
        f"{len(closed)} completions it was trained on were erased meanwhile: keep what is live; "
        "the next night trains without them."
    )


def _reject_what_was_overtaken(
    registry: Registry, base: Base, record: AdapterRecord, live: AdapterRecord | None
) -> str | None:
    """Reject a candidate that was compared with what serves no longer; return why, or None.

    Somebody promoted or rolled back meanwhile. The gate must not undo that by a comparison with
    something else.
    """
    now = _live(registry, base)
    if (now and now.sha256) == (live and live.sha256):
        return None
    name = f"adapter {now.sha256[:12]}" if now else "the bare base"
    why = f"What serves changed to {name} while this was measured: the next night compares with it."
    registry.reject(record.sha256, reason=why)
    return why


def _carry_out(registry: Registry, record: AdapterRecord, decision: Decision) -> None:
    reason = " ".join(decision.reasons)
    if decision.promote:
        registry.promote(record.sha256, by=GATE, reason=reason)
    else:
        registry.reject(record.sha256, reason=reason)
    log.info("%s: %s", decision.verdict.value, reason)


def _ended(
    exit_code: int,
    reasons: tuple[str, ...],
    *,
    folders: Folders,
    notes: Notes,
    adapter: str | None = None,
    decision: Decision | None = None,
) -> NightResult:
    return NightResult(
        exit_code,
        (*reasons, *notes.told),
        folders.run_id,
        adapter,
        decision,
        notes.metrics,
        folders.log,
    )


def _keep_within_caps(config: NightConfig, database: Database, folders: Folders) -> None:
    """Keep the data folder within its caps; that it cannot be done must not hide the result."""
    try:
        ledger.prune_logs(config.data)
        removed = privacy.enforce(database, config.retention, datetime.now(UTC))
        pruned = Registry(database, folders.adapters).prune(config.retention.max_adapters)
        log.info("retention: %s, adapters removed: %d", removed, len(pruned))
    except Exception:
        log.exception("old data could not be removed; the next night tries again")


def _finish(database: Database, result: NightResult) -> None:
    """Write the last entry of the record; that it cannot be written must not hide the result."""
    status = {EXIT_PROMOTED: "promoted", EXIT_KEPT: "kept"}.get(result.exit_code, "failed")
    decision: dict[str, Any] = asdict(result.decision) if result.decision else {}
    decision |= {"promote": result.exit_code == EXIT_PROMOTED, "reasons": list(result.reasons)}
    try:
        runs.finish(
            database,
            result.run_id or "",
            status=status,
            exit_code=result.exit_code,
            metrics=result.metrics,
            decision=decision,
            adapter=result.adapter,
        )
    except Exception:
        log.exception("the record of the night could not be finished")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error) or 'no message').strip().splitlines()[0]}"
