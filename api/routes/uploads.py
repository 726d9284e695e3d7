"""Resumable uploads: tus 1.0.0 (https://tus.io/protocols/resumable-upload), core, creation, termination, expiration.

What has come is a source of jobs: `{"source": "upload:ID"}`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from api.errors import UNSUPPORTED_TYPE, on_dermq_error, problem_response
from api.intake.diskspace import make_guard
from api.intake.requests import media_type
from api.intake.resumable import receive_part
from api.intake.uploads import check_size
from api.openapi import problems
from api.resources import Here, Resources, TenantId
from api.results.views import base_url
from api.routes.tusheaders import (
    DIGEST,
    EXTENSIONS,
    LENGTH,
    METADATA,
    OFFSET,
    OTHER_VERSION,
    PART_TYPE,
    PROGRESS,
    VERSION,
    answer,
    asks,
)
from core.db.engine import reading, transaction
from core.db.uploads.partial import begin_upload, end_upload, get_upload
from core.db.uploads.tables import PartialUpload
from core.errors import ConflictError, DermqError, InvalidRequestError


class TusRoute(APIRoute):
    """Each answer names the protocol's version, and a request of another version is refused (tus, "Core Protocol")."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.method in ("POST", "PATCH", "DELETE") and request.headers.get("tus-resumable", VERSION) != VERSION:
                return Response(status_code=412, headers={"Tus-Resumable": VERSION, "Tus-Version": VERSION})
            try:
                answer = await inner(request)
            except DermqError as error:
                answer = await on_dermq_error(request, error)
            answer.headers["Tus-Resumable"] = VERSION
            return answer

        return handle


_OTHER_TYPE = {
    "description": "Another content type than that of a part, or a Content-Encoding.",
    "headers": {"Accept-Patch": {"schema": {"type": "string"}}},
    "content": problems(415)[415]["content"],
}
router = APIRouter(route_class=TusRoute, tags=["uploads"])


@router.options(
    "/v1/uploads",
    status_code=204,
    summary="What of tus this server speaks",
    responses=problems(422) | {204: answer("Versions, extensions and limits.", "Tus-Version", "Tus-Extension", "Tus-Max-Size")},
)
def describe(here: Here) -> Response:
    """Versions, extensions, and how many bytes an upload may have."""
    most = str(here.settings.api.max_upload_bytes)
    return Response(status_code=204, headers={"Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": most})


@router.post(
    "/v1/uploads",
    status_code=201,
    summary="Begin an upload",
    response_class=Response,
    responses={201: answer("Begun.", "Location", *PROGRESS)} | OTHER_VERSION | problems(400, 413, 415, 422, 429, 503, 507),
    openapi_extra=asks(LENGTH, METADATA),
)
def create(request: Request, here: Here, tenant_id: TenantId) -> Response:
    """Begin an upload of `Upload-Length` bytes. `Location` is where its parts go."""
    length = _number(request, "Upload-Length")
    check_size(length, here.settings.api.max_upload_bytes)
    if not length:
        raise InvalidRequestError("Upload-Length: expected at least one byte, got 0")
    make_guard(here.settings)(length)
    with transaction(here.engine) as session:
        made = begin_upload(session, tenant_id, length, _filename(request), here.clock.now())
    location = f"{base_url(request, here.settings.api)}/v1/uploads/{made.id}"
    return Response(status_code=201, headers={"Location": location, **_progress(made)})


@router.get(
    "/v1/uploads/{upload_id}",
    summary="How far an upload is",
    response_class=Response,
    responses=problems(404, 422, 503) | {200: answer("No body; the headers say it.", *PROGRESS)},
)
def look(here: Here, tenant_id: TenantId, upload_id: UUID) -> Response:
    """Where to go on. HEAD answers the same."""
    headers = _progress(_find(here, tenant_id, upload_id)) | {"Cache-Control": "no-store"}
    return Response(status_code=200, headers=headers)


@router.patch(
    "/v1/uploads/{upload_id}",
    status_code=204,
    summary="Send a part",
    responses={204: answer("It counts.", *PROGRESS), 415: _OTHER_TYPE}
    | OTHER_VERSION
    | problems(400, 404, 408, 409, 413, 422, 503, 507),
    openapi_extra=asks(OFFSET, DIGEST, part=True),
)
async def append(request: Request, here: Here, tenant_id: TenantId, upload_id: UUID) -> Response:
    """The bytes from `Upload-Offset` on. What came before a connection broke counts, unless `Content-Digest` was announced."""
    if media_type(request) != PART_TYPE:
        detail = f"expected a part as Content-Type: {PART_TYPE}, got {media_type(request)!r}"
        return problem_response(request, UNSUPPORTED_TYPE, detail, headers={"Accept-Patch": PART_TYPE})
    upload = await run_in_threadpool(_find, here, tenant_id, upload_id)
    offset = _number(request, "Upload-Offset")
    if offset != upload.received:
        raise ConflictError(f"Upload-Offset: expected {upload.received}, got {offset}")
    return Response(status_code=204, headers=_progress(await receive_part(request, here, upload)))


@router.delete(
    "/v1/uploads/{upload_id}",
    status_code=204,
    summary="Forget an upload",
    responses={204: answer("Forgotten.")} | OTHER_VERSION | problems(404, 422, 503),
    openapi_extra=asks(),
)
def terminate(here: Here, tenant_id: TenantId, upload_id: UUID) -> Response:
    """Forget it, with its bytes."""
    with transaction(here.engine) as session:
        end_upload(session, tenant_id, upload_id, here.clock.now())
    return Response(status_code=204)


def _find(here: Resources, tenant_id: UUID, upload_id: UUID) -> PartialUpload:
    with reading(here.engine) as session:
        return get_upload(session, tenant_id, upload_id, here.clock.now())


def _progress(upload: PartialUpload) -> dict[str, str]:
    return {
        "Upload-Offset": str(upload.received),
        "Upload-Length": str(upload.length),
        "Upload-Expires": format_datetime(upload.expires_at, usegmt=True),
    }


def _number(request: Request, name: str) -> int:
    value = request.headers.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise InvalidRequestError(f"{name}: expected a number of bytes, got {value!r}")
    return int(value)


def _filename(request: Request) -> str:
    """`filename` of Upload-Metadata: pairs of a key and a base64 value, between commas."""
    for pair in request.headers.get("upload-metadata", "").split(","):
        key, _, value = pair.strip().partition(" ")
        if key == "filename":
            try:
                return base64.b64decode(value, validate=True).decode()[:255]
            except ValueError as error:  # also of characters beyond ASCII, which b64decode has no error of its own for
                raise InvalidRequestError("Upload-Metadata: expected the filename as base64 of UTF-8") from error
    return ""
