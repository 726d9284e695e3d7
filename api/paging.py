"""Links from page to page."""

from __future__ import annotations

from fastapi import Request, Response
from starlette.datastructures import URL


def next_url(request: Request, response: Response, base: str, cursor: str) -> str:
    """The address of the next page: this one's with another cursor. Also set as `Link: rel=next` (RFC 8288)."""
    query = request.url.include_query_params(cursor=cursor).query
    url = str(URL(f"{base}{request.scope['path']}").replace(query=query))
    response.headers["Link"] = f'<{url}>; rel="next"'
    return url
