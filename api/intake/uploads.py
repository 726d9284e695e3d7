"""From a request's body to the object storage: constant memory, the event loop free, no trace of what fails.

While one piece is written (and hashed) in a thread, the next is received; no more than two pieces are held. Never FastAPI's
UploadFile: it spools the whole body to disk before the route runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from api.errors import UploadStalledError
from api.intake.digests import check_digest
from api.intake.diskspace import RepeatedGuard
from api.intake.names import clean_filename
from api.metrics import UPLOAD_BYTES
from core.db.jobs import NewUpload
from core.errors import InvalidRequestError, TooLargeError
from core.ids import new_id
from core.storage.base import ObjectStorage, ObjectWriter
from core.storage.layout import upload_key

PIECE_BYTES = 1024 * 1024
HEAD_BYTES = 1024  # kept for looking at the format
STALL_S = 60.0  # without a byte


class UploadSink:
    """Where the bytes of one upload go. Its methods block: call them in a thread, one at a time."""

    def __init__(self, storage: ObjectStorage, max_bytes: int, guard: Callable[[int], None], held_bytes: int = 0) -> None:
        self._guard = RepeatedGuard(guard)
        self.id: UUID = new_id()
        self.key = upload_key(self.id)
        self.max_bytes = max_bytes
        self._storage = storage
        self.size = 0
        self.head = b""
        self._held_bytes = held_bytes
        self._held: list[bytes] = []
        self._writer: ObjectWriter = storage.writer(self.key)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            TooLargeError: there are more than the limit.
            DiskFullError: the disk has no room for them.
            StorageUnavailableError: the storage does not take them.
        """
        self.size += len(data)
        check_size(self.size, self.max_bytes)
        self._guard.check(self.size, len(data))
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        if self.size <= self._held_bytes:
            self._held.append(data)
        else:
            self._held.clear()
        self._writer.write(data)
        UPLOAD_BYTES.inc(len(data))

    @property
    def held(self) -> bytes | None:
        """The whole upload, where it is no larger than was to be held in memory."""
        return b"".join(self._held) if self.size <= self._held_bytes else None

    def commit(self, filename: str, digest: bytes | None = None) -> NewUpload:
        """Keep the object. Where its SHA-256 was announced and is another one, InvalidRequestError, and nothing is kept."""
        if not self.size:
            raise InvalidRequestError("the upload is empty: expected the bytes of an archive or image as the body or form file")
        stored = self._writer.commit()
        try:
            check_digest(digest, stored.sha256)
        except InvalidRequestError:
            self._storage.delete(self.key)
            raise
        return NewUpload(self.id, self.key, clean_filename(filename), stored.size, stored.sha256)

    def abort(self) -> None:
        """Leave no trace, unless committed."""
        self._writer.abort()


def check_size(size: int, max_bytes: int) -> None:
    """Refuse what is over the limit.

    Raises:
        TooLargeError: it is.
    """
    if size > max_bytes:
        raise TooLargeError(
            f"the upload is larger than this server's limit of {max_bytes} bytes: send it in parts, name a source "
            "that the server may read, or have the operator raise DERMQ_API_MAX_UPLOAD_BYTES"
        )


def check_announced_size(request: Request, max_bytes: int) -> None:
    """Refuse by Content-Length, before a byte of the body is asked for."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit():
        check_size(int(announced), max_bytes)


@asynccontextmanager
async def open_sink(
    storage: ObjectStorage, max_bytes: int, guard: Callable[[int], None], held_bytes: int = 0
) -> AsyncIterator[UploadSink]:
    """A sink that is aborted unless it was committed, also when the client leaves or the server stops."""
    sink = await run_in_threadpool(UploadSink, storage, max_bytes, guard, held_bytes)
    try:
        yield sink
    finally:
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(sink.abort)


async def receive_raw(request: Request, sink: UploadSink) -> None:
    """The whole body is the upload."""
    check_announced_size(request, sink.max_bytes)
    await pump(request, sink.write)


async def pump(request: Request, consume: Callable[[bytes], None], *, keeps_rest: bool = False) -> None:
    """Hand the body in pieces of a megabyte to `consume`, in a thread, one call at a time, while the next is received.

    With `keeps_rest` what came before the body broke off is handed over, too.

    Raises:
        UploadStalledError: no byte came for a minute.
        starlette.requests.ClientDisconnect: the client left.
        Exception: what `consume` raises.
    """
    held: list[bytes] = []
    held_bytes = 0
    under_way: asyncio.Task[None] | None = None
    try:
        async for chunk in _received(request):
            held.append(chunk)
            held_bytes += len(chunk)
            if held_bytes >= PIECE_BYTES:
                if under_way is not None:
                    await under_way
                under_way = asyncio.create_task(run_in_threadpool(consume, b"".join(held)))
                held, held_bytes = [], 0
        if under_way is not None:
            await under_way
        if held:
            await run_in_threadpool(consume, b"".join(held))
    except (ClientDisconnect, UploadStalledError):
        if keeps_rest and held:
            with anyio.CancelScope(shield=True):
                if under_way is not None:
                    await under_way
                await run_in_threadpool(consume, b"".join(held))
        raise
    finally:
        if under_way is not None and not under_way.done():  # the thread must let go of the writer before it is aborted
            with anyio.CancelScope(shield=True):
                await asyncio.wait([under_way])
                under_way.exception()  # seen: the error that ended the loop says more


async def _received(request: Request) -> AsyncIterator[bytes]:
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(STALL_S):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise UploadStalledError(f"no byte of the body came for {STALL_S:.0f} s: send it again") from error
        if chunk:
            yield chunk
