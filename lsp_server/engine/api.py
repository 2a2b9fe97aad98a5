"""Turns HTTP into engine requests and answers back into HTTP: completions, health, status.

A client that closes its connection cancels its generation. Recording happens only where the
request says so, and off this path. It knows nothing of how arms run or rows are written.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import ValidationError

from feedback_store.completions import ServedCandidate, ServedCompletion
from feedback_store.schemas import (
    CandidateAnswer,
    CompletionAnswer,
    CompletionRequest,
    Health,
)
from lsp_server.engine.base import Base
from lsp_server.engine.engine import Answer, Engine, GenerationRequest
from lsp_server.engine.errors import EngineClosed, Superseded
from lsp_server.engine.showing import Showing

Record = Callable[[ServedCompletion], None]


@dataclass(frozen=True)
class Served:
    """What the routes need: the engine, its base, what is shown, and where answers are recorded."""

    engine: Engine
    base: Base
    showing: Showing
    record: Record
    version: str
    answered: Callable[[Answer], None] = lambda answer: None  # hears of every answer


def routes(served: Callable[[], Served]) -> APIRouter:
    """Return the completion routes; `served` gives the parts once the host has started."""
    router = APIRouter()

    @router.post("/v1/hone/completions", response_model=CompletionAnswer, **_DOCUMENTED)
    async def complete(request: Request) -> Response:
        """Answer one completion request; 409 when a newer one of its document replaced it."""
        try:
            question = CompletionRequest.model_validate_json(await request.body())
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False, include_context=False)
            return JSONResponse({"detail": detail}, 422)
        parts = served()
        try:
            answer = await _unless_disconnected(request, parts.engine, question)
        except Superseded as error:
            return JSONResponse({"detail": str(error)}, 409)
        except EngineClosed as error:
            return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "1"})
        parts.answered(answer)
        decided = parts.showing.decide(question, answer)
        if question.record:
            parts.record(served_completion(parts.base, question, answer, *decided))
        body = wire_answer(parts.base, question, answer, *decided).model_dump_json()
        return Response(body, media_type="application/json")

    @router.get("/", include_in_schema=False)
    async def front_door() -> RedirectResponse:
        """Lead who typed the address into a browser to the pages."""
        return RedirectResponse("/admin")

    @router.get("/health")
    async def health() -> Health:
        """Say what serves."""
        parts = served()
        return Health(
            status="ok",
            version=parts.version,
            model=parts.base.name,
            adapter=parts.engine.live_adapter,
            device=parts.base.device,
        )

    return router


_DOCUMENTED: dict[str, Any] = {
    "responses": {
        409: {"description": "Cancelled, or replaced by a newer request of the same document"},
        422: {"description": "Not a valid completion request"},
        503: {"description": "The host is shutting down"},
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": CompletionRequest.model_json_schema()}},
        }
    },
}


def wire_answer(
    base: Base,
    question: CompletionRequest,
    answer: Answer,
    show: bool = True,
    propensity: float = 1.0,
) -> CompletionAnswer:
    """Return what the editor is told."""
    return CompletionAnswer(
        completion_id=question.completion_id,
        model=base.name,
        adapter=answer.adapter,
        arm=answer.arm,
        candidates=tuple(
            CandidateAnswer(
                index=index,
                text=generation.text,
                finish_reason=generation.finish_reason,
                sum_log_prob=sum(generation.log_probs),
                num_tokens=len(generation.token_ids),
            )
            for index, generation in enumerate(answer.generations)
        ),
        num_prompt_tokens=len(answer.prompt.ids),
        num_cached_tokens=answer.num_cached_tokens,
        show=show,
        propensity=propensity,
        timings=answer.timings,
    )


def served_completion(
    base: Base,
    question: CompletionRequest,
    answer: Answer,
    show: bool = True,
    propensity: float = 1.0,
) -> ServedCompletion:
    """Return what the store keeps: the request with the exact ids served and generated."""
    return ServedCompletion(
        request=question,
        served_at=datetime.now(UTC),
        model=base.name,
        model_sha256=base.sha256,
        adapter=answer.adapter,
        arm=answer.arm,
        prompt_ids=answer.prompt.ids,
        healed=answer.prompt.healed,
        num_cached_tokens=answer.num_cached_tokens,
        candidates=tuple(
            ServedCandidate(
                index=index,
                text=generation.text,
                token_ids=generation.token_ids,
                log_probs=generation.log_probs,
                finish_reason=generation.finish_reason,
            )
            for index, generation in enumerate(answer.generations)
        ),
        show=show,
        propensity=propensity,
        timings=answer.timings,
    )


async def _unless_disconnected(
    request: Request, engine: Engine, question: CompletionRequest
) -> Answer:
    """Await the engine, but no longer than the asker stays. Raises Superseded when it leaves."""
    answering = asyncio.ensure_future(engine.complete(generation_request(question)))
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            engine.cancel(str(question.completion_id))
        return await answering
    finally:
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def generation_request(question: CompletionRequest) -> GenerationRequest:
    """Return what the engine is asked for a question of the wire."""
    return GenerationRequest(
        request_id=str(question.completion_id),
        document_id=question.document_id,
        prefix=question.prefix,
        suffix=question.suffix,
        mode=question.mode,
        max_new_tokens=question.max_new_tokens,
        num_candidates=question.num_candidates,
        temperature=question.temperature,
        user=question.user,
    )
