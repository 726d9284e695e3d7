"""The bytes of an upload in parts: each part is an object of the storage; a job gets them joined."""

from __future__ import annotations

import uuid

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from api.errors import UploadStalledError
from api.intake.digests import announced_digest, check_digest
from api.intake.diskspace import RepeatedGuard, make_guard
from api.intake.uploads import PIECE_BYTES, UploadSink, check_size, pump
from api.resources import Resources
from core.db.engine import reading, transaction
from core.db.uploads.partial import add_part, get_upload
from core.db.uploads.tables import PartialUpload
from core.errors import ConflictError, DermqError, InvalidRequestError, TooLargeError
from core.storage.base import ObjectWriter
from core.storage.layout import upload_prefix

SOURCE = "upload:"


async def receive_part(request: Request, here: Resources, upload: PartialUpload) -> PartialUpload:
    """Store the body behind what has come so far. Where it breaks off, what came of it counts, unless a digest was announced.

    Raises:
        DermqError: nothing of it counts.
    """
    digest = announced_digest(request)
    part = await run_in_threadpool(_Part, here, upload)
    try:
        try:
            await pump(request, part.write, keeps_rest=digest is None)
        except (ClientDisconnect, UploadStalledError):
            if digest is None and part.size:
                with anyio.CancelScope(shield=True):
                    await run_in_threadpool(part.keep, None)
            raise
        return await run_in_threadpool(part.keep, digest)
    finally:
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(part.abort)


class _Part:
    """One part that comes. Its methods block."""

    def __init__(self, here: Resources, upload: PartialUpload) -> None:
        self.size = 0
        self._here = here
        self._upload = upload
        self._key = f"{upload_prefix(upload.id)}part-{upload.received:020}-{uuid.uuid4().hex[:8]}"
        self._guard = RepeatedGuard(make_guard(here.settings))
        self._writer: ObjectWriter = here.storage.writer(self._key)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            TooLargeError: there are more than the upload's length.
            DiskFullError: the disk has no room for the rest of the upload.
            StorageUnavailableError: the storage does not take them.
        """
        if self._upload.received + self.size + len(data) > self._upload.length:
            raise TooLargeError(f"expected {self._upload.length} bytes in all, as Upload-Length says, got more")
        self._guard.check(self.size, self._upload.length - self._upload.received - self.size)
        self._writer.write(data)
        self.size += len(data)

    def keep(self, digest: bytes | None) -> PartialUpload:
        """Count it, if it is what was announced."""
        if not self.size:
            return self._upload
        stored = self._writer.commit()
        try:
            check_digest(digest, stored.sha256)
            with transaction(self._here.engine) as session:
                return add_part(session, self._upload, self._key, stored.size, self._here.clock.now())
        except (ConflictError, InvalidRequestError):
            self._here.storage.delete(self._key)
            raise

    def abort(self) -> None:
        self._writer.abort()


def join_parts(here: Resources, tenant_id: uuid.UUID, source: str, sink: UploadSink) -> str:
    """Copy all parts into a sink; returns the name that the upload was given.

    Raises:
        NotFoundError: no such upload.
        ConflictError: it is not complete.
        InvalidRequestError: `source` names no upload.
    """
    with reading(here.engine) as session:
        upload = get_upload(session, tenant_id, upload_of(source), here.clock.now())
    if upload.received < upload.length:
        raise ConflictError(f"upload {upload.id} has {upload.received} of {upload.length} bytes: send the others first")
    check_size(upload.length, sink.max_bytes)
    for key in upload.parts:
        stored = here.storage.open(key)
        try:
            for offset in range(0, stored.size, PIECE_BYTES):
                sink.write(stored.read_at(offset, min(PIECE_BYTES, stored.size - offset)))
        finally:
            stored.close()
    if sink.size != upload.length:
        raise DermqError(f"upload {upload.id}: expected {upload.length} bytes in its parts, found {sink.size}")
    return upload.filename


def upload_of(source: str) -> uuid.UUID:
    """The id in `upload:ID`. Raises InvalidRequestError."""
    try:
        return uuid.UUID(source.removeprefix(SOURCE))
    except ValueError as error:
        raise InvalidRequestError(f"expected upload:ID as source, got {source!r}") from error
