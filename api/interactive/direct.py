"""One image from its bytes to a whole job in the ledger, while the client waits.

Nothing is in the ledger before the transaction that holds all of the job. So whatever interrupts this leaves the image to the
queue: Serving that is away or slow, processes that are all busy, a decoder that dies, an error that nobody foresaw. The queue's
way then says what is wrong, with its own codes. A process that is killed leaves at most objects of the storage that no row
knows of, which the scan removes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import anyio.to_thread
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from api.decoders import DecoderPool
from api.interactive.batching import PredictBatcher
from api.interactive.decoding import decode_single
from api.metrics import ITEMS
from core.archives.base import ArchiveKind, ArchiveRef, Member
from core.archives.sniff import Content, sniff
from core.clock import Clock
from core.db.chunks import ChunkTiming
from core.db.ended import EndedJob, insert_ended_job
from core.db.engine import transaction
from core.db.jobs import NewJob
from core.db.outcomes import ItemOutcome
from core.db.preparing import ChunkPlan, PreparedJob
from core.errors import ArchiveError, DatabaseUnavailableError, ItemError, ServingUnavailableError, StorageUnavailableError
from core.settings import Settings
from core.storage.base import ObjectStorage
from core.storage.layout import index_key
from core.storage.memory import MemoryAccess
from core.telemetry.logs import get_logger
from serving.client import Described, PredictClient
from serving.outcomes import DecodedItem, make_outcomes
from serving.retrying import Retry
from serving.versions import check_preprocessing, describe_wanted

T = TypeVar("T")

PATIENCE_S = 5.0  # then the image is left to the queue
MAX_BYTES = 16 * 1024**2  # of an image; a larger one is left to the queue
_ROOM_IMAGES, _ROOM_BYTES = 32, 64 * 1024**2  # under way at a time
_PAUSE_S = 2.0  # after Serving did not answer

_log = get_logger(__name__)


class LeftToQueueError(Exception):
    """This image is not classified here; the text says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one image is to be classified with, and under which name and job."""

    model: str  # the served name
    version: int | None
    label: str | None  # not together with a version; neither: see serving.versions.describe_wanted
    name: str  # of the image
    job_id: UUID


@dataclass(slots=True)
class Attempt:
    """An image under way."""

    wanted: Wanted
    began: datetime
    finding: asyncio.Task[_Found]
    writing: asyncio.Task[bytes]  # the job's index, into the storage


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of an image once it is classified."""

    described: Described
    outcome: ItemOutcome
    waited_s: float  # for Serving


class DirectClassifier:
    """Classifies images of requests; used in the event loop."""

    def __init__(self, settings: Settings, engine: Engine, storage: ObjectStorage, decoders: DecoderPool, clock: Clock) -> None:
        """Nothing is contacted yet.

        Args:
            settings: limits of images, and where Serving is.
            engine: the ledger.
            storage: holds the upload already, and takes the job's index.
            decoders: the processes that decode; closed by whoever made them.
            clock: gives the instants of the job.
        """
        self._settings = settings
        self._engine = engine
        self._storage = storage
        self._decoders = decoders
        self._clock = clock
        self._client = PredictClient(settings.serving.address, PATIENCE_S, retry=Retry(attempts=1), security=settings.serving)
        self._batcher = PredictBatcher(self._client)
        self._known: dict[tuple[str, int | None, str | None], Described] = {}
        self._images = self._bytes = 0  # under way
        self._paused_until = 0.0

    def begin(self, wanted: Wanted, data: bytes, limit_s: float) -> Attempt | None:
        """Begin to classify an image, and to write the index of its job. `finish` or `drop` is to be called.

        Args:
            wanted: what for.
            data: the image.
            limit_s: how long this may take before the image is left to the queue.

        Returns:
            None if the image is to be left to the queue at once.
        """
        try:
            self._check(wanted, data)
        except (LeftToQueueError, ArchiveError) as error:
            _log_left(wanted, error)
            return None
        self._images, self._bytes = self._images + 1, self._bytes + len(data)
        finding = asyncio.create_task(self._find(wanted, data, min(limit_s, PATIENCE_S)))
        finding.add_done_callback(partial(self._release, len(data)))
        writing = asyncio.create_task(run_in_threadpool(self._write_index, wanted, len(data)))
        return Attempt(wanted, self._clock.now(), finding, writing)

    async def finish(self, attempt: Attempt, new: NewJob) -> bool:
        """Wait for the image, and write all of its job into the ledger.

        Args:
            attempt: from `begin`.
            new: the job, with the attempt's id and label, and its upload in the storage.

        Returns:
            Whether the job is in the ledger. If not, nothing of it is.

        Raises:
            DatabaseUnavailableError: whether the job was committed is unknown.
        """
        try:
            found = await attempt.finding
            ended = _ended(new, found, await attempt.writing, attempt.began)
            await run_in_threadpool(self._commit, ended)
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the queue's way meets it again and names it
            if isinstance(error, ServingUnavailableError):
                self._paused_until = time.monotonic() + _PAUSE_S
            _log_left(attempt.wanted, error)
            await self.drop(attempt)
            return False
        return True

    async def drop(self, attempt: Attempt) -> None:
        """The image is not wanted here any more."""
        attempt.finding.cancel()
        await asyncio.gather(attempt.finding, attempt.writing, return_exceptions=True)
        with suppress(StorageUnavailableError):  # the scan finds it
            await run_in_threadpool(self._storage.delete, index_key(attempt.wanted.job_id))

    def close(self) -> None:
        """End the calls under way."""
        self._batcher.close()
        self._client.close()

    def _check(self, wanted: Wanted, data: bytes) -> None:
        """Whether it may begin.

        Raises:
            LeftToQueueError: why not.
            ArchiveError: the bytes are nothing that can be read.
        """
        size = len(data)
        if time.monotonic() < self._paused_until:
            raise LeftToQueueError("Serving did not answer a moment ago")
        if size > MAX_BYTES or self._images >= _ROOM_IMAGES or self._bytes + size > _ROOM_BYTES:
            raise LeftToQueueError(f"no room for {size} bytes beside {self._images} images of {self._bytes} bytes")
        if sniff(MemoryAccess(data), wanted.name) is not Content.IMAGE:
            raise LeftToQueueError("the upload is not one image")

    def _release(self, size: int, _finding: asyncio.Task[_Found]) -> None:
        self._images, self._bytes = self._images - 1, self._bytes - size

    async def _find(self, wanted: Wanted, data: bytes, limit_s: float) -> _Found:
        """Describe the version and classify the image, both at once where the version's last description is known."""
        key = wanted.model, wanted.version, wanted.label
        before = self._known.get(key)
        describing = asyncio.ensure_future(_in_thread(describe_wanted, self._client, *key, before=before))
        guess = asyncio.ensure_future(self._classify(before, wanted, data)) if before else None
        try:
            async with asyncio.timeout(limit_s):
                described = await describing
                check_preprocessing(described.spec)
                self._known[key] = described
                if guess is not None and described == before:
                    return await guess
                return await self._classify(described, wanted, data)
        finally:
            await _end(describing, guess)

    async def _classify(self, described: Described, wanted: Wanted, data: bytes) -> _Found:
        spec, name = described.spec, wanted.name
        if not self._decoders.warm():
            raise LeftToQueueError("the processes that decode are starting")
        decoding = self._decoders.start(decode_single, data, name, spec, self._settings.image)
        try:
            decoded = await asyncio.shield(asyncio.wrap_future(decoding))  # an end of it would end the process
        except ItemError as error:
            return _Found(described, ItemOutcome.from_error(0, name, error), 0.0)
        began = time.monotonic()
        answer = await asyncio.wrap_future(self._batcher.submit(wanted.model, described, decoded.pixels))
        [outcome] = make_outcomes(spec, [DecodedItem.of(0, name, decoded, self._settings.image)], answer)
        return _Found(described, outcome, time.monotonic() - began)

    def _write_index(self, wanted: Wanted, size: int) -> bytes:
        index = Member(wanted.name, packed_size=size, size=size).to_line()
        with self._storage.writer(index_key(wanted.job_id)) as writer:
            writer.write(index)
            writer.commit()
        return index

    def _commit(self, ended: EndedJob) -> None:
        with transaction(self._engine) as session:
            insert_ended_job(session, ended, self._clock.now())
        ITEMS.labels(*ended.outcome.counted_as).inc()


def _ended(new: NewJob, found: _Found, index: bytes, began: datetime) -> EndedJob:
    if new.upload is None:
        raise AssertionError("the image was uploaded")
    prepared = PreparedJob(
        archive=ArchiveRef(ArchiveKind.SINGLE, "storage", new.upload.key, new.upload.filename).to_json(),
        version=found.described.version,
        modelspec=found.described.spec.model_dump(mode="json"),
        skipped=0,
        chunks=[ChunkPlan(0, 1, 0, len(index))],
    )
    return EndedJob(new, prepared, found.outcome, began, ChunkTiming(found.waited_s, 0.0))


def _log_left(wanted: Wanted, error: Exception) -> None:
    _log.info("image_left_to_queue", job_id=str(wanted.job_id), reason=f"{type(error).__name__}: {error}")


async def _in_thread(work: Callable[..., T], *args: Any, **more: Any) -> T:
    """Run it in a thread. A thread that nobody waits for any more ends by its own time limit."""
    return await anyio.to_thread.run_sync(partial(work, *args, **more), abandon_on_cancel=True)


async def _end(*tasks: asyncio.Future[Any] | None) -> None:
    """Nobody waits for these any more; what they raise is of no interest."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
