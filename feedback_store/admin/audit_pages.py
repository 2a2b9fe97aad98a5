"""Turns the audit log into pages: who did what to which thing, when and why.

Read-only: nobody takes anything out of the log.
"""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from feedback_store import audit
from feedback_store.admin.desk import Desk

NUM_ENTRIES = 100


def routes(desk: Desk) -> APIRouter:
    """Return `/admin/audit`."""
    router = desk.router()

    @router.get("/audit")
    def log(request: Request, before: str = "") -> HTMLResponse:
        """Show the newest entries, or those before one."""
        if before and not (before.isascii() and before.isdigit() and len(before) < 19):
            raise HTTPException(404, f"{before[:40]!r} is no entry of the log")
        last = int(before) if before else None
        entries = audit.entries(desk.database, NUM_ENTRIES + 1, before=last)
        facts = {
            "entries": entries[:NUM_ENTRIES],
            "older": entries[NUM_ENTRIES - 1].entry_id if len(entries) > NUM_ENTRIES else None,
            "is_top": last is None,
        }
        return desk.pages.answer(request, "audit.html", facts)

    return router
