"""One image from its bytes to a whole job in the ledger, while the client waits.

Nothing is in the ledger before the transaction that holds all of the job. So whatever interrupts this leaves the image to the
queue: Serving that is away or slow, processes that are all busy, a decoder that dies, an error that nobody foresaw. The queue's
way then says what is wrong, with its own codes. A process that is killed leaves at most objects of the storage that no row
knows of, which the scan removes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
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
from core.errors import ItemError, ServingUnavailableError, StorageUnavailableError
from core.settings import Settings
from core.storage.base import ObjectStorage
from core.storage.layout import index_key
from core.storage.memory import MemoryAccess
from core.telemetry.logs import get_logger
from serving.client import Described, PredictClient, Retry
from serving.outcomes import DecodedItem, make_outcomes
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
        self._client = PredictClient(settings.serving.address, PATIENCE_S, retry=Retry(attempts=1))
        self._batcher = PredictBatcher(self._client)
        self._known: dict[tuple[str, int | None, str | None], Described] = {}
        self._images = self._bytes = 0  # under way
        self._paused_until = 0.0

    async def classify(self, new: NewJob, data: bytes, limit_s: float) -> bool:
        """Classify the image of a job that is not in the ledger yet, and write all of the job there.

        Args:
            new: of one image, with its upload in the storage and its label chosen.
            data: the image.
            limit_s: how long this may take before the image is left to the queue.

        Returns:
            Whether the job is in the ledger. If not, nothing of it is.

        Raises:
            DatabaseUnavailableError: whether the job was committed is unknown.
        """
        try:
            began = self._clock.now()
            with self._room(len(data)):
                async with asyncio.timeout(min(limit_s, PATIENCE_S)):
                    ended = await self._find(new, data, began)
        except ServingUnavailableError as error:
            self._paused_until = time.monotonic() + _PAUSE_S
            return _leave(new, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the queue's way meets it again and names it
            return _leave(new, f"{type(error).__name__}: {error}")
        return await run_in_threadpool(self._commit, ended)

    def close(self) -> None:
        """End the calls under way."""
        self._batcher.close()
        self._client.close()

    @contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """A place among those under way.

        Raises:
            LeftToQueueError: there is none, or Serving did not answer a moment ago.
        """
        if time.monotonic() < self._paused_until:
            raise LeftToQueueError("Serving did not answer a moment ago")
        if size > MAX_BYTES or self._images >= _ROOM_IMAGES or self._bytes + size > _ROOM_BYTES:
            raise LeftToQueueError(f"no room for {size} bytes beside {self._images} images of {self._bytes} bytes")
        self._images, self._bytes = self._images + 1, self._bytes + size
        try:
            yield
        finally:
            self._images, self._bytes = self._images - 1, self._bytes - size

    async def _find(self, new: NewJob, data: bytes, began: datetime) -> EndedJob:
        """Describe the version and classify the image, both at once where the version's last description is known."""
        ref = _reference(new, data)
        wanted = new.model, new.version, new.label
        before = self._known.get(wanted)
        describing = asyncio.ensure_future(_in_thread(describe_wanted, self._client, *wanted, before=before))
        guess = asyncio.ensure_future(self._classify(before, new.model, ref.name, data)) if before else None
        try:
            described = await describing
            check_preprocessing(described.spec)
            self._known[wanted] = described
            if guess is not None and described == before:
                found = await guess
            else:
                found = await self._classify(described, new.model, ref.name, data)
        finally:
            await _end(describing, guess)
        return _ended(new, ref, found, began, len(data))

    async def _classify(self, described: Described, model: str, name: str, data: bytes) -> _Found:
        spec = described.spec
        if not self._decoders.warm():
            raise LeftToQueueError("the processes that decode are starting")
        decoding = self._decoders.start(decode_single, data, name, spec, self._settings.image)
        try:
            decoded = await asyncio.shield(asyncio.wrap_future(decoding))  # an end of it would end the process
        except ItemError as error:
            return _Found(described, ItemOutcome.from_error(0, name, error), 0.0)
        began = time.monotonic()
        answer = await asyncio.wrap_future(self._batcher.submit(model, described, decoded.pixels))
        item = DecodedItem(0, name, decoded.width, decoded.height, decoded.notes)
        [outcome] = make_outcomes(spec, [item], answer)
        return _Found(described, outcome, time.monotonic() - began)

    def _commit(self, ended: EndedJob) -> bool:
        key = index_key(ended.new.id)
        try:
            with self._storage.writer(key) as writer:
                writer.write(ended.index)
                writer.commit()
            with transaction(self._engine) as session:
                insert_ended_job(session, ended, self._clock.now())
        except (IntegrityError, StorageUnavailableError) as error:
            with suppress(StorageUnavailableError):  # the scan finds it
                self._storage.delete(key)
            return _leave(ended.new, f"{type(error).__name__}: {error}")
        ITEMS.labels(*ended.outcome.counted_as).inc()
        return True


def _reference(new: NewJob, data: bytes) -> ArchiveRef:
    """What prepare would say that the upload is.

    Raises:
        LeftToQueueError: it is not one image.
        ArchiveError: it is nothing that can be read.
    """
    if new.upload is None or sniff(MemoryAccess(data), new.upload.filename) is not Content.IMAGE:
        raise LeftToQueueError("the upload is not one image")
    return ArchiveRef(ArchiveKind.SINGLE, "storage", new.upload.key, new.upload.filename)


def _ended(new: NewJob, ref: ArchiveRef, found: _Found, began: datetime, size: int) -> EndedJob:
    index = Member(ref.name, packed_size=size, size=size).to_line()
    prepared = PreparedJob(
        archive=ref.to_json(),
        version=found.described.version,
        modelspec=found.described.spec.model_dump(mode="json"),
        skipped=0,
        chunks=[ChunkPlan(0, 1, 0, len(index))],
    )
    return EndedJob(new, prepared, index, found.outcome, began, ChunkTiming(found.waited_s, 0.0))


def _leave(new: NewJob, reason: str) -> bool:
    _log.info("image_left_to_queue", job_id=str(new.id), reason=reason)
    return False


async def _in_thread(work: Callable[..., T], *args: Any, **more: Any) -> T:
    """Run it in a thread. A thread that nobody waits for any more ends by its own time limit."""
    return await anyio.to_thread.run_sync(partial(work, *args, **more), abandon_on_cancel=True)


async def _end(*tasks: asyncio.Future[Any] | None) -> None:
    """Nobody waits for these any more; what they raise is of no interest."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
