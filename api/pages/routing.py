"""Problems as pages: who asks for a page reads a page, also when it cannot be shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api.errors import on_dermq_error, on_invalid_parameters
from api.pages.rendering import render
from core.errors import DermqError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose errors are shown with the same status and words as the API's problem documents."""

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            except DermqError as error:
                return as_page(await on_dermq_error(request, error))
            except RequestValidationError as error:
                return as_page(await on_invalid_parameters(request, error))

        return handle


def as_page(problem: Response) -> Response:
    """A problem document as a page, with its status."""
    body = json.loads(bytes(problem.body))
    page = render("problem.html", problem.status_code, problem=body, page="")
    for name in ("Retry-After", "WWW-Authenticate"):
        if name in problem.headers:
            page.headers[name] = problem.headers[name]
    return page
