"""Pages: opaque cursors, and links from one page to the next.

A cursor is base64url of a small JSON array. It says where a page begins, never what may be seen.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from typing import Any

from fastapi import Request, Response
from starlette.datastructures import URL

from api.schemas import MAX_ITEM
from core.db.results import Position, ResultSort
from core.errors import InvalidRequestError

_RESULTS, _JOBS = "r", "j"
_LARGEST = 3.5e38  # beyond it no float32 is finite


def encode_position(position: Position, sort: ResultSort) -> str:
    """A place in a job's results, in one order."""
    return _encode([_RESULTS, sort, position.item_no, position.value])


def decode_position(cursor: str, sort: ResultSort) -> Position:
    """The inverse of `encode_position`.

    Raises:
        InvalidRequestError: it is not such a cursor, or one of another order.
    """
    match _decode(cursor):
        case [str(kind), str(made_for), int(item), value] if kind == _RESULTS and 0 <= item <= MAX_ITEM and _is_float32(value):
            if made_for != sort:
                raise InvalidRequestError(f"the cursor was made for sort={made_for}, got sort={sort}: start at the first page")
            return Position(item, None if value is None else float(value))
    raise _not_a_cursor(cursor)


def encode_job(job_id: uuid.UUID) -> str:
    """A place in the list of jobs."""
    return _encode([_JOBS, str(job_id)])


def decode_job(cursor: str) -> uuid.UUID:
    """The inverse of `encode_job`; raises InvalidRequestError."""
    match _decode(cursor):
        case [str(kind), str(text)] if kind == _JOBS:
            try:
                return uuid.UUID(text)
            except ValueError as error:
                raise _not_a_cursor(cursor) from error
    raise _not_a_cursor(cursor)


def next_url(request: Request, response: Response, base: str, cursor: str) -> str:
    """The address of the next page: this one's with another cursor. Also set as `Link: rel=next` (RFC 8288)."""
    query = request.url.include_query_params(cursor=cursor).query
    url = str(URL(f"{base}{request.scope['path']}").replace(query=query))
    response.headers["Link"] = f'<{url}>; rel="next"'
    return url


def _is_float32(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and -_LARGEST <= value <= _LARGEST)  # false of NaN


def _encode(value: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(cursor: str) -> Any:
    try:
        return json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _not_a_cursor(cursor) from error


def _not_a_cursor(cursor: str) -> InvalidRequestError:
    return InvalidRequestError(f"expected a cursor from a page's `next` link, got {cursor[:80]!r}: start at the first page")
