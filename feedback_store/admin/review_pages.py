"""Turns a reviewer's keys and forms into judgements, and each answer into the next pair.

A script posts the same forms as a browser without one, and asks for the changed part of the page
only. Who may come in is checked by the app that mounts these routes.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from feedback_store import review_case, review_queue, reviews
from feedback_store.admin.rendering import HEADERS, Pages, form_fields, root_of
from feedback_store.admin.review_facts import OfferedChoices, View, queue_facts, verdict_of
from feedback_store.admin.review_words import RULES, VERDICTS
from feedback_store.database import Database
from feedback_store.entrance import Entrance
from feedback_store.errors import DatabaseError, EventError
from feedback_store.review_queue import Filters
from feedback_store.verdicts import Verdict

PART_HEADER = "x-hone-part"  # sent by our script: answer with the part that changes
ANYBODY_HERE = "this machine"  # who judges where nobody is asked for a token
BULK_VERDICTS = (Verdict.AGREE, Verdict.SWAP, Verdict.BOTH_BAD, Verdict.BOTH_GOOD)
NUM_EXAMPLES = 5
NUM_JUDGEMENTS = 100
NUM_DISPUTED = 30

Form = Annotated[dict[str, str], Depends(form_fields)]


def routes(database: Database, entrance: Entrance) -> APIRouter:
    """Return `/admin/review` and what is below it."""
    router = APIRouter(prefix="/admin/review", include_in_schema=False)
    desk = _Desk(database, Pages(entrance))

    @router.get("")
    def queue(request: Request) -> Response:
        """Show the next pair, or the one that `completion` names."""
        return desk.told(desk.queue, request)

    @router.post("/judge")
    def judge(request: Request, fields: Form) -> Response:
        """Store a verdict, and answer with the next pair."""
        return desk.told(desk.judge, request, fields)

    @router.post("/undo")
    def undo(request: Request, fields: Form) -> Response:
        """Take the newest judgement back, and answer with its pair."""
        return desk.told(desk.undo, request, fields)

    @router.get("/bulk")
    def bulk(request: Request) -> Response:
        """Show which pairs a bulk judgement would be about."""
        return desk.told(desk.bulk, request)

    @router.post("/bulk")
    def judge_bulk(request: Request, fields: Form) -> Response:
        """Judge them all, if they are still as many as were shown."""
        return desk.told(desk.judge_bulk, request, fields)

    @router.post("/bulk/undo")
    def undo_bulk(request: Request, fields: Form) -> Response:
        """Take a bulk judgement back."""
        return desk.told(desk.undo_bulk, request, fields)

    @router.get("/judgements")
    def judgements(request: Request) -> Response:
        """Show the newest judgements, and where reviewers disagree."""
        return desk.told(desk.judgements, request)

    return router


class _Desk:
    def __init__(self, database: Database, pages: Pages) -> None:
        self._database = database
        self._pages = pages
        self._offered = OfferedChoices()

    def told(
        self, deed: Callable[..., Response], request: Request, *fields: Mapping[str, str]
    ) -> Response:
        """Do it; what the store refuses becomes a page or a status."""
        try:
            return deed(request, *fields)
        except DatabaseError as error:
            facts = {"problem": str(error)}
            return self._pages.answer(request, "broken.html", facts, status=503)
        except EventError as error:
            raise HTTPException(422, str(error)) from error

    def queue(self, request: Request) -> Response:
        view = _view(request.query_params)
        wanted = request.query_params.get("completion")
        key = _uuid(wanted) if wanted else None
        facts = queue_facts(self._database, _reviewer(request), view, self._offered, key)
        if key is not None and facts["case"] is None:
            raise HTTPException(404, f"no night made a pair of completion {key}")
        return self._pages.answer(request, "review.html", facts)

    def judge(self, request: Request, fields: Mapping[str, str]) -> Response:
        self._pages.check_form(request, fields)
        view, reviewer = _view(fields), _reviewer(request)
        case = review_case.case_of(self._database, _uuid(fields.get("completion", "")))
        if case is None:
            raise HTTPException(404, "this pair is gone: load the page again")
        verdict = verdict_of(fields.get("verdict", ""), case.completion_id)
        text = _edited(fields, case.prefix) if verdict == Verdict.EDIT else None
        seen = replace(case.seen, blind=view.blind)
        reviews.judge(self._database, case.completion_id, reviewer, verdict, text, seen=seen)
        said = VERDICTS[Verdict(verdict)] + _others_said(case, reviewer, verdict)
        return self._next(request, view, reviewer, said)

    def undo(self, request: Request, fields: Mapping[str, str]) -> Response:
        self._pages.check_form(request, fields)
        view, reviewer = _view(fields), _reviewer(request)
        undone = reviews.undo_last(self._database, reviewer)
        if undone is None:
            return self._next(request, view, reviewer, "There is nothing to take back")
        many = f", {undone.count} pairs" if undone.count > 1 else ""
        said = f"Taken back: {VERDICTS[undone.verdict].lower()}{many}"
        return self._next(request, view, reviewer, said, undone.completion_id)

    def bulk(self, request: Request) -> Response:
        return self._bulk(request, request.query_params, "")

    def judge_bulk(self, request: Request, fields: Mapping[str, str]) -> Response:
        self._pages.check_form(request, fields)
        filters, verdict = _filters(fields), fields.get("verdict", "")
        if verdict not in BULK_VERDICTS:
            raise HTTPException(422, f"say one of {', '.join(BULK_VERDICTS)}")
        pairs = review_queue.unjudged(self._database, filters)
        if str(len(pairs)) != fields.get("count"):
            problem = f"There are {len(pairs)} pairs now: look again, then confirm."
            return self._bulk(request, fields, problem, status=409)
        reviews.judge_many(
            self._database, pairs, _reviewer(request), Verdict(verdict), filters.described()
        )
        return _go(request, "/admin/review/judgements")

    def undo_bulk(self, request: Request, fields: Mapping[str, str]) -> Response:
        self._pages.check_form(request, fields)
        reviews.undo_batch(self._database, fields.get("batch", ""), _reviewer(request))
        return _go(request, "/admin/review/judgements")

    def judgements(self, request: Request) -> Response:
        latest = review_case.latest_reviews(self._database, NUM_JUDGEMENTS)
        facts = {
            "latest": latest,
            "disputed": review_case.disagreements(self._database, NUM_DISPUTED),
            "batches": {review.batch for review in latest if review.batch},
            "agreement": review_queue.agreement(self._database),
            "verdicts": VERDICTS,
            "rules": RULES,
        }
        return self._pages.answer(request, "review_judgements.html", facts)

    def _bulk(
        self, request: Request, source: Mapping[str, str], problem: str, *, status: int = 200
    ) -> Response:
        filters, verdict = _filters(source), source.get("verdict", "")
        pairs = review_queue.unjudged(self._database, filters)
        facts = {
            "filters": filters,
            "verdict": verdict if verdict in BULK_VERDICTS else "",
            "choices": review_queue.choices(self._database),
            "bulk_verdicts": [(one.value, VERDICTS[one]) for one in BULK_VERDICTS],
            "rules": RULES,
            "count": len(pairs),
            "examples": [seen for _, seen in pairs[:NUM_EXAMPLES]],
            "problem": problem,
        }
        return self._pages.answer(request, "review_bulk.html", facts, status=status)

    def _next(
        self,
        request: Request,
        view: View,
        reviewer: str,
        said: str,
        completion_id: UUID | None = None,
    ) -> Response:
        """Answer our script with the next pair; send a browser without it there."""
        if PART_HEADER not in request.headers:
            more = {"completion": str(completion_id)} if completion_id else {}
            return _go(request, "/admin/review" + view.query(**more))
        facts = queue_facts(self._database, reviewer, view, self._offered, completion_id)
        facts |= {"said": said}
        return self._pages.answer(request, "review_part.html", facts)


def _reviewer(request: Request) -> str:
    caller = getattr(request.state, "caller", None)
    return (caller.name if caller else "") or ANYBODY_HERE


def _view(source: Mapping[str, str]) -> View:
    blind, filters = source.get("blind") == "1", _filters(source)
    # Who judges blind must not know the rule.
    filters = replace(filters, rule="") if blind else filters
    return View(filters, blind, source.get("second") == "1")


def _filters(source: Mapping[str, str]) -> Filters:
    told = (source.get(name, "").replace("\0", "") for name in ("rule", "language", "user"))
    return Filters(*told)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise HTTPException(422, f"{text[:40]!r} is not the id of a completion") from error


def _edited(fields: Mapping[str, str], prefix: str) -> str:
    """Return the text as the file breaks its lines; forms send CRLF whatever it was."""
    text = fields.get("text", "").replace("\r\n", "\n")
    return text.replace("\n", "\r\n") if "\r\n" in prefix else text


def _others_said(case: review_case.Case, reviewer: str, verdict: str) -> str:
    """Return what others said, where it is not the same."""
    said = {
        review.reviewer: review.verdict
        for review in case.reviews
        if review.undone_at is None
        and review.reviewer != reviewer
        and Verdict.SKIP not in (review.verdict, verdict)
    }
    other = [
        f"{who} said {VERDICTS[what].lower()}" for who, what in said.items() if what != verdict
    ]
    return f"; but {', '.join(other)}" if other else ""


def _go(request: Request, path: str) -> Response:
    return RedirectResponse(root_of(request) + path, status_code=303, headers=HEADERS)
