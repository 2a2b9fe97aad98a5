"""Turns filters into a list of completions, and an id into the page of one.

Knows nothing of queries.
"""

from dataclasses import asdict, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from feedback_store.admin import completion_lists, figures
from feedback_store.admin.code_view import Place, show_prompt, show_side
from feedback_store.admin.completion_facts import Whole, read_whole
from feedback_store.admin.completion_lists import Filters
from feedback_store.admin.desk import Desk
from feedback_store.schemas import OutcomeKind
from feedback_store.search import words_of

_MAX_FILTER = 200  # characters; nothing that is stored is longer


def routes(desk: Desk) -> APIRouter:
    """Return `/admin/completions` and the page of each."""
    router = desk.router()

    @router.get("/completions")
    def completions(request: Request) -> HTMLResponse:
        """Show a page of the list."""
        asked = {name: value[:_MAX_FILTER] for name, value in request.query_params.items()}
        filters = _filters(asked)
        page = completion_lists.read_page(desk.database, filters, asked.get("after", ""))
        begins = "" if "*" in filters.text else _begins(filters.text)
        facts = {
            "page": page,
            "filters": filters,
            "outcomes": [kind.value for kind in OutcomeKind],
            "choices": figures.choices(desk.database),
            "repositories": completion_lists.repositories(desk.database),
            "is_filtered": filters != Filters(),
            "is_top": "after" not in asked,
            "top": _query(filters),
            "older": _query(filters, after=page.older) if page.older else "",
            "begins": _query(replace(filters, text=begins)) if begins else "",
        }
        return desk.pages.answer(request, "completions.html", facts)

    @router.get("/completions/{name}")
    def completion(request: Request, name: str) -> HTMLResponse:
        """Show one completion."""
        whole = read_whole(desk.database, _id_of(name))
        if whole is None:
            raise HTTPException(404, f"completion {name} is not stored, or was erased")
        return desk.pages.answer(request, "completion.html", _facts(whole))

    return router


def _filters(asked: dict[str, str]) -> Filters:
    names = ("language", "client", "adapter", "repository", "outcome", "user", "text")
    return Filters(
        **{name: asked.get(name, "").strip().replace("\0", "") for name in names},
        since=_day(asked.get("since", "")),
        until=_day(asked.get("until", "")),
    )


def _query(filters: Filters, **more: str) -> str:
    """Return the filters as a query; empty ones are left out."""
    told = {name: str(value) for name, value in asdict(filters).items() if value}
    return urlencode(told | more)


def _begins(text: str) -> str:
    """Return the text that finds words which begin like those of `text`."""
    return " ".join(f"{word}*" for word in words_of(text))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _id_of(name: str) -> UUID:
    try:
        return UUID(name)
    except ValueError:
        raise HTTPException(404, f"{name[:80]!r} is no id of a completion") from None


def _facts(whole: Whole) -> dict[str, Any]:
    row = whole.row
    place = Place(row.prefix, row.suffix, row.language, row.line)
    return {
        "whole": whole,
        "row": row,
        "outcome": whole.outcome,
        "prompt": show_prompt(place),
        "shown": {one.index: show_side(place, one.text, ()) for one in whole.candidates},
        "settled": None
        if whole.outcome is None or whole.outcome.settled_text is None
        else show_side(place, whole.outcome.settled_text, ()),
        "stages": [(name, getattr(row, name)) for name in ("queue_ms", "prompt_ms", "prefill_ms",
                                                           "decode_ms", "engine_ms")],
    }  # fmt: skip
