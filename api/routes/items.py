"""A job's items: the row, the picture. Bytes from an archive are sniffed, sandboxed, and never shown as HTML or SVG."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import JSONResponse

from api.errors import OriginalGoneError
from api.intake.names import content_disposition
from api.openapi import problems
from api.resources import Here, Resources, TenantId
from api.results.views import classes_of, metadata_of, result_objects
from api.schemas import MAX_ITEM, ResultObject
from core.archives.base import ArchiveRef, Member
from core.archives.open import open_archive
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.models import Job
from core.db.results import find_index_slice, find_result
from core.errors import ArchiveError, ItemError, JobErrorCode, NotFoundError
from core.imaging import thumbnail
from core.imaging.sniffing import sniff_format
from core.storage.layout import index_key

router = APIRouter(tags=["results"])

_INLINE = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "HEIF": "image/heic",
    "AVIF": "image/avif",
}
_HEADERS = {
    # An item's bytes never change; they belong to one user, so no shared cache may keep them.
    "Cache-Control": "private, max-age=86400, immutable",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}

ItemNo = Annotated[int, Path(ge=0, le=MAX_ITEM, description="Position in the archive, from 0.")]
IfNoneMatch = Annotated[str | None, Header()]
_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in _INLINE.values()}},
    304: {"description": "Not modified."},
}


@router.get(
    "/v1/jobs/{job_id}/items/{item_no}",
    summary="One item's row",
    responses={200: {"model": ResultObject}, **problems(404, 422, 503)},
)
def get_item(here: Here, tenant_id: TenantId, job_id: UUID, item_no: ItemNo) -> JSONResponse:
    """The row that pages and files have, with the table's other cells where the images come from one."""
    return JSONResponse(load_row(here, tenant_id, job_id, item_no)[1])


def load_row(here: Resources, tenant_id: UUID, job_id: UUID, item_no: int) -> tuple[Job, dict[str, Any]]:
    """A job and one of its rows, as it is shown; raises NotFoundError."""
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        row = find_result(session, job_id, item_no)
    return job, next(result_objects([row], job.model, classes_of(job), metadata_of(job)))


@router.get(
    "/v1/jobs/{job_id}/items/{item_no}/image",
    summary="An item's original bytes",
    response_class=Response,
    responses=_IMAGE | problems(403, 404, 410, 422, 503),
)
def get_image(here: Here, tenant_id: TenantId, job_id: UUID, item_no: ItemNo, if_none_match: IfNoneMatch = None) -> Response:
    """Inline where the bytes are of an image format that DermQ decodes, whatever the name says; else as an attachment."""
    member, data = read_item(here, tenant_id, job_id, item_no)
    media_type = _INLINE.get(sniff_format(data) or "")
    disposition = content_disposition("inline" if media_type else "attachment", member.name)
    return _respond(data, media_type or "application/octet-stream", if_none_match, {"Content-Disposition": disposition})


@router.get(
    "/v1/jobs/{job_id}/items/{item_no}/thumbnail",
    summary="An item as a small JPEG",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}},
        304: {"description": "Not modified."},
        **problems(403, 404, 410, 422, 503),
    },
)
def get_thumbnail(
    *,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    item_no: ItemNo,
    size: Annotated[int, Query(ge=16, le=512, description="The longer side, pixels.")] = 256,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Upright, in its own aspect ratio, without metadata; decoded as the model sees it."""
    _, data = read_item(here, tenant_id, job_id, item_no)
    return _respond(thumbnail(data, max_side=size, limits=here.settings.image), "image/jpeg", if_none_match, {})


def _respond(data: bytes, media_type: str, if_none_match: str | None, headers: dict[str, str]) -> Response:
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = _HEADERS | headers | {"ETag": etag}
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=media_type)


def read_item(here: Resources, tenant_id: UUID, job_id: UUID, item_no: int) -> tuple[Member, bytes]:
    """A member and its bytes, checked against its checksum where it has one.

    Raises:
        NotFoundError: no such job or item.
        OriginalGoneError: its archive is gone.
        ForbiddenSourceError: the operator does not allow its source any more.
        ItemError: the member cannot be read.
        StorageUnavailableError: the storage does not answer.
    """
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        where = find_index_slice(session, job_id, item_no)
    if job.archive is None:
        raise NotFoundError(f"job {job_id} is {job.state}: its archive has not been listed yet")
    index = here.storage.open(index_key(job_id))
    try:
        lines = index.read_at(where.offset, where.length).splitlines()
    finally:
        index.close()
    member = Member.from_line(lines[item_no - where.first_item])
    if member.error is not None:
        raise ItemError(member.error, member.error_text)
    try:
        archive = open_archive(ArchiveRef.from_json(job.archive), here.storage, here.settings)
    except ArchiveError as error:
        raise OriginalGoneError(str(error)) if error.code is JobErrorCode.ARCHIVE_GONE else error from None
    try:
        return member, archive.read(member)
    finally:
        archive.close()
