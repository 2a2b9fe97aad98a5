"""Turns what every page needs into one thing to hand around, and refusals into pages.

Knows nothing of any page.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from feedback_store.admin.rendering import Pages
from feedback_store.database import Database
from feedback_store.entrance import name_of
from feedback_store.errors import DatabaseError, StoreError
from feedback_store.registry import Registry

SOMEBODY = "somebody at the admin page"  # where nobody is asked for a token


@dataclass(frozen=True)
class Desk:
    """Where the pages get what they show. `status` tells what the host is doing now."""

    pages: Pages
    database: Database
    registry: Registry
    status: Callable[[], Mapping[str, Any]]
    logs: Path | None = None  # the folder with the logs of nights

    def router(self) -> APIRouter:
        """Return a router for pages; what its handlers raise becomes a page that says why."""
        pages = self.pages

        class PageRoute(APIRoute):
            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                handle = super().get_route_handler()

                async def answered(request: Request) -> Response:
                    try:
                        return await handle(request)
                    except DatabaseError as error:
                        return pages.answer(
                            request, "broken.html", {"problem": str(error)}, status=503
                        )
                    except StoreError as error:
                        return refused(pages, request, 409, str(error))
                    except HTTPException as error:
                        return refused(pages, request, error.status_code, str(error.detail))

                return answered

        return APIRouter(prefix="/admin", include_in_schema=False, route_class=PageRoute)


def refused(pages: Pages, request: Request, status: int, problem: str) -> HTMLResponse:
    """Return a page that says what cannot be done, and why."""
    title = "Nothing here" if status == 404 else "This was not done"
    return pages.answer(
        request, "refused.html", {"title": title, "problem": problem}, status=status
    )


def who_asks(request: Request) -> str:
    """Return the name that a deed is written down under."""
    return name_of(request.state, SOMEBODY)
