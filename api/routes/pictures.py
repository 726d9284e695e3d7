"""Pictures of items: made anew, without metadata. Original bytes are sniffed, sandboxed, and never shown as HTML or SVG."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from api.intake.names import content_disposition
from api.openapi import problems
from api.resources import Here, Resources, TenantId
from api.results.members import read_member, read_members
from api.routes.items import ItemNo
from api.saliency import draw_saliency
from api.schemas import MAX_ITEM, Word
from core.db.engine import reading
from core.db.jobs import get_job
from core.errors import ItemError
from core.imaging.sniffing import sniff_format

router = APIRouter(tags=["results"])

BATCH = 60
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

IfNoneMatch = Annotated[str | None, Header()]
ThumbnailSize = Annotated[int, Query(ge=16, le=512, description="The longer side, pixels.")]
_KEPT = {
    "ETag": {"schema": {"type": "string"}, "required": True},
    "Cache-Control": {"schema": {"type": "string"}, "required": True},
}
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Not modified.", "headers": _KEPT}}
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "headers": _KEPT}, **_NOT_MODIFIED}
_PROBLEMS = problems(403, 404, 410, 422, 503)


@router.get(
    "/v1/jobs/{job_id}/items/{item_no}/image",
    summary="An item as a JPEG",
    response_class=Response,
    responses=_JPEG | _PROBLEMS,
)
def get_image(
    *,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    item_no: ItemNo,
    size: Annotated[int, Query(ge=16, le=8192, description="The longer side, pixels, at most.")] = 2048,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Upright, and without metadata: no places, dates and names that a camera writes. A smaller image keeps its size."""
    member, data = read_member(here, tenant_id, job_id, item_no)
    headers = {"Content-Disposition": content_disposition("inline", f"{member.name}.jpg")}
    return _respond(here.pictures.make(data, size), "image/jpeg", if_none_match, headers)


@router.get(
    "/v1/jobs/{job_id}/items/{item_no}/original",
    summary="An item's original bytes",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in _INLINE.values()}, "headers": _KEPT}, **_NOT_MODIFIED, **_PROBLEMS},
)
def get_original(here: Here, tenant_id: TenantId, job_id: UUID, item_no: ItemNo, if_none_match: IfNoneMatch = None) -> Response:
    """As they were handed in, with all metadata, which may name places and people.

    Inline where the bytes are of an image format that DermQ decodes, whatever the name says; else as an attachment.
    """
    member, data = read_member(here, tenant_id, job_id, item_no)
    media_type = _INLINE.get(sniff_format(data) or "")
    disposition = content_disposition("inline" if media_type else "attachment", member.name)
    return _respond(data, media_type or "application/octet-stream", if_none_match, {"Content-Disposition": disposition})


@router.get(
    "/v1/jobs/{job_id}/items/{item_no}/thumbnail",
    summary="An item as a small JPEG",
    response_class=Response,
    responses=_JPEG | _PROBLEMS,
)
def get_thumbnail(
    *,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    item_no: ItemNo,
    size: ThumbnailSize = 256,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Upright, in its own aspect ratio, without metadata; decoded as the model sees it."""
    made = _thumbnails(here, tenant_id, job_id, [item_no], size)[item_no]
    if isinstance(made, ItemError):
        raise made
    return _respond(made, "image/jpeg", if_none_match, {})


@router.get(
    "/v1/jobs/{job_id}/items/{item_no}/saliency",
    summary="Which places of an item speak for a class",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "headers": _KEPT}, **_NOT_MODIFIED, **_PROBLEMS, **problems(400, 409, 502)},
)
def get_saliency(
    *,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    item_no: ItemNo,
    label: Annotated[Word | None, Query(description="The class; without it, the one that the item got.")] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A transparent PNG in the picture's aspect ratio, to be laid over it: violet is weak, yellow is the strongest place.

    Grad-CAM, from the signature `explain` of the version that classified the item; **not a diagnosis**. 404 where the version
    has none, 409 where the item failed or its version is not served any more. Answers are kept below the job.
    """
    drawn = draw_saliency(here, tenant_id, job_id, item_no, label)
    return _respond(drawn, "image/png", if_none_match, {})


@router.get(
    "/v1/jobs/{job_id}/thumbnails",
    summary="Several items as small JPEGs",
    response_class=Response,
    responses={200: {"content": {"multipart/form-data": {}}}, **_PROBLEMS},
)
def get_thumbnails(
    *,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    item: Annotated[list[Annotated[int, Query(ge=0, le=MAX_ITEM)]], Query(min_length=1, max_length=BATCH)],
    size: ThumbnailSize = 192,
) -> Response:
    """A part for each item, named by its number: a JPEG, or JSON with `code` and `detail` where there is no picture.

    The answer is `multipart/form-data`, which browsers read with `Response.formData()`.
    """
    made = _thumbnails(here, tenant_id, job_id, list(dict.fromkeys(item)), size)
    boundary = f"dermq-{secrets.token_hex(12)}"
    body = b"".join(_part(boundary, number, picture) for number, picture in made.items()) + f"--{boundary}--\r\n".encode()
    headers = _HEADERS | {"Cache-Control": "private, max-age=3600"}  # an item may be read again after a failure
    return Response(body, headers=headers, media_type=f"multipart/form-data; boundary={boundary}")


def _thumbnails(here: Resources, tenant_id: UUID, job_id: UUID, numbers: list[int], size: int) -> dict[int, bytes | ItemError]:
    """From memory where they are there; else out of the archive, which is opened once. Raises as `read_members`."""
    with reading(here.engine) as session:
        get_job(session, tenant_id, job_id)  # what is kept in memory is for the job's owner only
    made: dict[int, bytes | ItemError] = {
        number: kept for number in numbers if (kept := here.pictures.find((job_id, number, size))) is not None
    }
    wanted = [number for number in numbers if number not in made]
    images = []
    if wanted:
        for number, found in read_members(here, tenant_id, job_id, wanted):
            if isinstance(found, ItemError):
                made[number] = found
            else:
                images.append(((job_id, number, size), found[1]))
    fresh = here.pictures.make_all(images, size)
    made |= {key[1]: fresh[key] for key, _ in images}
    return {number: made[number] for number in numbers}


def _part(boundary: str, number: int, picture: bytes | ItemError) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{number}"'
    if isinstance(picture, ItemError):
        kind, content = "application/json", _failure(picture)
    else:
        kind, content = "image/jpeg", picture
        disposition += f'; filename="{number}.jpg"'  # by which browsers take it for a file
    head = f"--{boundary}\r\n{disposition}\r\nContent-Type: {kind}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def _failure(error: ItemError) -> bytes:
    return json.dumps({"code": str(error.code), "detail": str(error)}).encode()


def _respond(data: bytes, media_type: str, if_none_match: str | None, headers: dict[str, str]) -> Response:
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = _HEADERS | headers | {"ETag": etag}
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=media_type)
