"""Turns the registry into a list, each adapter into a page, and a person's wish into a change.

Every change takes two steps: a page that says what will happen and asks why, and a form that only
that page can post. Knows nothing of how adapters are made or served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from feedback_store import adapter_files, runs
from feedback_store.admin.desk import Desk, who_asks
from feedback_store.admin.figures import by_adapter
from feedback_store.admin.rendering import HEADERS, form_fields, root_of, short
from feedback_store.errors import AdapterError
from feedback_store.registry import AdapterRecord, Registry
from feedback_store.schemas import AdapterState

NUM_CHANGES = 100
NUM_LINEAGE = 100
MAX_REASON = 2000
Form = Annotated[dict[str, str], Depends(form_fields)]


@dataclass(frozen=True)
class Deed:
    """Something that a person can do with an adapter, in words."""

    name: str
    button: str
    effect: str


DEEDS = {
    "promote": Deed("promote", "Promote", "It answers everybody, instead of what is live now."),
    "canary": Deed("canary", "Try out", "It answers a fixed share of people beside what is live."),
    "end-canary": Deed("end-canary", "End the trial", "What is live answers everybody again."),
    "reject": Deed(
        "reject", "Reject", "It is marked as not good enough; live, it gives way first."
    ),
}
ROLL_BACK = Deed("rollback", "Roll back", "An earlier adapter, or the bare base, answers again.")


def routes(desk: Desk) -> APIRouter:
    """Return `/admin/adapters`, the page of each, and the two steps of every change."""
    router = desk.router()
    _roll_back_routes(router, desk)

    @router.get("/adapters")
    def adapters(request: Request) -> HTMLResponse:
        """Show the registry, and the last changes with who made them and why."""
        return desk.pages.answer(request, "adapters.html", _all_facts(desk))

    @router.get("/adapters/{sha256}")
    def adapter(request: Request, sha256: str) -> HTMLResponse:
        """Show one adapter."""
        return desk.pages.answer(request, "adapter.html", _facts(desk, _find(desk, sha256)))

    @router.post("/adapters/{sha256}/verify")
    def verify(request: Request, sha256: str, fields: Form) -> HTMLResponse:
        """Check the files of one adapter now, and show its page with the result."""
        desk.pages.check_form(request, fields)
        record = _find(desk, sha256)
        facts = _facts(desk, record) | {"verified": _verified(desk.registry, record)}
        return desk.pages.answer(request, "adapter.html", facts)

    @router.get("/adapters/{sha256}/{deed}")
    def ask(request: Request, sha256: str, deed: str) -> HTMLResponse:
        """Ask whether it is meant, and why."""
        facts = {"deed": _deed(deed), "record": _find(desk, sha256), "targets": []}
        return desk.pages.answer(request, "adapter_deed.html", facts)

    @router.post("/adapters/{sha256}/{deed}")
    def do(request: Request, sha256: str, deed: str, fields: Form) -> Response:
        """Do it."""
        desk.pages.check_form(request, fields)
        record = _find(desk, sha256)
        _carry_out(desk.registry, _deed(deed), record.sha256, who_asks(request), fields)
        return _go(request, f"/admin/adapters/{record.sha256}")

    return router


def _roll_back_routes(router: APIRouter, desk: Desk) -> None:
    """Add the two steps of a roll-back, which is of no adapter but of what serves."""

    @router.get("/adapters/rollback")
    def ask_rollback(request: Request) -> HTMLResponse:
        """Ask what to roll back to, and why."""
        records = desk.registry.list()
        facts = {
            "deed": ROLL_BACK,
            "record": _in_state(records, AdapterState.LIVE),
            "targets": [
                one
                for one in records
                if one.state is AdapterState.RETIRED and one.promoted_at and not one.barred
            ],
        }
        return desk.pages.answer(request, "adapter_deed.html", facts)

    @router.post("/adapters/rollback")
    def roll_back(request: Request, fields: Form) -> Response:
        """Do it."""
        desk.pages.check_form(request, fields)
        to = fields.get("to", "").strip() or None
        desk.registry.rollback(by=who_asks(request), reason=_reason(fields), to=to)
        return _go(request, "/admin/adapters")


def _carry_out(
    registry: Registry, deed: Deed, sha256: str, by: str, fields: dict[str, str]
) -> None:
    reason = _reason(fields)
    if deed is DEEDS["promote"]:
        registry.promote(sha256, by=by, reason=reason)
    elif deed is DEEDS["canary"]:
        registry.try_out(sha256, share=_share(fields.get("share", "")), by=by, reason=reason)
    elif deed is DEEDS["end-canary"]:
        registry.end_canary(by=by, reason=reason)
    else:
        registry.reject(sha256, by=by, reason=reason)


def _all_facts(desk: Desk) -> dict[str, Any]:
    records = desk.registry.list()
    return {
        "adapters": records,
        "earned": by_adapter(desk.database),
        "changes": desk.registry.history()[:NUM_CHANGES],
        "live": _in_state(records, AdapterState.LIVE),
        "canary": _in_state(records, AdapterState.CANARY),
        "deeds": {one.sha256: _possible(one) for one in records},
    }


def _in_state(records: Sequence[AdapterRecord], state: AdapterState) -> AdapterRecord | None:
    return next((one for one in records if one.state is state), None)


def _find(desk: Desk, sha256: str) -> AdapterRecord:
    if len(sha256) > 64 or not sha256.isalnum():
        raise HTTPException(404, f"{sha256[:80]!r} is no adapter")
    found = [one for one in desk.registry.list() if one.sha256 == sha256]
    if not found:
        raise HTTPException(
            404, f"adapter {short(sha256)} is not registered here, or was removed since"
        )
    return found[0]


def _possible(record: AdapterRecord) -> list[Deed]:
    """Return what can be done with an adapter as it stands."""
    if record.state is AdapterState.LIVE:
        return [ROLL_BACK]
    if record.barred:
        return []
    if record.state is AdapterState.CANARY:
        return [DEEDS["promote"], DEEDS["end-canary"]]
    deeds = [DEEDS["promote"], DEEDS["canary"]]
    return deeds if record.state is AdapterState.REJECTED else [*deeds, DEEDS["reject"]]


def _facts(desk: Desk, record: AdapterRecord) -> dict[str, Any]:
    lineage, problem = _lineage(record)
    return {
        "record": record,
        "deeds": _possible(record),
        "earned": by_adapter(desk.database).get(record.sha256),
        "changes": [one for one in desk.registry.history()
                    if record.sha256 in (one.adapter, one.replaced)][:NUM_CHANGES],
        "lineage": lineage[:NUM_LINEAGE],
        "num_lineage": len(lineage),
        "lineage_problem": problem,
        "night": runs.find_run(desk.database, record.run_id),
        "by_rule": runs.pairs_by_rule(desk.database, record.run_id),
        "verified": None,
    }  # fmt: skip


def _lineage(record: AdapterRecord) -> tuple[list[UUID], str]:
    """Return the completions that an adapter was trained on, or why they cannot be told."""
    try:
        return sorted(adapter_files.lineage(record.path)), ""
    except AdapterError as error:
        return [], str(error)


def _verified(registry: Registry, record: AdapterRecord) -> str:
    """Return "" when all files are as they were sealed, else what is wrong with them."""
    try:
        registry.verify(record.sha256)
    except AdapterError as error:
        return str(error)
    return ""


def _deed(name: str) -> Deed:
    if name not in DEEDS:
        raise HTTPException(404, f"{name[:40]!r} is nothing that can be done with an adapter")
    return DEEDS[name]


def _reason(fields: dict[str, str]) -> str:
    reason = fields.get("reason", "").strip()
    if not reason:
        raise HTTPException(422, "Say why: the reason is kept with the change.")
    return reason[:MAX_REASON]


def _share(text: str) -> float:
    """Return a share of people from a percentage."""
    try:
        return float(text) / 100
    except ValueError:
        raise HTTPException(422, f"{text[:20]!r} is no percentage of people.") from None


def _go(request: Request, path: str) -> Response:
    return RedirectResponse(root_of(request) + path, status_code=303, headers=HEADERS)
