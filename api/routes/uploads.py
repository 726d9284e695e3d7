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

from api.errors import on_dermq_error
from api.intake.diskspace import make_guard
from api.intake.requests import media_type
from api.intake.resumable import receive_part
from api.intake.uploads import check_size
from api.resources import Here, Resources, TenantId
from api.results.views import base_url
from core.db.engine import reading, transaction
from core.db.uploads.partial import begin_upload, end_upload, get_upload
from core.db.uploads.tables import PartialUpload
from core.errors import ConflictError, DermqError, InvalidRequestError

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration"
PART_TYPE = "application/offset+octet-stream"


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


router = APIRouter(route_class=TusRoute, include_in_schema=False)


@router.options("/v1/uploads")
def describe(here: Here) -> Response:
    """What of tus this server speaks."""
    most = str(here.settings.api.max_upload_bytes)
    return Response(status_code=204, headers={"Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": most})


@router.post("/v1/uploads")
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


@router.get("/v1/uploads/{upload_id}")
def look(here: Here, tenant_id: TenantId, upload_id: UUID) -> Response:
    """Where to go on. HEAD answers the same."""
    headers = _progress(_find(here, tenant_id, upload_id)) | {"Cache-Control": "no-store"}
    return Response(status_code=200, headers=headers)


@router.patch("/v1/uploads/{upload_id}")
async def append(request: Request, here: Here, tenant_id: TenantId, upload_id: UUID) -> Response:
    """The bytes from `Upload-Offset` on. What came before a connection broke counts, unless `Content-Digest` was announced."""
    if media_type(request) != PART_TYPE:
        return Response(status_code=415, headers={"Accept-Patch": PART_TYPE})
    upload = await run_in_threadpool(_find, here, tenant_id, upload_id)
    offset = _number(request, "Upload-Offset")
    if offset != upload.received:
        raise ConflictError(f"Upload-Offset: expected {upload.received}, got {offset}")
    return Response(status_code=204, headers=_progress(await receive_part(request, here, upload)))


@router.delete("/v1/uploads/{upload_id}")
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
