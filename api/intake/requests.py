"""What comes with a POST: the archive as the raw body or in a form, or JSON that names a source; and its parameters, merged."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.intake.digests import announced_digest
from api.intake.diskspace import make_guard
from api.intake.forms import FormReader
from api.intake.names import filename_of
from api.intake.resumable import SOURCE, join_parts, upload_of
from api.intake.sources import resolve_https, resolve_source
from api.intake.uploads import UploadSink, open_sink, receive_raw
from api.resources import Resources
from api.schemas import JobParameters, SourceRequest
from core.db.engine import reading
from core.db.jobs import NewUpload
from core.db.models import Tenant
from core.errors import InvalidRequestError, TooLargeError

_JSON_BYTES = 64 * 1024

Model = TypeVar("Model", bound=BaseModel)
Inspect = Callable[[UploadSink, JobParameters, str], None]  # what was received, its parameters, the file's name


@dataclass(frozen=True, slots=True)
class Intake:
    """What a request brought."""

    parameters: JobParameters
    source: dict[str, Any]
    source_name: str
    upload: NewUpload | None = None
    parts_of: UUID | None = None  # the upload in parts that the bytes come from


def media_type(request: Request) -> str:
    """The body's media type, in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def take_job(request: Request, here: Resources, tenant_id: UUID, asked: JobParameters, path_name: str = "") -> Intake:
    """Receive a submission of whatever kind.

    Args:
        request: its body is still unread.
        here: storage and limits.
        tenant_id: whose uploads in parts it may name.
        asked: the parameters in the query; a form's or a JSON object's go before them.
        path_name: the file name in the address (curl -T), if any.

    Raises:
        DermqError: it cannot be taken; nothing of it is kept.
    """
    if media_type(request) == "application/json":
        return await _take_source(request, here, tenant_id, asked)
    return await take_upload(request, here, asked, ("archive", "file"), here.settings.api.max_upload_bytes, path_name=path_name)


async def take_upload(
    request: Request,
    here: Resources,
    asked: JobParameters,
    file_fields: Sequence[str],
    max_bytes: int,
    *,
    path_name: str = "",
    inspect: Inspect | None = None,
    held_bytes: int = 0,
) -> Intake:
    """Receive bytes, raw or in a form; `inspect` may refuse them before they are kept. Up to `held_bytes` stay in memory."""
    digest = None
    async with open_sink(here.storage, max_bytes, make_guard(here.settings), held_bytes) as sink:
        if media_type(request) == "multipart/form-data":
            filename, values = await FormReader(request, sink, file_fields, tuple(JobParameters.model_fields)).read()
            asked = merge(JobParameters, asked, values)
        else:
            filename = filename_of(request.headers.get("content-disposition")) or path_name
            digest = announced_digest(request)
            await receive_raw(request, sink)
        if inspect is not None:
            inspect(sink, asked, asked.name or filename)
        upload = await run_in_threadpool(sink.commit, asked.name or filename, digest)
    source = {"kind": "upload", "key": upload.key, "filename": upload.filename}
    return Intake(asked, source, upload.filename, upload)


async def _take_source(request: Request, here: Resources, tenant_id: UUID, asked: JobParameters) -> Intake:
    wanted = merge(SourceRequest, asked, await read_json(request))
    if wanted.source.startswith(SOURCE):
        return await _take_parts(here, tenant_id, wanted)
    if wanted.source.lower().startswith("https://"):
        source, name = await run_in_threadpool(_by_https, here, tenant_id, wanted.source)
    else:
        source, name = await run_in_threadpool(resolve_source, wanted.source, here.settings.api)
    return Intake(wanted, source, name)


async def _take_parts(here: Resources, tenant_id: UUID, wanted: SourceRequest) -> Intake:
    async with open_sink(here.storage, here.settings.api.max_upload_bytes, make_guard(here.settings)) as sink:
        name = await run_in_threadpool(join_parts, here, tenant_id, wanted.source, sink)
        upload = await run_in_threadpool(sink.commit, wanted.name or name)
    source = {"kind": "upload", "key": upload.key, "filename": upload.filename}
    return Intake(wanted, source, upload.filename, upload, parts_of=upload_of(wanted.source))


def _by_https(here: Resources, tenant_id: UUID, url: str) -> tuple[dict[str, Any], str]:
    with reading(here.engine) as session:
        tenant = session.get_one(Tenant, tenant_id).name
    return resolve_https(url, tenant, here.settings)


async def read_small(request: Request, most: int, what: str) -> bytearray:
    """A body that is held in memory.

    Args:
        request: its body is still unread.
        most: bytes.
        what: the body is, for the message.

    Raises:
        TooLargeError: it has more bytes.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLargeError(f"expected at most {most} bytes of {what}")
    return body


async def read_json(request: Request) -> dict[str, Any]:
    """A small JSON object from the body; an empty body is an empty object.

    Raises:
        InvalidRequestError: it is something else.
        TooLargeError: it is not small.
    """
    body = await read_small(request, _JSON_BYTES, "JSON; archives are sent with another Content-Type")
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequestError(f"expected a JSON object as body, got {type(value).__name__}")
    return value


def merge(model: type[Model], query: BaseModel | None, values: dict[str, Any]) -> Model:
    """Check body values, with those of the query where the body has none.

    Raises:
        RequestValidationError: which the error map turns into a problem.
    """
    given = query.model_dump(exclude_unset=True, mode="json") if query is not None else {}
    try:
        return model.model_validate(given | values)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False, include_context=False)]
        raise RequestValidationError(found) from error
